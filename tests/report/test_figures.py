"""What is drawn is what the evidence says; files of figures are what they say they are."""

import io
import re
from itertools import pairwise

import pytest
from matplotlib.figure import Figure
from PIL import Image

from beholder.evidence.document import Evidence
from beholder.report import bars, dose, matrix, rivals, slopes, trade
from beholder.report.axes import canvas, dose_axis, drawing
from beholder.report.figures import SORTS, drawn, fitting
from beholder.report.files import figures_pdf, figures_png
from beholder.report.palette import DARK, LIGHT
from beholder.report.selection import best_trade, chosen, others_drop, sweep, target_drop, way
from beholder.report.svg import inline_svg
from beholder.report.words import EXPLORATORY, number

pytestmark = pytest.mark.slow  # draws figures


def figure_of(draw, evidence: Evidence) -> Figure:
    with drawing():
        figure = canvas()
        draw(figure, evidence)
        figure.draw_without_rendering()
    return figure


def line(figure: Figure, label: str):
    (found,) = [one for one in figure.axes[0].get_lines() if one.get_label() == label]
    return [(float(x), float(y)) for x, y in zip(found.get_xdata(), found.get_ydata(), strict=True)]


def test_dose_response_starts_intact_and_passes_through_each_dose(evidence: Evidence) -> None:
    figure = figure_of(dose.draw_targets, evidence)
    outcomes = sweep(evidence, "iterative", ("zero", 0.0))
    kept = [one.role("target").kept.value for one in outcomes]
    assert line(figure, "iterative") == [(0, 1.0), *zip([1, 2, 5, 10, 20, 40], kept, strict=True)]
    assert len(line(figure, "count")) == 1  # tried at one dose alone: no line to draw
    medians = [(one.dose, one.kept["target"].median) for one in evidence.bands[:6]]
    assert line(figure, "random sets") == medians
    assert len(figure.axes[0].collections) >= 2  # the bands' areas


def test_what_is_kept_alone_has_a_line_a_role_through_each_dose(evidence: Evidence) -> None:
    figure = figure_of(dose.draw_keep, evidence)
    for role in ("target", "sibling", "control"):
        kept = [(one.dose, one.role(role).kept.value) for one in dose.keep_sweep(evidence)]
        assert line(figure, f"{role}s") == kept
        assert [at for at, _ in kept] == [1, 2, 5, 10, 20, 40]


def test_others_are_controls_with_siblings_beside_them(evidence: Evidence) -> None:
    figure = figure_of(dose.draw_others, evidence)
    at = dict(line(figure, "iterative"))
    siblings = dict(line(figure, "iterative, siblings"))
    assert at[20] == evidence.main.role("control").kept.value
    assert siblings[20] == evidence.main.role("sibling").kept.value


def test_the_best_trades_are_beaten_by_none(evidence: Evidence) -> None:
    found = chosen(evidence)
    best = best_trade(found)
    assert best
    for one in best:
        beaten = [
            other
            for other in found
            if others_drop(other) <= others_drop(one)
            and target_drop(other) >= target_drop(one)
            and (others_drop(other), target_drop(other)) != (others_drop(one), target_drop(one))
        ]
        assert beaten == []
    for other in found:
        if other not in best:
            assert any(
                others_drop(one) <= others_drop(other) and target_drop(one) >= target_drop(other)
                for one in best
            )


def test_the_trade_has_a_point_a_condition(evidence: Evidence) -> None:
    figure = figure_of(trade.draw, evidence)
    points = {one.get_label(): one.get_offsets() for one in figure.axes[0].collections}
    same = [one for one in chosen(evidence) if one.method == "iterative"]
    assert sorted(map(tuple, points["iterative"].tolist())) == sorted(
        (others_drop(one), target_drop(one)) for one in same
    )
    assert len(points["random sets"]) == 19
    ring = points["the headline"].tolist()
    assert ring == [[others_drop(evidence.main), target_drop(evidence.main)]]


def test_slopes_have_a_line_a_picture_and_their_mean(evidence: Evidence) -> None:
    figure = figure_of(slopes.draw, evidence)
    assert [axes.get_title() for axes in figure.axes] == [
        "40 targets",
        "40 siblings",
        "40 controls",
    ]
    lines = figure.axes[0].get_lines()
    rows = slopes.tested(evidence, "target")
    drawn_rows = [tuple(one.get_ydata()) for one in lines[: len(rows)]]
    assert drawn_rows == [(row.intact_log_odds, row.blinded_log_odds) for row in rows]
    mean = sum(row.blinded_log_odds for row in rows) / len(rows)
    assert lines[len(rows)].get_ydata()[1] == pytest.approx(mean)


def test_only_test_pictures_are_shown(evidence: Evidence) -> None:
    tuned = evidence.rows[0].model_copy(update={"split": "tune"})
    other = evidence.model_copy(update={"rows": (tuned, *evidence.rows[1:])})
    assert len(slopes.tested(other, "target")) == 39


def test_bars_are_what_was_gained_and_the_layers_counts(evidence: Evidence) -> None:
    went = figure_of(bars.draw_went, evidence)
    widths = sorted(patch.get_width() for patch in went.axes[0].patches)
    assert widths == pytest.approx(sorted(gain for _, gain in evidence.went))
    layers = figure_of(bars.draw_layers, evidence)
    assert [patch.get_height() for patch in layers.axes[0].patches] == list(
        evidence.layers.values()
    )


def test_numbers_beside_bars_touch_no_name_and_what_is_nothing_is_left_out(
    evidence: Evidence,
) -> None:
    went = (("rings", 0.62), ("rays", 0.3799), ("dots", 0.0004), ("spiral", -1.0))
    figure = figure_of(bars.draw_went, evidence.model_copy(update={"went": went}))
    (axes,) = figure.axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["spiral", "rays", "rings"]
    lost = next(text for text in axes.texts if text.get_text() == "−100.0")
    assert lost.get_window_extent().x0 > axes.get_window_extent().x0
    assert min(axes.get_xticks()) >= -1


@pytest.mark.parametrize(("dose", "named"), [(20, "20"), (16, "16")])
def test_doses_are_named_as_far_as_there_is_room(evidence: Evidence, dose: int, named: str) -> None:
    doses = (0, 1, 2, 5, 8, 12, 16, 20, 40, 80)
    with drawing():
        figure = canvas()
        axes = figure.add_subplot()
        dose_axis(axes, doses, dose)
        figure.draw_without_rendering()
        boxes = [
            (tick.get_text(), tick.get_window_extent())
            for tick in axes.get_xticklabels()
            if tick.get_text()
        ]
    words = [text for text, _ in boxes]
    assert ("16" in words) != ("20" in words)
    assert {named, "0", "1", "40", "80"} <= set(words)
    assert all(left.x1 + 2 < right.x0 for (_, left), (_, right) in pairwise(boxes))
    assert len(axes.get_xticks()) == len(doses)  # each has its mark


def test_what_is_drawn_is_said_on_the_axis(evidence: Evidence) -> None:
    figure = figure_of(dose.draw_others, evidence)
    assert figure.axes[0].get_ylabel() == "controls and siblings that keep their label"
    said = slopes.describe(evidence)
    rows = slopes.tested(evidence, "target")
    mean = sum(row.blinded_log_odds - row.intact_log_odds for row in rows) / len(rows)
    assert f"40 of 40 targets fall; the mean change is {number(mean)}." in said
    assert "−" in said


def test_the_matrix_has_a_number_a_cell(evidence: Evidence) -> None:
    figure = figure_of(matrix.draw, evidence)
    numbers = [text.get_text() for text in figure.axes[0].texts]
    assert numbers == [f"{round(100 * cell.drop)}" for cell in evidence.matrix]


def test_two_target_folders_are_the_headline_s_own(evidence: Evidence) -> None:
    cells = [
        one.model_copy(update={"of": "spiral + rings", "own": one.group in ("spiral", "rings")})
        for one in evidence.matrix
        if one.of == "spiral"
    ]
    both = evidence.model_copy(update={"matrix": (*cells, *evidence.matrix[10:])})
    axes = figure_of(matrix.draw, both).axes[0]
    outlined = [one.get_xy() for one in axes.patches if one.get_facecolor()[3] == 0]
    assert [(int(x), int(y)) for x, y in outlined] == [(0, 0), (1, 0), (2, 1), (3, 2), (4, 3)]
    drops = {one.group: number(100 * one.drop, 1) for one in cells}
    said = matrix.describe(both)
    assert f"points: spiral {drops['spiral']}, rings {drops['rings']}, rays" in said
    assert "The most that another's set takes" in said


def test_rivals_are_those_at_the_headline_s_dose(evidence: Evidence) -> None:
    figure = figure_of(rivals.draw, evidence)
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == [
        "iterative, zero",
        "iterative, mean",
        "iterative, resample",
        "iterative, scale by 0.25",
        "contrastive, zero",
        "count, zero",
        "random sets",
        "random, as strong",
    ]
    assert way(evidence.main) == ("zero", 0.0)


@pytest.mark.parametrize("name", [sort.name for sort in SORTS])
def test_inline_figures_take_their_colours_from_the_page(name: str, evidence: Evidence) -> None:
    sort = next(one for one in SORTS if one.name == name)
    with drawing():
        first, again = (inline_svg(drawn(sort, evidence), sort.name, "so") for _ in range(2))
    assert first == again
    assert first.startswith("<svg ")
    assert first.rstrip().endswith("</svg>")
    assert not re.search(r"[:\"] ?#[0-9a-f]{6}", first.replace("#000000", ""))
    assert set(re.findall(r"var\(--(\w+)\)", first)) <= set(DARK)


@pytest.mark.filterwarnings("error")
def test_names_may_be_in_any_script_and_of_any_number(evidence: Evidence) -> None:
    groups = [f"群 {number} with a name that is long" for number in range(20)]
    cells = [
        evidence.matrix[0].model_copy(update={"of": one, "group": other})
        for one in groups
        for other in groups
    ]
    wide = evidence.model_copy(update={"matrix": tuple(cells), "target_label": "螺旋 $x$"})
    for sort in fitting(wide):
        with drawing():
            text = inline_svg(drawn(sort, wide), sort.name, sort.describe(wide))
        assert ("min-width" in text) == (sort.name == "matrix")  # scrolls on a phone
        assert ("螺旋 $x$" in text) == (sort.name == "slopes")  # on the axis, as it is


def test_each_colour_of_the_light_page_is_its_own_and_has_a_dark_one() -> None:
    assert len(set(LIGHT.values())) == len(LIGHT)
    assert LIGHT.keys() == DARK.keys()


def test_a_pdf_has_a_page_a_figure(exploratory: Evidence) -> None:
    pdf = figures_pdf(exploratory)
    assert pdf.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type /Page\b", pdf)) == len(list(fitting(exploratory)))
    assert EXPLORATORY.encode() in pdf  # in its title


def test_png_files_are_numbered_as_in_the_page(evidence: Evidence) -> None:
    files = figures_png(evidence)
    assert list(files)[:2] == ["01-dose-targets.png", "02-dose-others.png"]
    for data in files.values():
        image = Image.open(io.BytesIO(data))
        assert image.width >= 1200
        assert image.info["Title"] == "Spirals against the rest (study k3v8m2q0zt)"

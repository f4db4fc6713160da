"""A whole study through `analyse`: every figure is counted again from the logits behind it."""

from html import unescape

import numpy as np
import pytest
from scipy import stats
from scipy.special import log_softmax, softmax

from beholder.evidence.analysis import analyse
from beholder.evidence.document import Evidence
from beholder.report import words
from beholder.report.page import render_page
from tests.evidence.drawn import (
    LABELS,
    RANKING,
    TARGET,
    Drawn,
    condition,
    draw,
    full,
    lots,
    of_logits,
    subjects,
)

pytestmark = pytest.mark.slow  # some tenths of a second each


def concluded(drawn: Drawn) -> Evidence:
    """What it shows; as JSON it says the same."""
    found = analyse(drawn.plan, drawn.readings, study="k3v8m2q0zt", name="Spirals", labels=LABELS)
    assert Evidence.model_validate_json(found.model_dump_json()) == found
    return found


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    return draw(stability=0.71)


@pytest.fixture(scope="module")
def evidence(drawn: Drawn) -> Evidence:
    return concluded(drawn)


def of(drawn: Drawn, *roles: str) -> np.ndarray:
    """Places of the test pictures of these roles."""
    found = [one.split == "test" and one.role in roles for one in drawn.plan.subjects]
    return np.flatnonzero(found)


def kept(drawn: Drawn, number: int, rows: np.ndarray) -> np.ndarray:
    own = np.array([drawn.plan.subjects[row].label for row in rows])
    return drawn.logits[number][rows].argmax(axis=1) == own


def gap_of(drawn: Drawn, number: int) -> float:
    lost = {}
    for name, roles in (("target", ["target"]), ("others", ["sibling", "control"])):
        rows = of(drawn, *roles)
        lost[name] = kept(drawn, 0, rows).mean() - kept(drawn, number, rows).mean()
    return lost["target"] - lost["others"]


def log_odds(logits: np.ndarray, label: int) -> np.ndarray:
    others = np.delete(logits, label, axis=1)
    return logits[:, label] - np.log(np.exp(others).sum(axis=1))


def test_conditions_become_outcomes_but_channels_alone(drawn: Drawn, evidence: Evidence) -> None:
    wanted = [one for one in drawn.plan.conditions if one.kind != "alone"]
    assert [one.name for one in evidence.outcomes] == [one.name for one in wanted]
    for one, planned in zip(evidence.outcomes, wanted, strict=True):
        assert (one.kind, one.method, one.mode) == (planned.kind, planned.method, planned.mode)
        assert (one.dose, one.channels, one.draw) == (planned.dose, planned.size, planned.draw)
        by_lot = planned.kind in ("random", "matched")
        assert (one.mcnemar is None) == (len(one.groups) == 0) == by_lot
    assert evidence.main.name == "main"


@pytest.mark.parametrize("role", ["target", "sibling", "control"])
@pytest.mark.parametrize("name", ["main", "by count", "kept", "random 3 7"])
def test_a_role_s_figures(drawn: Drawn, evidence: Evidence, name: str, role: str) -> None:
    number = 1 + [one.name for one in drawn.plan.conditions].index(name)
    rows = of(drawn, role)
    group = next(one for one in evidence.outcomes if one.name == name).role(role)
    before, after = drawn.logits[0][rows], drawn.logits[number][rows]
    p, q = softmax(before, axis=1), softmax(after, axis=1)
    own = np.array([drawn.plan.subjects[row].label for row in rows])
    ranks = stats.rankdata(-after, axis=1)[:, TARGET]
    hits = int(kept(drawn, number, rows).sum())
    share = stats.binomtest(hits, len(rows)).proportion_ci(method="wilson")
    assert group.n == len(rows)
    assert group.kept.value == hits / len(rows)
    assert (group.kept.low, group.kept.high) == pytest.approx((share.low, share.high))
    assert group.drop == pytest.approx((kept(drawn, 0, rows).sum() - hits) / len(rows))
    assert group.p_target == pytest.approx(q[:, TARGET].mean())
    assert group.p_own == pytest.approx(q[np.arange(len(rows)), own].mean())
    assert group.margin == pytest.approx(
        (log_odds(after, TARGET) - log_odds(before, TARGET)).mean()
    )
    assert group.rank == np.median(ranks)
    assert group.top5 == pytest.approx((ranks <= 5).mean())
    assert group.kl == pytest.approx((p * np.log(p / q)).sum(axis=1).mean())


def test_the_headline_s_means_have_intervals(drawn: Drawn, evidence: Evidence) -> None:
    """By role (30 or 20 pictures: a bootstrap, or t) and by folder; those of no other condition."""
    for group in (*evidence.main.roles, *evidence.main.groups):
        assert group.margin_interval is not None
        assert group.kl_interval is not None
        assert group.margin_interval.value == pytest.approx(group.margin)
        assert group.kl_interval.value == pytest.approx(group.kl)
        assert group.margin_interval.low < group.margin < group.margin_interval.high
        assert 0 <= group.kl_interval.low < group.kl < group.kl_interval.high
    rows = of(drawn, "sibling")
    change = log_odds(drawn.logits[1][rows], TARGET) - log_odds(drawn.logits[0][rows], TARGET)
    sibling = evidence.main.role("sibling")
    assert sibling is not None
    assert sibling.margin_interval is not None
    student = stats.ttest_1samp(change, 0).confidence_interval()
    assert (sibling.margin_interval.low, sibling.margin_interval.high) == pytest.approx(
        (student.low, student.high)
    )
    others = [group for one in evidence.outcomes[1:] for group in (*one.roles, *one.groups)]
    assert {(one.margin_interval, one.kl_interval) for one in others} == {(None, None)}


def test_folders_have_figures_of_their_own(drawn: Drawn, evidence: Evidence) -> None:
    assert [(one.role, one.name, one.n) for one in evidence.main.groups] == [
        ("target", "spiral", 30), ("sibling", "rings", 20), ("control", "checks", 15),
        ("control", "star", 15),
    ]  # fmt: skip
    checks, star = evidence.main.groups[2:]
    control = evidence.main.role("control")
    assert control is not None
    assert control.kl == pytest.approx((checks.kl + star.kl) / 2)


def test_selectivity_and_its_tests(drawn: Drawn, evidence: Evidence) -> None:
    names = [one.name for one in drawn.plan.conditions]
    for one in evidence.outcomes:
        assert one.selectivity is not None
        assert one.selectivity.value == pytest.approx(gap_of(drawn, 1 + names.index(one.name)))
    by_lot = [gap_of(drawn, 1 + names.index(f"random 3 {n}")) for n in range(39)]
    single = [gap_of(drawn, 1 + names.index(f"random 1 {n}")) for n in range(19)]
    found = {one.name: one for one in evidence.outcomes}
    for name, draws in (("main", by_lot), ("by count", by_lot), ("half", single)):
        beaten = sum(one >= gap_of(drawn, 1 + names.index(name)) - 1e-9 for one in draws)
        assert found[name].permutation == (1 + beaten) / (1 + len(draws))
    tested = {name for name, one in found.items() if one.permutation is not None}
    assert tested == {"main", "by count", "half"}
    lost = kept(drawn, 0, of(drawn, "target")) & ~kept(drawn, 1, of(drawn, "target"))
    assert found["main"].mcnemar == pytest.approx(0.5 ** (lost.sum() - 1))


def test_holm_is_over_the_methods_that_were_compared(evidence: Evidence) -> None:
    ps = {one.name: one.permutation for one in evidence.outcomes if one.holm is not None}
    assert set(ps) == {"main", "by count"}
    first, second = sorted(p for p in ps.values() if p is not None)
    adjusted = {2 * first, max(2 * first, second)}
    assert {one.holm for one in evidence.outcomes if one.holm is not None} == adjusted


def test_a_method_alone_is_not_corrected() -> None:
    alone = concluded(draw([condition("main"), *lots("random", 19)]))
    assert alone.main.permutation == 1 / 20
    assert alone.main.holm is None


def test_a_set_by_lot_is_no_method_that_another_is_corrected_for() -> None:
    by_lot = condition("by lot", method="random")
    pair = concluded(draw([condition("main"), by_lot, *lots("random", 19)]))
    assert [one.holm for one in pair.outcomes if one.kind == "chosen"] == [None, None]
    assert pair.outcomes[1].permutation is not None
    three = concluded(draw([*full(), by_lot]))
    assert {one.name for one in three.outcomes if one.holm is not None} == {"main", "by count"}


def test_bands_by_kind_and_dose(drawn: Drawn, evidence: Evidence) -> None:
    found = {(one.kind, one.mode, one.dose): one for one in evidence.bands}
    assert {key: one.draws for key, one in found.items()} == {
        ("random", "zero", 1): 19, ("random", "zero", 3): 39, ("matched", "zero", 3): 19,
    }  # fmt: skip
    names = [one.name for one in drawn.plan.conditions]
    numbers = [1 + names.index(f"random 3 {n}") for n in range(39)]
    for role in ("target", "sibling", "control"):
        shares = [kept(drawn, number, of(drawn, role)).mean() for number in numbers]
        one = found["random", "zero", 3].kept[role]
        assert (one.low, one.median, one.high) == pytest.approx(
            tuple(np.quantile(shares, (0.025, 0.5, 0.975)))
        )
    gaps = [gap_of(drawn, number) for number in numbers]
    wide = found["random", "zero", 3].selectivity
    assert wide is not None
    assert wide.high == pytest.approx(np.quantile(gaps, 0.975))


def test_each_picture_has_a_row(drawn: Drawn, evidence: Evidence) -> None:
    assert [row.position for row in evidence.rows] == list(range(len(drawn.plan.subjects)))
    for row, subject in zip(evidence.rows, drawn.plan.subjects, strict=True):
        before, after = drawn.logits[0][row.position], drawn.logits[1][row.position]
        assert (row.sha256, row.split, row.group) == (subject.sha256, subject.split, subject.group)
        assert (row.intact_label, row.blinded_label) == (
            LABELS[before.argmax()], LABELS[after.argmax()],
        )  # fmt: skip
        assert row.intact_log_odds == pytest.approx(log_odds(before[None], TARGET)[0])
        assert row.blinded_log_odds == pytest.approx(log_odds(after[None], TARGET)[0])
        assert row.blinded_p == pytest.approx(softmax(after)[TARGET])


def test_where_the_probability_went(drawn: Drawn, evidence: Evidence) -> None:
    rows = of(drawn, "target")
    gained = (softmax(drawn.logits[1][rows], axis=1) - softmax(drawn.logits[0][rows], axis=1)).mean(
        axis=0
    )
    assert dict(evidence.went) == pytest.approx(dict(zip(LABELS, gained, strict=True)), abs=1e-6)
    gains = [gain for _, gain in evidence.went]
    assert gains == sorted(gains, reverse=True)
    assert sum(gains) == pytest.approx(0, abs=1e-9)


def test_the_matrix_has_the_headline_s_row_first(drawn: Drawn, evidence: Evidence) -> None:
    sets = list(dict.fromkeys(one.of for one in evidence.matrix))
    assert sets == ["spiral", "rings"]
    assert len(evidence.matrix) == 2 * 4
    number = 1 + [one.name for one in drawn.plan.conditions].index("of rings")
    star = next(one for one in evidence.matrix if (one.of, one.group) == ("rings", "star"))
    rows = np.array([r for r in of(drawn, "control") if drawn.plan.subjects[r].group == "star"])
    assert star.drop == pytest.approx(
        kept(drawn, 0, rows).mean() - kept(drawn, number, rows).mean()
    )
    assert star.n == 15


def test_the_matrix_knows_its_own_by_role_and_tells_folders_of_one_name_apart() -> None:
    who = subjects(
        {
            "spiral": ("target", 0, 2, 4), "helix": ("target", 0, 2, 4),
            "rings": ("sibling", 1, 2, 4), "star": ("control", 6, 2, 4),
        }
    )  # fmt: skip
    who = [
        one.model_copy(update={"group": "spiral"}) if one.group == "star" else one for one in who
    ]
    of_spiral = condition("of spiral", kind="matrix", of="spiral")
    drawn = draw([condition("main"), of_spiral], who)
    found = {(one.of, one.group): one for one in concluded(drawn).matrix}
    columns = ["spiral (target)", "helix", "rings", "spiral (control)"]
    rows = ["spiral (target) + helix", "spiral (control)"]
    assert list(found) == [(row, column) for row in rows for column in columns]
    assert {key for key, one in found.items() if one.own} == {
        (rows[0], "spiral (target)"), (rows[0], "helix"), (rows[1], "spiral (control)"),
    }  # fmt: skip
    assert {one.n for one in found.values()} == {4}
    stars = [one.position for one in who if one.role == "control" and one.split == "test"]
    lost = [kept(drawn, number, np.array(stars)).mean() for number in (0, 2)]
    assert found[rows[1], "spiral (control)"].drop == pytest.approx(lost[0] - lost[1])


def test_channels_with_what_each_does_alone(drawn: Drawn, evidence: Evidence) -> None:
    assert evidence.layers == {20: 1, 22: 1, 24: 1}
    assert [(one.rank, one.layer, one.channel, one.score) for one in evidence.channels] == [
        (rank, one.layer, one.channel, one.score) for rank, one in enumerate(RANKING[:3], start=1)
    ]
    assert evidence.channels[0].target_mean == 3.5
    assert evidence.channels[0].fraction_active == 0.25
    assert evidence.channels[1].fraction_active is None
    names = [one.name for one in drawn.plan.conditions]
    targets, others = of(drawn, "target"), of(drawn, "sibling", "control")
    own = np.array([drawn.plan.subjects[row].label for row in others])
    for place, one in enumerate(evidence.channels):
        after = drawn.logits[1 + names.index(f"alone {place}")]
        change = log_odds(after[targets], TARGET) - log_odds(drawn.logits[0][targets], TARGET)
        assert one.effect is not None
        assert one.effect.value == pytest.approx(change.mean())
        assert one.effect.low < one.effect.value < one.effect.high < 0
        spread = stats.sem(change)
        assert one.effect.high - one.effect.low == pytest.approx(3.92 * spread, rel=0.15)
        odds = []
        for logits in (after[others], drawn.logits[0][others]):
            p = np.exp(log_softmax(logits, axis=1)[np.arange(len(others)), own])
            odds.append(np.log(p / (1 - p)))
        change = odds[0] - odds[1]
        assert one.control_effect is not None
        assert one.control_effect.value == pytest.approx(change.mean())
        width = one.control_effect.high - one.control_effect.low
        assert width == pytest.approx(3.92 * stats.sem(change), rel=0.15)


def test_the_rest_is_as_planned(drawn: Drawn, evidence: Evidence) -> None:
    assert evidence.pictures == {
        "choose": {"target": 12, "sibling": 10, "control": 16},
        "test": {"target": 30, "sibling": 20, "control": 30},
    }
    assert evidence.stability == 0.71
    assert evidence.target_by == "label"
    assert evidence.record["network"] == drawn.plan.record["network"]
    assert evidence.record["versions"].keys() == {
        "torch", "numpy", "scipy", "statsmodels", "scikit-learn",
    }  # fmt: skip
    assert evidence.record["statistics"]["seed"] == drawn.plan.seed


def test_it_comes_out_the_same_whatever_the_order(drawn: Drawn, evidence: Evidence) -> None:
    shuffled = drawn.plan.model_copy(update={"subjects": drawn.plan.subjects[::-1]})
    again = analyse(shuffled, drawn.readings, study="k3v8m2q0zt", name="Spirals", labels=LABELS)
    assert again == evidence


@pytest.mark.slow
def test_the_report_says_it(evidence: Evidence) -> None:
    text = unescape(render_page(evidence))
    for said in (evidence.sentence, *evidence.caveats):
        assert said in text
    for group in (*evidence.main.roles, *evidence.main.groups):
        assert words.number_interval(group.margin_interval) in text
        assert words.number_interval(group.kl_interval, 3) in text
    for one in evidence.channels:
        assert words.number_interval(one.effect) in text
        assert words.number_interval(one.control_effect) in text
    assert "erase" not in text.lower()


@pytest.fixture(scope="module")
def left_out() -> Drawn:
    """Leave-one-out of four targets: what was chosen without one takes it from 0 and 2 alone."""
    pictures = subjects({"spiral": ("target", 0, 0, 4), "star": ("control", 6, 0, 3)})
    pictures = [
        one.model_copy(update={"fold": one.position}) if one.role == "target" else one
        for one in pictures
    ]
    folds = [condition(f"fold {n}", fold=n) for n in range(4)]
    conditions = [condition("main"), *folds, *lots("random", 19)]
    logits = np.zeros((1 + len(conditions), len(pictures), len(LABELS)))
    for row, one in enumerate(pictures):
        logits[:, row, one.label] = 4.0
    logits[1, :4, TARGET] = -4.0  # of all targets, it takes each
    for fold in (0, 2):
        logits[2 + fold, fold, TARGET] = -3.0
    ran = np.ones(logits.shape[:2], bool)
    ran[2:6] = False
    for fold in range(4):
        ran[2 + fold, fold] = True
    why = "four targets are too few to hold any out: each was tested by leaving it out"
    return of_logits(conditions, pictures, logits, ran=ran, exploratory=why)


def test_a_left_out_target_is_read_under_the_set_chosen_without_it(left_out: Drawn) -> None:
    found = concluded(left_out)
    target, control = found.main.role("target"), found.main.role("control")
    assert target is not None
    assert control is not None
    assert (target.kept.value, target.drop, control.drop) == (0.5, 0.5, 0.0)
    assert [one.name for one in found.outcomes if one.kind == "chosen"] == ["main"]
    assert [row.blinded_label == "spiral" for row in found.rows[:4]] == [False, True, False, True]
    assert found.rows[0].blinded_log_odds == pytest.approx(-3 - np.log(6))
    assert found.main.permutation == 1 / 20
    gained = dict(found.went)
    assert gained["spiral"] == pytest.approx(
        (softmax([-3.0, *[0.0] * 6])[0] - softmax([4.0, *[0.0] * 6])[0]) / 2, abs=1e-6
    )
    assert found.probe.intact is None


def test_what_is_exploratory_says_so_first(left_out: Drawn) -> None:
    found = concluded(left_out)
    reason = "Four targets are too few to hold any out: each was tested by leaving it out."
    assert found.exploratory == reason[:1].lower() + reason[1:-1]
    assert found.sentence.startswith(f"Exploratory: {reason} When 3 channels are set to zero")
    assert "held-out" not in found.sentence
    assert found.caveats[0] == f"Exploratory: {reason}"
    assert "each channel by itself were chosen with all of them in view" in found.caveats[1]


def test_a_failed_fold_leaves_its_target_out_alone(left_out: Drawn) -> None:
    found = concluded(left_out.without([2]))
    target = found.main.role("target")
    assert target is not None
    assert (target.n, target.kept.value) == (3, 2 / 3)
    assert found.caveats[2].startswith("1 of 7 test pictures could not be read")


def test_every_kind_is_drawn() -> None:
    assert {one.kind for one in full()} == {
        "chosen", "random", "matched", "keep", "matrix", "alone",
    }  # fmt: skip

"""Contact sheets: tiles where they belong, words inside their tiles, bounded, lazily opened."""

from collections.abc import Callable

import pytest
from PIL import Image, ImageChops

from beholder.errors import PictureError
from beholder.layers import LAYERS
from beholder.sheets import (
    GridRow,
    Group,
    Line,
    Page,
    Section,
    Subject,
    Tile,
    grid_sheet,
    layers_sheet,
    steps_sheet,
    study_sheet,
)
from beholder.sheets.dreams import SILENT
from beholder.sheets.page import ALARM, GROUND
from beholder.sheets.text import ELLIPSIS, fit, font, printable, wrap


def flat(red: int, green: int = 0, blue: int = 0, size: tuple[int, int] = (64, 64)) -> Image.Image:
    return Image.new("RGB", size, (red, green, blue))


def middle(box: tuple[int, int, int, int]) -> tuple[int, int]:
    left, top, right, bottom = box
    return (left + right) // 2, (top + bottom) // 2


def boxes(page: Page, sections: list[Section]) -> list[tuple[int, int, int, int]]:
    return [box for _, box in page.layout(sections).tiles]


def test_tiles_stand_row_by_row_in_the_colours_of_their_pictures() -> None:
    page = Page("title", columns=3, cell=(40, 30))
    sections = [Section([Tile(flat(40 * n)) for n in range(5)]), Section([Tile(flat(0, 200))])]
    sheet = page.draw(sections)
    found = boxes(page, sections)
    assert [sheet.getpixel(middle(box))[0] for box in found[:5]] == [0, 40, 80, 120, 160]
    assert sheet.getpixel(middle(found[5])) == (0, 200, 0)
    assert len({top for _, top, _, _ in found}) == 3
    assert all(right - left == 40 and bottom - top == 30 for left, top, right, bottom in found)


def test_tiles_never_touch_each_other_or_the_edge() -> None:
    page = Page("title", columns=4, cell=(50, 50), group=2)
    sections = [Section([Tile(flat(9))] * 11, "heading"), Section([Tile(flat(9))] * 2)]
    width, height = page.layout(sections).size
    found = boxes(page, sections)
    for number, (left, top, right, bottom) in enumerate(found):
        assert left > 0
        assert top > 0
        assert right < width
        assert bottom < height
        for other in found[:number]:
            assert left >= other[2] or right <= other[0] or top >= other[3] or bottom <= other[1]


@pytest.mark.parametrize("above", [True, False])
def test_a_caption_stays_in_its_tile(above: bool) -> None:
    page = Page("t", columns=2, cell=(120, 40), above=above, lines=2)
    long = Line("soft-coated wheaten terrier of the far north", " 99.94%")
    bare = [Section([Tile(flat(9)), Tile(flat(9))])]
    captioned = [Section([Tile(flat(9), (long, long)), Tile(flat(9))])]
    empty, written = page.draw(bare), page.draw(captioned)
    left, top, right, bottom = boxes(page, captioned)[0]
    changed = _difference(empty, written)
    assert changed is not None
    assert changed[0] >= left - 1
    assert changed[2] <= right + 1
    assert changed[3] <= top if above else changed[1] >= bottom


def _difference(one: Image.Image, other: Image.Image) -> tuple[int, int, int, int] | None:
    from PIL import ImageChops

    return ImageChops.difference(one, other).getbbox()


def test_a_long_title_wraps_and_stays_on_the_page() -> None:
    page = Page("kelpie " * 30, "30 steps " * 40, columns=1, cell=(64, 64))
    sheet = page.draw([Section([Tile(flat(9))])])
    right_margin = sheet.crop((sheet.width - 20, 0, sheet.width, sheet.height))
    assert right_margin.getcolors() == [(20 * sheet.height, GROUND)]
    short = Page("kelpie", columns=1, cell=(64, 64)).draw([Section([Tile(flat(9))])])
    assert sheet.height > short.height + 100


def test_text_is_shortened_before_its_tail() -> None:
    face = font(16)
    shortened = fit("American black bear", 120, face, tail=" 48.36%")
    assert shortened.endswith(f"{ELLIPSIS} 48.36%")
    assert face.getlength(shortened) <= 120
    assert fit("kelpie", 400, face, tail=" 92.88%") == "kelpie 92.88%"
    assert face.getlength(fit("x" * 500, 90, face)) <= 90


def test_every_wrapped_line_fits() -> None:
    face = font(18)
    text = "one two three " * 8 + "a" * 200
    lines = wrap(text, 200, face)
    assert len(lines) > 3
    assert all(face.getlength(line) <= 200 for line in lines)
    assert wrap("", 200, face) == []


def test_letters_that_the_font_lacks_are_spelled() -> None:
    assert printable("Café – Ærø\n№ 5 · 日") == "Cafe - AEro No 5 · ?"


def test_layers_sheet_has_the_start_and_every_layer_in_eight_columns() -> None:
    pictures = {layer.index: flat(5 * layer.index + 60) for layer in LAYERS}
    sheet = layers_sheet("sky", flat(0, 0, 255), pictures, about="30 steps")
    page = Page("sky", "30 steps")
    found = boxes(page, [Section([Tile(None)] * 38)])
    assert sheet.size == page.layout([Section([Tile(None)] * 38)]).size
    assert sheet.getpixel(middle(found[0])) == (0, 0, 255)
    assert [sheet.getpixel(middle(box))[0] for box in found[1:]] == [60 + 5 * n for n in range(37)]
    assert len({top for _, top, _, _ in found}) == 5


def test_a_picture_keeps_its_shape_when_the_sheet_has_an_aspect() -> None:
    wide = flat(200, size=(400, 200))
    sheet = layers_sheet("wide", wide, {35: wide}, aspect=2.0)
    cell = Page("wide", cell=(224, 112), crop=False)
    (left, top, right, bottom), _ = boxes(cell, [Section([Tile(None)] * 2)])
    assert sheet.getpixel((left + 3, top + 3)) == (200, 0, 0)
    assert sheet.getpixel((right - 3, bottom - 3)) == (200, 0, 0)


def test_steps_sheet_has_a_row_a_layer() -> None:
    dreams = {layer: {step: flat(step) for step in (10, 60, 110)} for layer in (25, 35)}
    two = steps_sheet("dog", flat(0), dreams)
    one = steps_sheet("dog", flat(0), {25: dreams[25]})
    assert two.width == one.width
    assert two.height > one.height + 224


def test_an_objective_stands_where_its_layer_would() -> None:
    rows = [GridRow("p", flat(1), [flat(2)])]
    named = grid_sheet("one", [28], rows, objective="28  conv5_1")
    assert ImageChops.difference(named, grid_sheet("one", [28], rows)).getbbox() is None
    other = grid_sheet("one", [28], rows, objective="conv5_1:0-3*2 - conv4_2:1*0.5")
    assert ImageChops.difference(named, other).getbbox() is not None
    steps = {28: {10: flat(1), 20: flat(2)}}
    of_layer = steps_sheet("one", flat(0), steps, about="goal")
    same = steps_sheet("one", flat(0), steps, about="28  conv5_1 · goal", objective="goal")
    assert ImageChops.difference(same, of_layer).getbbox() is None


@pytest.mark.slow
def test_grid_puts_pairs_side_by_side_and_says_what_it_leaves_out() -> None:
    rows = [GridRow(f"p{number}", flat(1), [flat(2)]) for number in range(100)]
    all_of_60 = grid_sheet("many", [35], rows[:60])
    first_60 = grid_sheet("many", [35], rows)
    assert first_60.width == all_of_60.width
    assert 0 < first_60.height - all_of_60.height < 50  # the line "first 60 of 100"


def test_grid_of_all_layers_is_bounded_in_tiles() -> None:
    layers = range(37)
    rows = [GridRow(f"p{number}", None, [None] * 37, ["failed: no"] * 37) for number in range(60)]
    rows += [GridRow(f"p{number}", None, [flat(1)] * 37) for number in range(60)]
    sheet = grid_sheet("many", layers, rows)
    assert sheet.width * sheet.height < 60_000_000


def test_a_picture_without_any_dream_takes_one_row_of_a_long_grid() -> None:
    lost = [GridRow("p", None, [None] * 37, ["failed"] * 37, "no picture")]
    there = [GridRow("p", flat(1), [flat(2)] * 37)]
    one, both = grid_sheet("g", range(37), lost), grid_sheet("g", range(37), there)
    assert both.height - one.height == 4 * (224 + 30 + 14)  # five rows against one


def test_pictures_are_opened_one_at_a_time_and_only_those_shown() -> None:
    opened: list[int] = []

    def opener(number: int) -> Callable[[], Image.Image]:
        def open_it() -> Image.Image:
            opened.append(number)
            return flat(number)

        return open_it

    subjects = [Subject(f"p{n}", opener(n), ("a", 0.5), ("b", 0.5)) for n in range(100)]
    study_sheet("many", [Group("targets", subjects, 1000), Group("controls", subjects[:5])])
    assert opened == [*range(55), *range(5)]


def test_a_picture_that_fails_to_open_leaves_its_tile_blank() -> None:
    def broken() -> Image.Image:
        raise PictureError("the file is damaged.")

    sheet = layers_sheet("p", broken, {35: flat(200)})
    found = boxes(Page("p"), [Section([Tile(None)] * 2)])
    assert sheet.getpixel(middle(found[1])) == (200, 0, 0)
    assert sheet.getpixel((found[0][0] + 5, found[0][1] + 5)) == (236, 234, 228)


def test_study_sheet_frames_only_what_changed() -> None:
    kept = Subject("a", flat(0, 90), ("kelpie", 0.98), ("kelpie", 0.3))
    changed = Subject("b", flat(0, 0, 90), ("kelpie", 0.9), ("toy terrier", 0.15))
    sheet = study_sheet("s", [Group("kelpies", [kept, changed])])
    page = Page("s", columns=5, cell=(272, 272), above=True, lines=2)
    first, second = boxes(page, [Section([Tile(None)] * 2, "kelpies")])
    assert sheet.getpixel((second[0] + 2, second[1] + 50)) == ALARM
    assert sheet.getpixel((first[0] + 2, first[1] + 50)) == (0, 90, 0)
    assert kept.changed is False
    assert changed.changed is True


def test_empty_groups_and_missing_verdicts_are_drawn() -> None:
    waiting = Subject("a", None, None, None, "failed: the file is empty.")
    assert study_sheet("s", [Group("kelpies", []), Group("controls", [waiting])]).width > 500
    assert study_sheet("s", [Group("kelpies", [])]).height > 100


def test_a_silent_dream_says_so() -> None:
    picture = Image.new("RGB", (224, 224), "red")
    plain, silent = (
        layers_sheet("sky", picture, {5: picture}, notes={5: note}) for note in ("done", SILENT)
    )
    assert plain.size == silent.size
    assert ImageChops.difference(plain, silent).getbbox() is not None

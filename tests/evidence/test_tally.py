"""A study's classes add up, in any order and through bytes."""

import numpy as np
import pytest

from beholder.errors import InvalidInput
from beholder.evidence.tally import Tally, relu_spans
from beholder.jobs.outcomes import digest
from tests.evidence.answered import RELUS, TOTAL, WIDTHS, answered


def tally(*parts):
    made = Tally()
    for part in parts:
        names = list(zip(part.role.tolist(), part.group.tolist(), strict=True))
        made.add(names, part.positions.tolist(), part.sha256.tolist(), part.strengths)
    return made


def some(whole, rows):
    return type(whole)(**{name: value[rows] for name, value in vars(whole).items()})


@pytest.fixture
def drawn():
    """Twelve pictures of two folders, and one without; a third of the strengths are 0."""
    groups = {"kelpie": ("target", 5, 0), "skunk": ("control", 7, 1), "": ("control", 1, 2)}
    found = answered(groups)
    found.strengths[np.random.default_rng(3).random(found.strengths.shape) < 1 / 3] = 0
    return found


def test_spans_follow_each_other():
    spans = relu_spans(WIDTHS)
    assert list(spans) == RELUS
    assert [spans[1], spans[3], spans[6]] == [slice(0, 3), slice(3, 6), slice(6, 10)]
    assert spans[35].stop == TOTAL


def test_classes_are_the_folders_and_the_role_where_there_is_none(drawn):
    found = tally(drawn).class_rows()
    assert [(one.number, one.label, one.role, one.n) for one in found] == [
        (0, "kelpie", "target", 5), (1, "skunk", "control", 7), (2, "control", "control", 1),
    ]  # fmt: skip
    assert found[0].pictures == digest(drawn.sha256[:5])


def test_a_picture_that_is_there_twice_makes_another_class_of_it(drawn):
    once, twice = (tally(some(drawn, rows)) for rows in ([0, 1, 2], [0, 1, 2, 2]))
    (one,), (other,) = once.class_rows(), twice.class_rows()
    assert (one.n, other.n) == (3, 4)
    assert one.pictures != other.pictures
    assert one.pictures == tally(some(drawn, [2, 0, 1])).class_rows()[0].pictures


def test_sums_are_those_of_the_class_s_pictures(drawn):
    rows = list(tally(drawn).channel_rows(WIDTHS))
    assert len(rows) == 3 * TOTAL
    keys = [(row.number, row.layer, row.channel) for row in rows]
    assert keys == sorted(set(keys))
    row = next(row for row in rows if (row.number, row.layer, row.channel) == (1, 6, 2))
    seen = drawn.strengths[5:12, 6 + 2].astype(np.float64)
    assert row.active == np.count_nonzero(seen)
    assert row.sum == pytest.approx(seen.sum())
    assert row.squares == pytest.approx((seen**2).sum())
    assert row.maximum == seen.max()
    assert {type(value) for value in vars(row).values()} == {int, float}


def test_parts_in_any_order_add_up_to_the_whole(drawn):
    parts = [some(drawn, rows) for rows in ([12, 6], [0, 7, 3], [1, 2, 4, 5, 8, 9, 10, 11])]
    whole, added = tally(drawn), tally(*parts)
    assert added.class_rows() == whole.class_rows()
    for mine, other in zip(added.channel_rows(WIDTHS), whole.channel_rows(WIDTHS), strict=True):
        assert vars(mine) == pytest.approx(vars(other))


def test_many_pictures_are_counted_in_slices(drawn, monkeypatch):
    whole = tally(drawn)
    monkeypatch.setattr("beholder.evidence.tally._SLICE", 2)
    sliced = tally(drawn)
    assert sliced.class_rows() == whole.class_rows()
    for mine, other in zip(sliced.channel_rows(WIDTHS), whole.channel_rows(WIDTHS), strict=True):
        assert vars(mine) == pytest.approx(vars(other))


def test_bytes_hold_all_of_it(drawn):
    whole, again = tally(drawn), Tally.from_bytes(tally(drawn).to_bytes())
    assert again.class_rows() == whole.class_rows()
    assert list(again.channel_rows(WIDTHS)) == list(whole.channel_rows(WIDTHS))
    merged = Tally()
    merged.merge(again)
    assert merged.class_rows() == whole.class_rows()
    assert Tally.from_bytes(Tally().to_bytes()).class_rows() == []


@pytest.mark.parametrize("data", [b"", b"PK no archive", Tally().to_bytes()[:-40]])
def test_other_bytes_are_refused(data):
    with pytest.raises(InvalidInput, match="no tally"):
        Tally.from_bytes(data)

"""Raw logits: those of the evidence's rows, whole through bytes; and answers merge in any order."""

import numpy as np
import pytest

from beholder.errors import InvalidInput
from beholder.evidence.analysis import analyse
from beholder.evidence.answers import Answers
from beholder.evidence.logits import Logits
from beholder.evidence.pictures import raw_logits
from tests.evidence.answered import answered
from tests.evidence.drawn import LABELS, condition, draw

ARRAYS = ("positions", "intact", "blinded")


@pytest.mark.slow  # some tenths of a second
def test_they_are_of_the_pictures_that_have_a_row():
    drawn = draw([condition("main")]).without([0, 17, 40])
    evidence = analyse(drawn.plan, drawn.readings, study="s", name="", labels=LABELS)
    found = raw_logits(evidence.rows, drawn.readings)
    assert found.positions.tolist() == [row.position for row in evidence.rows]
    assert {0, 17, 40}.isdisjoint(found.positions.tolist())
    np.testing.assert_array_equal(found.intact, drawn.logits[0].astype(np.float32))
    np.testing.assert_array_equal(found.blinded, drawn.logits[1].astype(np.float32))


def test_bytes_hold_all_of_them_and_are_told_of():
    drawn = Logits(np.array([3, 5]), *np.random.default_rng(1).normal(size=(2, 2, 4)).astype("f4"))
    data = drawn.to_bytes()
    assert data == drawn.to_bytes()
    again = Logits.from_bytes(data)
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(again, name), getattr(drawn, name))
    told = drawn.told(data)
    assert told.arrays == {"positions": (2,), "intact": (2, 4), "blinded": (2, 4)}
    assert told.bytes == len(data)


@pytest.mark.parametrize("cut", [0, 40])
def test_what_is_damaged_is_refused(cut):
    data = Logits(np.arange(2), *np.zeros((2, 2, 4), np.float32)).to_bytes()
    with pytest.raises(InvalidInput, match=r"are no logits .*run the study again"):
        Logits.from_bytes(data[:cut])


def test_arrays_of_different_lengths_are_refused():
    data = Logits(np.arange(3), *np.zeros((2, 2, 4), np.float32)).to_bytes()
    with pytest.raises(InvalidInput, match="are no logits"):
        Logits.from_bytes(data)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_answers_merge_by_position_whatever_their_order(order):
    whole = answered({"a": ("target", 5, 0), "b": ("control", 4, 1)})
    spans = [slice(0, 2), slice(2, 6), slice(6, 9)]
    parts = [
        Answers(**{name: rows[spans[one]] for name, rows in vars(whole).items()}) for one in order
    ]
    merged = Answers.merge(parts)
    for name, rows in vars(whole).items():
        np.testing.assert_array_equal(getattr(merged, name), rows)

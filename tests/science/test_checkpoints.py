"""A dream that is taken up in its middle becomes what it would have become, bit for bit."""

from typing import Any

import pytest
import torch

from beholder.errors import InvalidSpec
from beholder.science.checkpoint import Checkpoint
from beholder.science.dream import Dream, dream

WAYS = [
    pytest.param({}, id="float32"),
    pytest.param({"precision": "bf16"}, id="bf16"),
    pytest.param({"precision": "exact"}, id="exact"),
    pytest.param({"precision": "float64"}, id="float64"),
    pytest.param({"normalize": True, "pre_relu": True}, id="normalised"),
    pytest.param({"channels": [1, 3]}, id="channels"),
    pytest.param({"memory": 150_000}, id="tiles"),
]
STEPS, SNAPSHOTS = 9, (2, 4, 7)


def run(network: Any, start: Any, **options: Any) -> tuple[Dream, list[Checkpoint]]:
    """A dream, and the checkpoint of each of its steps."""
    taken: list[Checkpoint] = []
    whole = dream(
        network,
        start,
        layer="conv3_2",
        steps=STEPS,
        snapshots=SNAPSHOTS,
        learning_rate=0.02,
        on_checkpoint=lambda step, checkpoint: taken.append(checkpoint()),
        **options,
    )
    return whole, taken


def assert_equal(found: Dream, expected: Dream, rows: slice = slice(None)) -> None:
    assert found.pictures.dtype == expected.pictures.dtype
    assert torch.equal(found.pictures, expected.pictures[rows])
    assert torch.equal(found.objective, expected.objective[:, rows])
    assert sorted(found.snapshots) == sorted(expected.snapshots)
    for step, pictures in expected.snapshots.items():
        assert torch.equal(found.snapshots[step], pictures[rows])


@pytest.mark.slow
@pytest.mark.parametrize("options", WAYS)
def test_a_dream_goes_on_from_any_step(narrow: Any, starts: Any, options: dict[str, Any]) -> None:
    whole, taken = run(narrow, starts(2, 48), **options)
    assert [one.step for one in taken] == list(range(1, STEPS + 1))
    for checkpoint in (taken[0], taken[3], taken[-1]):
        again, rest = run(narrow, checkpoint, **options)
        assert len(rest) == STEPS - checkpoint.step
        assert_equal(again, whole)


@pytest.mark.slow
@pytest.mark.parametrize("options", [way for way in WAYS if way.id != "exact"])
def test_in_another_batch(narrow: Any, starts: Any, options: dict[str, Any]) -> None:
    """Pictures of two batches go on together, in another order; and one of them alone.

    Not "exact": what autograd's convolutions round depends on the batch, checkpoints or not.
    """
    (first, of_first), (second, of_second) = (
        run(narrow, pictures, **options) for pictures in starts(4, 48).split(2)
    )
    mixed = [of_second[4].row(1), of_first[4].row(0), of_first[4].row(1)]
    again, _ = run(narrow, Checkpoint.together(mixed), **options)
    for row, whole, at in ((0, second, 1), (1, first, 0), (2, first, 1)):
        part = Dream(
            again.pictures[row : row + 1],
            {step: pictures[row : row + 1] for step, pictures in again.snapshots.items()},
            again.objective[:, row : row + 1],
        )
        assert_equal(part, whole, slice(at, at + 1))
    alone, _ = run(narrow, of_second[2].row(0), **options)
    assert_equal(alone, second, slice(0, 1))


def test_checkpoints_are_not_changed_by_what_follows(narrow: Any, starts: Any) -> None:
    _, taken = run(narrow, starts(1, 48))
    _, fresh = run(narrow, starts(1, 48))
    run(narrow, taken[3])
    assert torch.equal(taken[3].pictures, fresh[3].pictures)
    assert sorted(taken[3].snapshots) == [2, 4]


def test_steps_count_from_the_start(narrow: Any, starts: Any) -> None:
    _, taken = run(narrow, starts(1, 48))
    seen: list[int] = []
    dream(narrow, taken[6], layer="conv3_2", steps=STEPS, on_step=seen.append)
    assert seen == [8, 9]


def test_a_checkpoint_past_the_last_step(narrow: Any, starts: Any) -> None:
    _, taken = run(narrow, starts(1, 48))
    with pytest.raises(InvalidSpec, match="at least the checkpoint's 9; got 8"):
        dream(narrow, taken[8], steps=8)

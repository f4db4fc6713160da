"""Memory over time: what counts as flat, and what does not."""

import os

import pytest

from benchmarks.soak import FLAT, Memory, Trend

MIB = 2**20


def trend(*sizes: float) -> Trend:
    return Trend.of("worker", [(10.0 * n, int(size * MIB)) for n, size in enumerate(sizes)])


def test_steady_memory_is_flat_whatever_it_does_between() -> None:
    found = trend(100, 101, 100, 140, 100, 100, 100, 100.5, 100)
    assert found.flat
    assert found.most == 140
    assert trend(*range(200, 100, -10)).flat, "what shrinks does not grow"


def test_a_leak_is_seen() -> None:
    found = trend(*(100 + number for number in range(9)))
    assert not found.flat
    assert found.growth == pytest.approx(6 / 101)
    assert found.slope == pytest.approx(360)  # a MiB in ten seconds
    assert found.cells()[-1] == "grew"


def test_a_process_is_judged_after_its_warm_up() -> None:
    memory = Memory()
    for second in range(0, 120, 5):
        memory.look({"me": os.getpid(), "gone": 2**22 + 1}, second)
        if second < 60:  # as if it had grown until then
            at, size = memory.samples["me"][-1]
            memory.samples["me"][-1] = (at, size // 2)
    (found,) = memory.rows(60)
    assert found.name == "me"
    assert abs(found.growth) <= FLAT

"""Memory over time: what counts as flat, and what does not."""

import os
from pathlib import Path

import pytest

from benchmarks.growth import FLAT, Memory, Trend
from benchmarks.soak import EXPECTED, report

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
        memory.look({"parent": os.getppid(), "gone": 2**22 + 1}, second)
        if second < 60:  # as if it had grown until then
            at, size = memory.samples["parent"][-1]
            memory.samples["parent"][-1] = (at, size // 2)
    (found,) = memory.rows(60)
    assert found.name == "parent"
    assert abs(found.growth) <= FLAT


# Read many times over: the parent is small, and this process may hold all of torch.
PARENTS = dict.fromkeys(EXPECTED, os.getppid())
MINE = os.getpid()
PAGE = "before\n<!-- soak table: begin -->\nold\n<!-- soak table: end -->\nafter"


def looked_at(*looks: dict[str, int]) -> Memory:
    """A minute of looks, of which the first third is warm-up."""
    memory = Memory()
    for number, pids in enumerate(looks):
        memory.look(pids, number * 60 / len(looks))
    return memory


def test_a_whole_run_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    assert report(looked_at(*[PARENTS] * 12), "3 x dream", 1.0, page) == 0
    written = page.read_text()
    assert "old" not in written
    assert "3 x dream. 1 minutes, of which 0.333 warm up." in written
    assert all(f"| {name} | " in written for name in EXPECTED)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("looks", "said"),
    [
        (
            [PARENTS] * 8 + [PARENTS | {"worker": MINE}] * 4,
            "worker ended and was started again: pids",
        ),
        ([PARENTS] * 2 + [PARENTS | {"worker's child 1": MINE}] * 10, "worker's child 1 ended and"),
        ([{**PARENTS, "redis": 2**22 + 1}] * 12, "redis was there at 0 of 8 looks"),
        ([PARENTS] * 11 + [{"api": os.getpid()}], "worker was there at 7 of 8 looks"),
        ([PARENTS] * 6, "4 looks after the warm-up are too few"),
    ],
)
def test_a_process_that_is_not_one_all_along_fails(
    looks: list[dict[str, int]], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    assert report(looked_at(*looks), "3 x dream", 1.0, page) == 1
    assert said in capsys.readouterr().err
    assert page.read_text() == PAGE, "a table that says nothing is not written"

"""Workers that die: killed from outside, killed by what they work on, stopped for too long."""

import hashlib
import math
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from beholder.jobs.models import Base, Item
from beholder.jobs.queries import items
from beholder.processes import HEALTHY_AFTER_S
from beholder.specimens.draw import draw
from beholder.upkeep.leftovers import leftovers
from benchmarks.harness import Row
from tests.faults.bed import Bed, Span

pytestmark = pytest.mark.slow
full = pytest.mark.faults
LEASE_S = 15  # the default
CHUNK = 16  # items, the default
HELD = 4  # chunks that a worker has in hand at most
# Between two kills dreams take a quarter of a minute, on two cores. A kill costs half the batch in
# hand, and a main process four seconds to start again.
LONG_STEPS = 240


def p95(values: Sequence[float]) -> float:
    """The 95th percentile, seconds."""
    return sorted(values)[min(len(values) - 1, int(0.95 * len(values)))]


@pytest.mark.parametrize(
    ("count", "kills", "steps", "most_again", "most_times"),
    [(64, 2, 4, 2 * CHUNK, math.inf), pytest.param(1000, 20, LONG_STEPS, 30, 1.5, marks=full)],
)
def test_killed_again_and_again(
    bed: Bed, figures: Any, count: int, kills: int, steps: int, most_again: int, most_times: float
) -> None:
    """kill -9 of the worker and of its pool's child in turn, between two undisturbed halves.

    Short dreams take no longer than to store them: there each kill may meet a chunk that is dreamt
    and not stored. Nor do they say anything of the time: a kill costs seconds, whatever the dreams
    take.
    """
    bed.up()
    bed.end_of(bed.dreams(1, steps=1))  # neither half waits for the worker to start
    calm_s = _seconds(lambda: bed.end_of(bed.dreams(count // 2, steps=steps)))
    begun = time.monotonic()
    job = bed.dreams(count, steps=steps)
    for kill in range(kills):
        bed.reaches(job, count * (kill + 0.5) / kills)
        victims = bed.parents() if kill % 2 else bed.children()
        bed.kill(*victims)
        bed.until(lambda gone=victims: bed.children() and not set(gone) & set(bed.pids("-m work")))
    bed.end_of(job)
    killed_s = time.monotonic() - begun
    calm_s += _seconds(lambda: bed.end_of(bed.dreams(count // 2, steps=steps)))
    findings = bed.findings(job)
    again, beyond = bed.run_again()
    fault = "kill -9 of worker and child"
    how = f"{kills} kills in {count:,} items"
    figures(fault, Row("lost or doubled", len(findings), "", 0, "lower", how))
    detail = f"beside {again - beyond} that a dead worker had in hand"
    figures(fault, Row("run again", 100 * beyond / count, "%", 3, "lower", detail))
    detail = f"of the undisturbed {calm_s:.0f} s"
    figures(fault, Row("time", killed_s / calm_s, "x", 1.5, "lower", detail))
    assert findings == []
    assert beyond <= most_again
    assert killed_s / calm_s < most_times


def _seconds(act: Callable[[], object]) -> float:
    begun = time.monotonic()
    act()
    return time.monotonic() - begun


@pytest.mark.parametrize(
    ("where", "deaths"),
    [("here", 1), pytest.param("here", 6, marks=full), pytest.param("elsewhere", 4, marks=full)],
)
def test_what_a_dead_worker_held_is_claimed_again(
    bed: Bed, make_bed: Any, figures: Any, where: str, deaths: int
) -> None:
    """The main process and its children die at once, on this machine or as on another one.

    They live long enough before to be started again without a pause.
    """
    bed.up()
    other = _other_machine(bed, make_bed) if where == "elsewhere" else bed
    bed.end_of(bed.dreams(1, steps=1))
    steps = _steps(bed, 2 if other is not bed else 1) if deaths > 1 else 40
    job = bed.dreams(20_000 if deaths > 1 else 500, steps=steps)  # more than there is time for
    freed, taken = list[float](), list[float]()
    for _ in range(deaths):
        victims = other.children()
        time.sleep(HEALTHY_AFTER_S if deaths > 1 else 0)
        bed.until(lambda pids=victims: len(bed.held_by(job, pids)) >= 2)
        other.kill(*other.parents(), *victims)
        for queued_s, claimed_s in _recovered(bed, job, victims):
            freed.append(queued_s)
            taken.append(claimed_s)
        if other is not bed:
            other.start("worker")
        other.until(lambda gone=victims: set(other.children()) - set(gone))
    bed.run("cancel", job)
    found = "by the kernel's lock" if where == "here" else "by silence"
    figures("recovery", Row(f"queued again, {where}", p95(freed), "s", detail=f"p95, {found}"))
    how = "p95, one after the other"
    row = Row(f"claimed again, {where}", p95(taken), "s", 2 * LEASE_S, "lower", how)
    figures("recovery", row)
    assert p95(taken) < 2 * LEASE_S


def _steps(bed: Bed, workers: int) -> int:
    """So many that what a worker holds, run one after the other, takes half the lease."""
    tried = 50
    chunk_s = _seconds(lambda: bed.end_of(bed.dreams(CHUNK, steps=tried)))
    return max(1, int(tried * LEASE_S / 2 / HELD / chunk_s / workers))


def _recovered(bed: Bed, job: str, victims: Sequence[int]) -> list[tuple[float, float]]:
    """For each chunk that the dead hold, seconds until it is queued again, and claimed again."""
    died = time.monotonic()
    held = bed.held_by(job, victims)
    freed, taken = dict[Span, float](), dict[Span, float]()
    while len(taken) < len(held):
        passed = time.monotonic() - died
        assert passed < 120, "never claimed again"
        still, waiting = bed.held_by(job, victims), _waiting(bed, job)
        for first, last in held - still - taken.keys():
            freed.setdefault((first, last), passed)
            if not waiting & set(range(first, last + 1)):
                taken[first, last] = passed
        time.sleep(0.1)
    return [(freed[span], taken[span]) for span in held]


def _other_machine(bed: Bed, make_bed: Any) -> Bed:
    """A worker with a data folder of its own: it shares database, queue and store alone."""
    other: Bed = make_bed(
        "other",
        database_url=f"sqlite:///{bed.data / 'beholder.db'}",
        redis_url=bed.settings.broker,
        store_url=bed.settings.store,
    )
    other.start("worker")
    other.until(other.children)
    return other


def _waiting(bed: Bed, job: str) -> set[int]:
    with bed.db.read() as session:
        found = select(Item.position).where(Item.job_id == job, Item.state == "queued")
        return set(session.scalars(found))


@pytest.mark.parametrize(
    "where",
    ["decode", pytest.param("device", marks=full), pytest.param("store", marks=full)],
)
def test_a_picture_that_kills_its_worker_every_time(
    bed: Bed, figures: Any, tmp_path: Path, where: str
) -> None:
    job = _poisoned(bed, tmp_path / "pictures", 24, "11.png", where)
    findings = bed.findings(job, failed=1)
    deaths = sum(one.event == "poisoned" for one in bed.events())
    fault = "an item that kills its worker"
    figures(fault, Row(f"deaths, at {where}", deaths, "", 3, "lower", "then set aside"))
    figures(fault, Row(f"neighbours that failed, at {where}", len(findings), "", 0, "lower"))
    assert findings == []
    assert deaths == 3
    bed.until(lambda: not list(leftovers(bed.db, bed.store, job, stale=False)))
    (failed,) = items(bed.db, job, state="failed")
    assert failed.source.endswith("11.png")
    assert (failed.error or "").startswith("its worker died 3 times on this picture")


@pytest.mark.parametrize("where", ["device", pytest.param("decode", marks=full)])
def test_a_picture_on_which_its_worker_hangs_every_time(
    make_bed: Any, figures: Any, tmp_path: Path, where: str
) -> None:
    bed: Bed = make_bed(hang_s=4)
    bed.env["FAULTS_POISON_HANGS"] = "1"
    job = _poisoned(bed, tmp_path / "pictures", 6, "03.png", where)
    findings = bed.findings(job, failed=1)
    hangs = sum(one.event == "poisoned" for one in bed.events())
    figures("an item on which its worker hangs", Row(f"hangs, at {where}", hangs, "", 3, "lower"))
    assert findings == []
    assert hangs == 3
    (failed,) = items(bed.db, job, state="failed")
    assert failed.source.endswith("03.png")
    assert (failed.error or "").startswith("its worker hung, again and again: none of its work")


def _poisoned(bed: Bed, folder: Path, count: int, poison: str, where: str) -> str:
    """A job of so many pictures that has ended, one of which does harm at a station each time."""
    folder.mkdir()
    for seed in range(count):
        draw("spiral", seed=seed, size=64).save(folder / f"{seed:02}.png")
    digest = hashlib.sha256((folder / poison).read_bytes()).hexdigest()
    bed.env |= {"FAULTS_POISON": digest, "FAULTS_POISON_AT": where}
    bed.up()
    options = ("--steps", 5, "--size", 64, "--layer", 12, "--network", "specimens")
    job = str(bed.json("submit", "--dir", folder, *options)["id"])
    bed.end_of(job)
    return job


@pytest.mark.parametrize("lease_s", [3, pytest.param(LEASE_S, marks=full)])
def test_a_worker_that_is_stopped_past_its_lease_changes_nothing(
    make_bed: Any, figures: Any, lease_s: int
) -> None:
    bed: Bed = make_bed(lease_s=lease_s, sweep_s=1)
    bed.up()
    job = bed.dreams(48, steps=24)
    bed.reaches(job, 4)
    (stale,) = bed.children()
    os.kill(stale, signal.SIGSTOP)
    try:
        bed.start("worker")
        bed.end_of(job)
        rows, files = _rows(bed), _files(bed)
    finally:
        os.kill(stale, signal.SIGCONT)
    bed.until(lambda: "LeaseLost" in bed.log())
    time.sleep(2)
    findings = bed.findings(job)
    fault = "stopped past its lease, then continued"
    changed = len(rows ^ _rows(bed))
    figures(fault, Row("rows changed", changed, "", 0, "lower"))
    figures(fault, Row("files left", len(files ^ _files(bed)), "", 0, "lower"))
    assert findings == []
    assert changed == 0
    assert files == _files(bed)


def _rows(bed: Bed) -> set[tuple[object, ...]]:
    """Every row that a job has."""
    with bed.db.read() as session:
        return {
            (table.name, *map(str, row))
            for table in Base.metadata.sorted_tables
            if table.name != "workers"
            for row in session.execute(select(table))
        }


def _files(bed: Bed) -> set[Path]:
    return {path for path in (bed.data / "store").rglob("*") if path.is_file()}


@pytest.mark.parametrize("stops", [1, pytest.param(5, marks=full)])
def test_a_worker_that_is_asked_to_stop(bed: Bed, figures: Any, stops: int) -> None:
    count = 64 * stops
    begun = bed.up(wait=False)
    job = bed.dreams(count, steps=24)
    longest = 0.0
    for stop in range(stops):
        bed.reaches(job, count * (stop + 0.5) / stops)
        asked = time.monotonic()
        begun.terminate()
        bed.until(lambda: not bed.pids("-m worker"))
        longest = max(longest, time.monotonic() - asked)
        begun.wait(30)
        assert not bed.running(job)
        begun = bed.up(wait=False)
    bed.end_of(job)
    findings, twice = bed.findings(job), bed.completed_twice()
    fault = "asked to stop"
    figures(fault, Row("ended within", longest, "s", 10, "lower", f"the longest of {stops}"))
    figures(fault, Row("items run twice", twice, "", 0, "lower"))
    assert findings == []
    assert twice == 0
    assert max(bed.attempts(job)) == 1
    assert longest < 10

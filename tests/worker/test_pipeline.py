"""What overlaps with what, and which works share a batch."""

import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from beholder.science.dream import dream
from beholder.specs import DreamSpec
from worker.pipeline import Pipeline, Stations

pytestmark = pytest.mark.slow  # imports torch


def test_the_next_is_ready_before_this_one_ends_and_stored_while_the_next_runs(
    bench: Any, spec: DreamSpec, during: Callable[..., list[int]]
) -> None:
    first, second = bench.submit_apart(spec, 2)
    decoded: list[str] = []
    runner = bench.runner()
    load = runner._means.loader._load
    runner._means.loader._load = lambda *arguments: (decoded.append(""), load(*arguments))[1]
    during(
        lambda: bench.until(lambda: bench.job(second).state == "running" and len(decoded) == 2),
        lambda: bench.until(lambda: bench.job(first).state == "done"),
    )
    assert runner.run() == 2
    assert bench.states([first, second]) == ["done", "done"]


def test_no_more_than_one_batch_is_taken_ahead(
    bench: Any, spec: DreamSpec, during: Callable[..., list[int]]
) -> None:
    jobs = bench.submit_apart(spec, 4)
    seen: list[list[str]] = []

    def look() -> None:
        bench.until(lambda: bench.states(jobs)[1] == "running")
        time.sleep(0.3)  # for what should not happen
        seen.append(bench.states(jobs))

    during(look)
    assert bench.runner().run() == 4
    assert seen == [["running", "running", "queued", "queued"]]


def test_small_jobs_share_a_batch_and_nothing_else(
    bench: Any, spec: DreamSpec, during: Callable[..., list[int]]
) -> None:
    jobs = bench.submit_small(spec, 5)
    broken = bench.submit(spec, [bench.entry(b"no picture", "text.png")])
    sizes = during()
    assert bench.runner().run() == 6
    assert sizes == [5]
    assert bench.states([*jobs, broken]) == ["done"] * 5 + ["failed"]
    assert len({item.files[0].sha256 for job in jobs for item in bench.items(job)}) == 5
    for job in jobs:
        (item,) = bench.items(job)
        assert item.files[0].path.startswith(f"results/{job}/")
    assert len(bench.results()) == 5


def test_claims_ahead_are_renewed_too(
    bench: Any, spec: DreamSpec, during: Callable[..., list[int]]
) -> None:
    bench.settings = bench.settings.model_copy(update={"lease_s": 0.4})
    jobs = bench.submit_apart(spec, 2)
    leases: list[set[float]] = [set(), set()]

    def look() -> bool:
        for job, seen in zip(jobs, leases, strict=True):
            seen.add(bench.chunk(job).lease_until)
        return all(len(seen) >= 3 for seen in leases)

    def linger() -> None:
        bench.until(lambda: bench.states(jobs) == ["running", "running"])
        bench.until(look)

    during(linger)
    assert bench.runner().run() == 2


def test_work_that_comes_while_the_last_is_under_way_is_done_too(
    bench: Any, spec: DreamSpec, draw: Callable[..., bytes], during: Callable[..., list[int]]
) -> None:
    jobs = bench.submit_small(spec, 1)
    other = spec.model_copy(update={"steps": 3})

    def bring_more() -> None:
        time.sleep(0.2)  # the claim ahead has found nothing by now
        jobs.append(bench.submit(other, [bench.entry(draw(2))]))

    during(bring_more)
    assert bench.runner().run() == 2
    assert bench.states(jobs) == ["done", "done"]


def test_a_batch_that_did_not_fit_is_not_tried_again_nor_after_a_restart(
    bench: Any, spec: DreamSpec, draw: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def scarce(network: Any, pictures: torch.Tensor, **options: Any) -> Any:
        tried.append(len(pictures))
        if len(pictures) > 3:
            raise torch.OutOfMemoryError
        return dream(network, pictures, **options)

    monkeypatch.setattr("worker.climbs.dream", scarce)
    pictures = [bench.entry(draw(seed)) for seed in range(8)]
    first = bench.submit(spec, pictures, chunk_size=8)
    runner = bench.runner()
    runner.run()
    assert tried == [8, 4, 2, 2, 2, 2]
    tried.clear()
    again = bench.submit(spec, pictures, chunk_size=8)
    runner.run()
    assert tried == [2] * 4
    tried.clear()
    restarted = bench.submit(spec, pictures[:5], chunk_size=8)
    bench.runner("worker-2").run()
    assert max(tried) == 2
    assert bench.states([first, again, restarted]) == ["done"] * 3


def test_the_threads_of_a_run_end_with_it(
    bench: Any,
    spec: DreamSpec,
) -> None:
    bench.submit_small(spec, 2)
    runner = bench.runner()
    before = set(threading.enumerate())
    runner.run()
    lasting = {one.name.rpartition("_")[0] for one in set(threading.enumerate()) - before}
    assert lasting <= {"pictures"}  # the runner's own, for the next run


def test_the_device_alone_has_a_team_of_threads() -> None:
    """Others' teams would take the cores from its own."""
    seen: dict[str, int] = {}

    def note(station: str) -> None:
        seen[station] = torch.get_num_threads()

    def take() -> Any:
        note("take")
        return next(works, None)

    def batches(work: Any) -> Iterator[Any]:
        note("batches")
        yield "batch"

    works: Iterator[Any] = iter([SimpleNamespace()])
    stations = Stations(
        take,
        lambda *_: None,
        batches,
        lambda *_: note("run"),
        lambda _: note("close"),
        lambda: note("stop"),
    )
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert Pipeline(stations).drive() == 1
    finally:
        torch.set_num_threads(before)
    assert seen == {"take": 1, "batches": 1, "run": 3, "close": 1}

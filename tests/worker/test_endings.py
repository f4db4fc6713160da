"""The end of a work's claims: their files may take long to remove, or never go."""

import gc
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import Any
from weakref import ref

import pytest
from fsspec.implementations.local import LocalFileSystem

from beholder.errors import ServiceUnavailable, StorageFull
from beholder.jobs.claim import Claim
from beholder.jobs.control import cancel
from beholder.jobs.silence import Silence
from beholder.jobs.sweep import sweep
from beholder.specs import DreamSpec
from beholder.store import Store, result_folder
from beholder.upkeep.verify import verify
from worker.checkpoints import Checkpoints
from worker.lease import Lease, Leases
from worker.pipeline import AHEAD, BEHIND
from worker.rooms import Rooms

pytestmark = pytest.mark.slow  # imports torch

LEASE_S, REMOVAL_S = 1.5, 0.6
PATIENCE_S = 20.0


@contextmanager
def swept(bench: Any) -> Iterator[None]:
    """Another worker looks for silent chunks meanwhile."""
    over, silence = threading.Event(), Silence(LEASE_S, look_s=LEASE_S)

    def look() -> None:
        while not over.wait(0.05):
            sweep(bench.db, silence, now=time.monotonic())

    with ThreadPoolExecutor(1) as thread:
        looking = thread.submit(look)
        try:
            yield
        finally:
            over.set()
        looking.result()


def half_done(bench: Any, job: str) -> None:
    """Something is written already under the claim of a job's only chunk."""
    bench.store.put(f"{result_folder(job, bench.chunk(job).token)}/half.png", b"half")


@pytest.mark.parametrize("ends", ["stop", "error"])
def test_claims_are_held_until_the_last_file_is_removed(
    bench: Any,
    spec: DreamSpec,
    during: Callable[..., list[int]],
    monkeypatch: pytest.MonkeyPatch,
    ends: str,
) -> None:
    bench.settings = bench.settings.model_copy(update={"lease_s": LEASE_S})
    jobs, real = bench.submit_small(spec, 4), Store.remove_folder
    removed: list[str] = []

    def slowly(store: Store, path: str) -> None:
        removed.append(path)
        time.sleep(REMOVAL_S)
        real(store, path)

    def end() -> None:
        for job in jobs:
            half_done(bench, job)
        monkeypatch.setattr(Store, "remove_folder", slowly)
        if ends == "error":
            raise RuntimeError("unforeseen")
        bench.stopping.set()

    assert len(jobs) * REMOVAL_S > LEASE_S
    during(end)
    with swept(bench):
        if ends == "error":
            with pytest.raises(RuntimeError, match="unforeseen"):
                bench.runner().run()
        else:
            assert bench.runner().run() == 0
    assert len(removed) == (len(jobs) if ends == "error" else 0), "a stop waits for no removal"
    assert bench.states(jobs) == ["queued"] * 4
    chunks = [bench.chunk(job) for job in jobs]
    if ends == "error":  # and none was given up as a worker's death, which gives no reason
        assert all(chunk.error.startswith("RuntimeError: unforeseen") for chunk in chunks)
    assert [chunk.attempts for chunk in chunks] == [int(ends == "error")] * 4
    monkeypatch.setattr(Store, "remove_folder", real)
    bench.stopping.clear()
    assert bench.runner().run() == 4
    assert list(verify(bench.db, bench.store)) == [], "whoever goes on tidies up"


@pytest.mark.parametrize(
    ("trouble", "left"),
    [(StorageFull("no room."), []), (ServiceUnavailable("away."), ["half.png"])],
)
def test_what_is_stopped_beside_a_full_disk_makes_room(
    bench: Any,
    spec: DreamSpec,
    during: Callable[..., list[int]],
    monkeypatch: pytest.MonkeyPatch,
    trouble: Exception,
    left: list[str],
) -> None:
    first, beside = bench.submit_apart(spec, 2)
    begun, stopped, stop = threading.Event(), threading.Event(), Leases.stop

    def fail(*_: object, **__: object) -> None:
        assert begun.wait(PATIENCE_S)
        raise trouble

    def stopping(leases: Leases) -> None:
        stop(leases)
        stopped.set()

    def wait() -> None:
        half_done(bench, beside)
        begun.set()
        assert stopped.wait(PATIENCE_S)

    monkeypatch.setattr("worker.dreams.finish_dreams", fail)
    monkeypatch.setattr(Leases, "stop", stopping)
    during(lambda: None, wait)
    with pytest.raises(type(trouble), match=str(trouble)):
        bench.runner().run()
    assert bench.states([first, beside]) == ["queued", "queued"]
    assert [path.name for path in bench.results() if path.parts[-3] == beside] == left


def refuse(*_: object, **__: object) -> None:
    """As a bucket does for whom it lets write, but not delete."""


def test_a_store_that_removes_nothing_holds_up_no_other_job(
    bench: Any, spec: DreamSpec, during: Callable[..., list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled, other = bench.submit_apart(spec, 2)
    monkeypatch.setattr(LocalFileSystem, "rm", refuse)
    bench.settings = bench.settings.model_copy(update={"lease_s": 0.4})
    runner = bench.runner()

    def end() -> None:
        half_done(bench, cancelled)
        cancel(bench.db, cancelled)

    during(end)
    assert runner.run() == 1
    assert bench.states([cancelled, other]) == ["cancelled", "done"]
    # The dream beside it may be quicker than the news that it was cancelled.
    assert "half.png" in [path.name for path in bench.results() if path.parts[-3] == cancelled]


@pytest.mark.parametrize("ends", ["stop", "outage"])
def test_a_lost_claim_keeps_none_beside_it_from_being_given_back(
    bench: Any,
    spec: DreamSpec,
    during: Callable[..., list[int]],
    monkeypatch: pytest.MonkeyPatch,
    ends: str,
) -> None:
    jobs, runner, looks = bench.submit_small(spec, 4), bench.runner(), []

    def away(_: Store, folder: str) -> list[Any]:
        looks.append(folder)
        raise ServiceUnavailable("the bucket does not answer.")

    def end() -> None:
        half_done(bench, jobs[0])
        cancel(bench.db, jobs[0])
        if ends == "outage":
            raise ServiceUnavailable("the store does not answer.")
        bench.stopping.set()

    during(end)
    with monkeypatch.context() as outage:
        outage.setattr(Store, "walk", away)
        with pytest.raises(ServiceUnavailable) if ends == "outage" else nullcontext():
            runner.run()
    assert looks == []
    assert bench.states(jobs) == ["cancelled", "queued", "queued", "queued"]
    assert [bench.chunk(job).attempts for job in jobs[1:]] == [0, 0, 0]
    assert len(bench.results()) == 1
    runner.tidy_up()  # as a thread of its own does
    assert bench.results() == []


def test_what_is_not_removed_behind_a_lost_claim_is_in_nobodys_way(
    bench: Any, spec: DreamSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job,) = bench.submit_small(spec, 1)
    claim, runner = bench.take(), bench.runner()
    half_done(bench, job)
    bench.give_up_for_dead()
    monkeypatch.setattr(LocalFileSystem, "rm", refuse)
    runner.give_back(claim)
    runner.tidy_up()
    assert runner.run() == 1
    assert bench.states([job]) == ["done"]
    assert len(bench.results()) == 2


def test_nothing_of_a_claim_is_kept_past_its_end(
    bench: Any, spec: DreamSpec, draw: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    entries: list[Any] = [bench.entry(draw(1))] * 60
    seen: list[ref[Claim]] = []
    alive: list[int] = []
    bench.submit(spec.model_copy(update={"steps": 1}), entries, chunk_size=1)
    begin = Leases.begin

    def begun(leases: Leases, claims: Sequence[Claim]) -> Lease:
        seen.extend(map(ref, claims))
        if len(seen) == len(entries):
            gc.collect()
            alive.append(sum(one() is not None for one in seen))
        return begin(leases, claims)

    monkeypatch.setattr(Leases, "begin", begun)
    monkeypatch.setattr(Rooms, "room", lambda *_: 2)
    assert bench.runner().run() == 60
    (left,) = alive
    assert 2 <= left <= 2 * (2 + AHEAD + BEHIND + 1), "some in hand, and none that ended"


def test_what_goes_wrong_behind_the_results_leaves_them(
    bench: Any, spec: DreamSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job,) = bench.submit_small(spec, 1)

    def fail(*_: object) -> None:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(Checkpoints, "drop", fail)
    assert bench.run(job).state == "done"
    assert list(verify(bench.db, bench.store)) == []

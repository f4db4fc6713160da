"""What is slow in the store keeps no sweep and no heartbeat waiting, and one worker does it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import select, update

from beholder.errors import ServiceUnavailable
from beholder.jobs.claim import Claim
from beholder.jobs.clock import ago
from beholder.jobs.control import put_away
from beholder.jobs.models import Job, utc_now
from beholder.jobs.removal import hidden_jobs
from beholder.jobs.service_models import Worker
from beholder.specs import DreamSpec
from beholder.store import Store, checkpoint_path, result_folder
from worker.app import make_app
from worker.child import Child
from worker.tidying import Tidier


def seen(bench: Any) -> Any:
    """When the only worker last gave a sign of life."""
    with bench.db.read() as session:
        return session.scalar(select(Worker.seen_at))


@dataclass
class Slow:
    """A call of the store that takes until `go_on` is set; `at_it` is set once it has come."""

    at_it: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    def instead_of(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def slowly(*given: Any) -> Any:
            self.at_it.set()
            assert self.go_on.wait(20)
            return real(*given)

        return slowly


def goes_on(bench: Any, slow: Slow, kept_back: dict[str, Claim]) -> None:
    """See a child sweep and give signs of life while the store is slow."""
    sweeps: list[int] = []

    class Counted(Child):
        def sweep(self) -> None:
            self._runner._kept_back.update(kept_back)
            kept_back.clear()
            sweeps.append(1)
            super().sweep()

    settings = bench.settings.model_copy(update={"sweep_s": 0.05})
    Counted(make_app("redis://127.0.0.1:1"), settings, bench.stopping)
    assert slow.at_it.wait(20)
    bench.until(lambda: seen(bench))
    before = seen(bench), len(sweeps)
    bench.until(lambda: seen(bench) > before[0] and len(sweeps) > before[1] + 1)


def test_a_slow_removal_holds_up_neither_sweep_nor_heartbeat(
    bench: Any, spec: DreamSpec, draw: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, slow = bench.submit(spec, [bench.entry(draw(1))]), Slow()
    bench.run(job)
    put_away(bench.db, job)
    monkeypatch.setattr(Store, "remove_folder", slow.instead_of(Store.remove_folder))
    goes_on(bench, slow, {})
    assert hidden_jobs(bench.db) == [job]
    slow.go_on.set()
    bench.until(lambda: hidden_jobs(bench.db) == [])
    assert bench.results() == []
    bench.stopping.set()


def test_nor_does_a_slow_look_at_what_a_lost_claim_left(
    bench: Any, spec: DreamSpec, draw: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which could not be given back when it was: the database was away."""
    job, slow = bench.submit(spec, [bench.entry(draw(1))]), Slow()
    lost = bench.take()
    bench.give_up_for_dead()
    bench.store.put(f"{result_folder(job, lost.token)}/0.png", b"written late")
    monkeypatch.setattr(Store, "list", slow.instead_of(Store.list))
    goes_on(bench, slow, {lost.token: lost})
    assert len(bench.results()) == 1
    slow.go_on.set()
    bench.until(lambda: bench.results() == [])
    bench.stopping.set()


def test_what_lies_in_the_store_is_the_first_workers(
    bench: Any, spec: DreamSpec, draw: Callable[..., bytes]
) -> None:
    job = bench.submit(spec, [bench.entry(draw(1))])
    bench.run(job)
    put_away(bench.db, job)
    stray = checkpoint_path(job, 0)
    bench.store.put(stray, b"of a job that has ended")
    first, second = (
        Tidier(bench.db, bench.store, bench.settings, name, bench.stopping) for name in "ab"
    )
    with bench.db.write() as session:
        session.add(_worker("a"))
    second.step()
    assert hidden_jobs(bench.db) == [job]
    assert bench.store.exists(stray)
    first.step()
    assert bench.results() == []
    assert not bench.store.exists(stray)


def test_a_part_that_fails_holds_up_no_other(
    bench: Any,
    spec: DreamSpec,
    draw: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
    lines: list[dict[str, Any]],
) -> None:
    stuck, old = (bench.run(bench.submit(spec, [bench.entry(draw(seed))])).id for seed in (1, 2))
    put_away(bench.db, stuck)
    with bench.db.write() as session:
        session.add(_worker("a"))
        session.execute(update(Job).where(Job.id == old).values(finished_at=ago(31 * 86_400)))
    strays = [checkpoint_path(job, 0) for job in (stuck, old)]
    for stray in strays:
        bench.store.put(stray, b"of a job that has ended")
    real = Store.remove_folder

    def refused(store: Store, path: str) -> None:
        if stuck in path:
            raise ServiceUnavailable("no.")
        real(store, path)

    monkeypatch.setattr(Store, "remove_folder", refused)
    settings = bench.settings.model_copy(update={"retention_days": 30.0})
    Tidier(bench.db, bench.store, settings, "a", bench.stopping).step()
    assert [bench.store.exists(stray) for stray in strays] == [True, False]
    assert sorted(hidden_jobs(bench.db)) == sorted([stuck, old])
    assert [one["job"] for one in lines if "for its age" in one["message"]] == [old]


def _worker(name: str) -> Worker:
    now = utc_now()
    return Worker(name=name, host="h", pid=1, device="cpu", started_at=now, seen_at=now)

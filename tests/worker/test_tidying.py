"""What is slow in the store keeps no sweep and no heartbeat waiting, and one worker does it."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from beholder.jobs.control import put_away
from beholder.jobs.models import utc_now
from beholder.jobs.removal import hidden_jobs
from beholder.jobs.service_models import Worker
from beholder.specs import DreamSpec
from beholder.store import Store, checkpoint_path
from worker.app import make_app
from worker.child import Child
from worker.tidying import Tidier


def seen(bench: Any) -> Any:
    """When the only worker last gave a sign of life."""
    with bench.db.read() as session:
        return session.scalar(select(Worker.seen_at))


def test_a_slow_removal_holds_up_neither_sweep_nor_heartbeat(
    bench: Any, spec: DreamSpec, draw: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = bench.submit(spec, [bench.entry(draw(1))])
    bench.run(job)
    put_away(bench.db, job)
    at_it, go_on, sweeps = threading.Event(), threading.Event(), []
    real = Store.remove_folder

    def slowly(store: Store, path: str) -> None:
        at_it.set()
        assert go_on.wait(20)
        real(store, path)

    class Counted(Child):
        def sweep(self) -> None:
            sweeps.append(1)
            super().sweep()

    monkeypatch.setattr(Store, "remove_folder", slowly)
    settings = bench.settings.model_copy(update={"sweep_s": 0.05})
    Counted(make_app("redis://127.0.0.1:1"), settings, bench.stopping)
    assert at_it.wait(20)
    bench.until(lambda: seen(bench))
    before = seen(bench), len(sweeps)
    bench.until(lambda: seen(bench) > before[0] and len(sweeps) > before[1] + 1)
    assert hidden_jobs(bench.db) == [job]
    go_on.set()
    bench.until(lambda: hidden_jobs(bench.db) == [])
    assert bench.results() == []
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


def _worker(name: str) -> Worker:
    now = utc_now()
    return Worker(name=name, host="h", pid=1, device="cpu", started_at=now, seen_at=now)

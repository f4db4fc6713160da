"""Heartbeats: written over, read while they are fresh, forgotten when they are old."""

from dataclasses import replace
from datetime import timedelta

from beholder.jobs.models import utc_now
from beholder.jobs.workers import (
    FORGOTTEN_AFTER,
    WorkerView,
    beat,
    forget,
    forget_silent,
    live_workers,
)


def test_a_worker_lives_as_long_as_it_is_heard_of(database):
    now = utc_now()
    worker = WorkerView("host-1", "host", 1, "cpu", now, now, None, 0, 0.0, None)
    beat(database, worker)
    beat(database, replace(worker, chunk_id=7, chunks=3, chunk_seconds=1.5, gpu_bytes=2**33))
    beat(database, replace(worker, name="host-2", seen_at=now - timedelta(seconds=30)))
    assert [one.name for one in live_workers(database, within_s=60)] == ["host-1", "host-2"]
    (live,) = live_workers(database, within_s=10)
    assert (live.name, live.chunk_id, live.chunks, live.gpu_bytes) == ("host-1", 7, 3, 2**33)
    beat(database, replace(worker, name="host-2", seen_at=now - 2 * FORGOTTEN_AFTER))
    forget_silent(database)
    assert [one.name for one in live_workers(database, within_s=86_400)] == ["host-1"]


def test_who_is_known_to_have_ended_is_not_alive(database):
    now = utc_now()
    for name in ("host-1", "host-2", "host-3"):
        beat(database, WorkerView(name, "host", 1, "cpu", now, now, None, 0, 0.0, None))
    forget(database, ["host-1"])
    forget(database, [])
    alive = live_workers(database, within_s=60, is_dead=lambda name: name == "host-2")
    assert [one.name for one in alive] == ["host-3"]

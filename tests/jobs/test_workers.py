"""Heartbeats: written over, read while they are fresh, forgotten when they are old."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event

from beholder.jobs.control import cancel
from beholder.jobs.fleet import fleet, tell
from beholder.jobs.models import utc_now
from beholder.jobs.queries import get_job, list_jobs
from beholder.jobs.watching import looks
from beholder.jobs.workers import (
    FORGOTTEN_AFTER_S,
    WorkerView,
    beat,
    forget,
    forget_silent,
    live_workers,
)
from tests.jobs.desk import Desk
from tests.silence import silent


def test_a_worker_lives_as_long_as_it_is_heard_of(database):
    now = utc_now()
    worker = WorkerView("host-1", "host", 1, "cpu", now, now, None, 0, 0.0, None)
    beat(database, worker)
    beat(database, replace(worker, chunk_id=7, chunks=3, chunk_seconds=1.5, gpu_bytes=2**33))
    beat(database, replace(worker, name="host-2"))
    silent(database, "host-2", 30)
    assert [one.name for one in live_workers(database, within_s=60)] == ["host-1", "host-2"]
    (live,) = live_workers(database, within_s=10)
    assert (live.name, live.chunk_id, live.chunks, live.gpu_bytes) == ("host-1", 7, 3, 2**33)
    silent(database, "host-2", FORGOTTEN_AFTER_S - 9)
    forget_silent(database)
    assert len(live_workers(database, within_s=86_400)) == 2
    silent(database, "host-2", FORGOTTEN_AFTER_S + 9)
    forget_silent(database)
    assert [one.name for one in live_workers(database, within_s=86_400)] == ["host-1"]


@pytest.mark.parametrize("hours", [-2, 2])
def test_clocks_of_machines_do_not_say_who_is_heard_of(database, monkeypatch, hours):
    """A worker on a machine whose clock is wrong, as those see it whose clocks are right."""

    class Wrong(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(hours=hours)

    with monkeypatch.context() as patched:
        patched.setattr("beholder.jobs.models.datetime", Wrong)
        wrong = utc_now()
        view = WorkerView("host-1", "host", 1, "cpu", wrong, wrong, None, 0, 0.0, None, "no room")
        beat(database, view)
        beat(database, view)  # another statement than the first
    forget_silent(database)
    (seen,) = live_workers(database, within_s=10)
    assert abs(seen.seen_at - datetime.now(UTC)) < timedelta(seconds=10)
    assert [one.name for one in fleet(database, within_s=10)] == ["host-1"]
    assert get_job(database, Desk(database).dream(1).id).paused == "no room"


def test_a_job_stands_still_where_every_worker_that_could_take_it_has_a_reason(desk):
    left, other, on_gpu = (desk.dream(1, device=device).id for device in ("any", "any", "gpu"))
    remark = f"worker w1 leaves job {left} to others: it has other weights."
    also = f"worker w1 leaves job {other} to others: it has none."

    def say(name, device, paused):
        now = utc_now()
        beat(desk.database, WorkerView(name, "h", 1, device, now, now, None, 0, 0.0, None, paused))

    def said():
        found = looks(desk.database, [left, other, on_gpu])
        reasons = [get_job(desk.database, job).paused for job in found]
        assert reasons == [look.paused for look in found.values()]
        return dict(zip(found, reasons, strict=True))

    assert said() == {left: None, other: None, on_gpu: None}
    say("w1", "cpu", remark)
    assert said() == {left: remark, other: None, on_gpu: None}
    say("w1", "cpu", f"{also}\n{remark}")
    assert said() == {left: remark, other: also, on_gpu: None}
    say("w1", "cpu", remark)
    say("w2", "cuda:0", None)
    assert said() == {left: None, other: None, on_gpu: None}
    say("w2", "cuda:0", "no room left.")
    assert said() == {left: remark, other: None, on_gpu: "no room left."}
    tell(desk.database, "w1", "pause")
    assert said() == {left: "no room left.", other: "no room left.", on_gpu: "no room left."}


def test_a_list_of_jobs_asks_workers_once_however_many_are_open(desk):
    ids = [desk.dream(1).id for _ in range(6)]
    now = utc_now()
    for number in range(3):
        view = WorkerView(f"w{number}", "h", 1, "cpu", now, now, None, 0, 0.0, None, "no room.")
        beat(desk.database, view)
    asked = []

    def note(connection, cursor, statement, *_):
        asked.append("FROM workers" in statement)

    def asks(act):
        asked.clear()
        act()
        return sum(asked), len(asked)

    event.listen(desk.database.engine, "before_cursor_execute", note)
    try:
        every = asks(lambda: list_jobs(desk.database))
        assert every == asks(lambda: list_jobs(desk.database, limit=1))
        assert every[0] == asks(lambda: looks(desk.database, ids))[0] == 1
        assert {job.paused for job in list_jobs(desk.database)} == {"no room."}
        for number in range(3):  # what paused jobs wait for is known; others' once more
            beat(
                desk.database, WorkerView(f"w{number}", "h", 1, "cpu", now, now, None, 0, 0.0, None)
            )
        free = asks(lambda: list_jobs(desk.database))
        assert free == asks(lambda: list_jobs(desk.database, limit=1))
        assert free[0] == asks(lambda: looks(desk.database, ids))[0] == 2
        for job_id in ids:
            cancel(desk.database, job_id)
        assert asks(lambda: list_jobs(desk.database))[0] == 0, "asked for none that is open"
        assert {job.paused for job in list_jobs(desk.database)} == {None}
    finally:
        event.remove(desk.database.engine, "before_cursor_execute", note)


def test_who_is_known_to_have_ended_is_not_alive(database):
    now = utc_now()
    for name in ("host-1", "host-2", "host-3"):
        beat(database, WorkerView(name, "host", 1, "cpu", now, now, None, 0, 0.0, None))
    forget(database, ["host-1"])
    forget(database, [])
    alive = live_workers(database, within_s=60, is_dead=lambda name: name == "host-2")
    assert [one.name for one in alive] == ["host-3"]

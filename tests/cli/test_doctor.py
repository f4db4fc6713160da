"""`doctor` believes the kernel's locks, and looks for the store that the database knows."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from beholder.alive import Alive, worker_name
from beholder.jobs.models import utc_now
from beholder.jobs.workers import WorkerView, beat
from beholder.upkeep.checkpoints import Tidying
from cli.context import Context

pytestmark = pytest.mark.slow  # with real servers or files; seconds in all

Beholder = Callable[..., Any]
Make = Callable[..., str]


def test_doctor_does_not_call_a_worker_alive_whose_lock_is_free(
    beholder: Beholder, context: Context
) -> None:
    dead, now = worker_name(), utc_now()
    lock = context.settings.home / "workers" / dead
    lock.parent.mkdir()
    lock.touch()
    living = worker_name()
    alive = Alive(context.settings.home, living)
    for name in (dead, living):
        beat(context.db, WorkerView(name, "host", 1, "cpu", now, now, 7, 0, 0.0, None))
    doctor = {row["name"]: row for row in json.loads(beholder("doctor", "--json").out)}
    assert doctor["workers"]["detail"] == f"1 alive, 1 busy: {living}"
    del alive
    assert "none heard of" in beholder("doctor").out


def test_doctor_misses_the_store_that_the_database_knows(
    beholder: Beholder, context: Context, dream_job: Make
) -> None:
    dream_job()
    Tidying(context.db, context.store).step()
    assert beholder("doctor").code == 0
    store = context.settings.home / "store"
    store.rename(store.with_name("away"))
    answer = beholder("doctor")
    assert answer.code == 2
    assert f"store       the store {store} is not there: mount or restore it" in answer.out
    store.mkdir()
    assert "has no file 'database': mount or restore it" in beholder("doctor").out

"""`beholder workers`: the table, its JSON, and what a worker is told."""

import fcntl
import json

import pytest

from beholder.jobs.models import utc_now
from beholder.jobs.workers import WorkerView, beat

pytestmark = pytest.mark.slow


@pytest.fixture
def alive(context):
    now = utc_now()
    reason = "no room left in the store: free some space."
    view = WorkerView("rack3-1-aa", "rack3", 1, "cuda:0", now, now, None, 3, 2.0, 2**30, reason)
    beat(context.db, view)
    return view


def test_none_is_said(beholder, home):
    assert "start `beholder up` or `beholder worker`." in beholder("workers").err
    with (home / "service.lock").open("ab") as lock:  # as a service whose worker was drained
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "No workers heard of: start `beholder worker`." in beholder("workers").err


@pytest.mark.both
def test_who_is_there_and_why_it_pauses(beholder, alive):
    shown = beholder("workers")
    for words in ("rack3-1-aa", "cuda:0", "paused"):
        assert words in shown.out
    assert "rack3-1-aa: no room left" in shown.err
    (row,) = json.loads(beholder("workers", "--json").out)
    assert (row["device_class"], row["state"], row["gpu_bytes"]) == ("gpu", "paused", 2**30)


@pytest.mark.both
def test_what_it_is_told_is_in_the_database(beholder, context, alive):
    assert "rack3-1-aa takes nothing more" in beholder("workers", "pause", "rack3").err
    assert beat(context.db, alive) == "pause"
    beholder("workers", "resume", "rack3-1")
    assert beat(context.db, alive) is None
    beholder("workers", "drain", "rack3-1-aa")
    assert beat(context.db, alive) == "drain"
    refused = beholder("workers", "resume", "rack3")
    assert refused.err.startswith("beholder: worker rack3-1-aa drains")
    assert "no worker 'rack4'" in beholder("workers", "pause", "rack4").err

"""Of many workers a few keep watch, and others take over from those that fall silent."""

import pytest

from beholder.jobs.models import utc_now
from beholder.jobs.watch import WATCHERS, Watch
from beholder.jobs.workers import WorkerView, beat

NAMES = [f"host-{number:02}" for number in range(WATCHERS + 3)]
LEASE_S = 15.0


def heard_of(database, names):
    now = utc_now()
    for name in names:
        beat(database, WorkerView(name, "host", 1, "cpu", now, now, None, 0, 0.0, None))


@pytest.mark.slow
def test_the_first_few_keep_watch_and_others_take_over(database):
    watches = {name: Watch(name, LEASE_S, look_s=6.0) for name in NAMES}
    dead = NAMES[:2]

    def watching(second):
        return [name for name, one in watches.items() if one.is_mine(database, now=float(second))]

    heard_of(database, NAMES)
    assert watching(0) == NAMES[:WATCHERS]
    for second in range(3, 30, 3):
        heard_of(database, NAMES[2:])
        found = watching(second)
        assert found == NAMES[: WATCHERS if second < LEASE_S else WATCHERS + len(dead)]
    heard_of(database, NAMES)
    assert watching(33) == NAMES[:WATCHERS]


def test_who_was_stopped_takes_nobody_for_dead(database):
    heard_of(database, NAMES)
    last = Watch(NAMES[-1], LEASE_S, look_s=6.0)
    assert not last.is_mine(database, now=0.0)
    assert not last.is_mine(database, now=3600.0)


def test_the_only_one_keeps_watch(database):
    assert Watch("host", LEASE_S, look_s=6.0).is_mine(database, now=0.0)

"""Workers of several classes, what they are told, and what waits for whom."""

from dataclasses import replace

import pytest

from beholder.errors import Conflict, InvalidInput, NotFound
from beholder.jobs.claims import claim_next
from beholder.jobs.fleet import fleet, tell
from beholder.jobs.measures import Pending, measures
from beholder.jobs.models import utc_now
from beholder.jobs.turns import waiting
from beholder.jobs.workers import WorkerView, beat
from tests.silence import silent


def claimed(desk, device, room=1):
    claims = claim_next(desk.database, worker="w", lease_s=15, room=room, device=device)
    return [claim.job_id for claim in claims]


def test_a_job_is_run_by_the_class_that_it_asks_for(desk):
    on_gpu, on_cpu = desk.dream(2, device="gpu").id, desk.dream(2, device="cpu").id
    anywhere = desk.dream(2).id
    assert claimed(desk, "cpu") == [on_cpu]
    assert claimed(desk, "cpu") == [anywhere]
    assert claimed(desk, "cpu") == []
    assert claimed(desk, "gpu") == [on_gpu]


def test_a_batch_is_shared_only_with_jobs_of_the_worker_s_class(desk):
    jobs = {device: desk.dream(1, device=device).id for device in ("any", "gpu", "cpu")}
    assert sorted(claimed(desk, "gpu", room=8)) == sorted([jobs["any"], jobs["gpu"]])
    assert claimed(desk, "cpu", room=8) == [jobs["cpu"]]


def test_whose_class_nobody_asks_takes_everything(desk):
    job = desk.dream(1, device="gpu").id
    assert claimed(desk, None) == [job]


def test_what_waits_is_counted_by_the_device_asked_for(desk):
    assert waiting(desk.database, limit=9) == {}
    desk.dream(3, device="gpu", chunk_size=1)
    desk.dream(2, chunk_size=1)
    assert waiting(desk.database, limit=9) == {"gpu": 3, "any": 2}
    desk.dream(99, chunk_size=1)
    desk.dream(1, device="cpu")
    some = waiting(desk.database, limit=9)
    assert set(some) == {"any", "gpu", "cpu"}, "a large job drowns the others"
    assert some.total() <= 9 + 4


def test_pending_items_and_the_oldest_s_age(desk):
    def pending():
        return measures(desk.database, workers_within_s=60).pending

    assert {device: (one.items, one.oldest_s) for device, one in pending().items()} == {
        "any": (0, 0), "gpu": (0, 0), "cpu": (0, 0),
    }  # fmt: skip
    desk.dream(5, device="gpu", chunk_size=2)
    found = pending()
    assert (found["gpu"].items, found["any"].items) == (5, 0)
    assert 0 < found["gpu"].oldest_s < 60
    held = [desk.claim(), desk.claim()]
    assert (pending()["gpu"].items, pending()["gpu"].running) == (1, 4)
    held.append(desk.claim())
    assert pending()["gpu"] == Pending(running=5)
    for claim in held:
        desk.finish(claim)
    assert pending()["gpu"] == Pending()


@pytest.fixture
def two(desk):
    """Workers rack3-1 (busy on a GPU) and rack4-2 (idle); the busy one's claim."""
    now = utc_now()
    desk.dream(4)
    held = desk.claim(worker="rack3-1-aa")
    view = WorkerView("rack3-1-aa", "rack3", 1, "cuda:0", now, now, held.chunk_id, 1, 2.0, 2**30)
    beat(desk.database, replace(view, since=now, items=12, rate=1.5))
    beat(desk.database, WorkerView("rack4-2-bb", "rack4", 2, "cpu", now, now, None, 0, 0.0, None))
    return held


def test_the_fleet_says_who_runs_what(desk, two):
    busy, idle = fleet(desk.database)
    assert (busy.state, busy.job, busy.chunk, busy.in_hand) == (
        "running", two.job_id, two.chunk_id, 1,
    )  # fmt: skip
    assert (busy.device, busy.device_class, busy.items, busy.rate) == ("cuda:0", "gpu", 12, 1.5)
    assert busy.since is not None
    assert (idle.state, idle.job, idle.in_hand, idle.device_class) == ("idle", None, 0, "cpu")
    (left,) = fleet(desk.database, is_dead=lambda name: name.startswith("rack4"))
    assert left.name == "rack3-1-aa"


def test_who_leaves_one_job_to_others_has_not_paused(desk, two):
    now = utc_now()
    view = WorkerView("rack4-2-bb", "rack4", 2, "cpu", now, now, None, 0, 0.0, None)
    for reason, state in (
        ("leaves job abc to others: no weights.", "idle"),
        ("no room.", "paused"),
    ):
        beat(desk.database, replace(view, paused=reason))
        assert [(one.state, one.reason) for one in fleet(desk.database)][1] == (state, reason)


def test_what_a_worker_is_told_comes_with_its_next_heartbeat(desk, two):
    now = utc_now()
    view = WorkerView("rack3-1-aa", "rack3", 1, "cuda:0", now, now, None, 1, 2.0, None)
    assert beat(desk.database, view) is None
    assert tell(desk.database, "rack3-1", "pause") == ["rack3-1-aa"]
    assert beat(desk.database, view) == "pause"
    assert beat(desk.database, replace(view, told=None)) == "pause", "a heartbeat wiped it"
    assert [one.state for one in fleet(desk.database)] == ["pausing", "idle"]
    desk.finish(two)
    assert fleet(desk.database)[0].state == "paused"
    assert tell(desk.database, "rack3", None) == ["rack3-1-aa"]
    assert beat(desk.database, view) is None
    tell(desk.database, "rack3", "drain")
    assert beat(desk.database, view) == "drain"
    with pytest.raises(Conflict, match="drains"):
        tell(desk.database, "rack3", None)


def test_a_worker_that_was_forgotten_keeps_its_order(desk):
    now = utc_now()
    view = WorkerView("w", "host", 1, "cpu", now, now, None, 0, 0.0, None, told="pause")
    assert beat(desk.database, view) == "pause"
    assert fleet(desk.database)[0].state == "paused"


def test_a_name_has_to_be_one_worker_s_or_a_host_s(desk, two):
    now = utc_now()
    beat(desk.database, WorkerView("rack4-3", "rack4", 3, "cpu", now, now, None, 0, 0.0, None))
    assert tell(desk.database, "rack4", "pause") == ["rack4-2-bb", "rack4-3"]
    with pytest.raises(InvalidInput, match="begins 3 workers"):
        tell(desk.database, "rack", "pause")
    for name in ("rack9", ""):
        with pytest.raises(NotFound, match="`beholder workers` lists them"):
            tell(desk.database, name, "pause")
    beat(desk.database, WorkerView("old", "old", 1, "cpu", now, now, None, 0, 0.0, None))
    silent(desk.database, "old", 300)
    with pytest.raises(NotFound):
        tell(desk.database, "old", "drain")

"""The sweep finds what nobody works on, and sets aside what kills its workers."""

import pytest

from beholder.jobs.control import cancel
from beholder.jobs.models import Job
from beholder.jobs.queries import items
from beholder.jobs.sweep import sweep
from beholder.jobs.turns import waiting


def _sweep(desk, *, limit=500):
    sweep(desk.database, now=desk.now, limit=limit)
    return waiting(desk.database, limit=99)


def _die(desk, held):
    """The worker of a claim is gone, and its lease runs out."""
    assert held is not None
    desk.now += desk.lease_s + 1


def test_what_waits_is_counted_up_to_a_limit(desk):
    desk.dream(3, chunk_size=1)
    assert [waiting(desk.database, limit=limit) for limit in (2, 3, 4)] == [2, 3, 3]
    desk.claim()
    assert _sweep(desk) == 2
    cancelled = desk.dream(5, chunk_size=1)
    assert _sweep(desk) == 7
    cancel(desk.database, cancelled.id)
    assert _sweep(desk) == 2


def test_no_more_than_the_limit_at_a_time(desk):
    desk.dream(5, chunk_size=1)
    while held := desk.claim():
        _die(desk, held)
        desk.now -= desk.lease_s + 1
    desk.now += desk.lease_s + 1
    assert [_sweep(desk, limit=2) for _ in range(4)] == [2, 4, 5, 5]


def test_a_dead_workers_chunk_goes_to_another(desk):
    job = desk.dream(2)
    held = desk.claim_next(job.id)
    assert _sweep(desk) == 0
    _die(desk, held)
    assert _sweep(desk) == 1
    desk.check(job.id)
    again = desk.claim_next(job.id)
    assert (again.attempt, again.stale_tokens) == (2, (held.token,))
    assert desk.finish(held) is None
    assert desk.finish(again).job_state == "done"


def test_a_picture_that_kills_its_worker_is_set_aside_and_the_rest_finish(desk):
    """Position 2 of five kills whoever works on it."""
    job = desk.dream(5)
    deaths = 0
    for _ in range(50):
        while held := desk.claim():
            if 2 in {item.position for item in held.items}:
                deaths += 1
                _die(desk, held)
            else:
                desk.finish(held)
            desk.check(job.id)
        _sweep(desk)
        desk.check(job.id)
        if desk.job(job.id).state == "done":
            break
    assert deaths == 4  # two with its neighbours, two alone
    row = desk.job(job.id)
    assert (row.state, row.done, row.failed) == ("done", 4, 1)
    failed = next(items(desk.database, job.id, state="failed"))
    assert failed.position == 2
    assert failed.error.startswith("its worker died 3 times on this picture")


def test_a_worn_out_chunk_is_not_taken_before_the_sweep_decides(desk):
    job = desk.dream(1, chunk_size=1)
    for attempt in (1, 2, 3):
        held = desk.claim()
        assert held.attempt == attempt
        _die(desk, held)
    assert desk.claim() is None
    assert _sweep(desk) == 0
    assert desk.job(job.id).state == "failed"
    desk.check(job.id)


@pytest.mark.parametrize("stage", ["measure", "classify"])
def test_setting_a_picture_aside_lets_its_study_go_on(desk, stage):
    job = desk.study(2, 1, chunk_size=1)
    while (held := desk.claim_next(job.id)).stage != stage:
        desk.finish(held)
    while desk.chunks(job.id):
        desk.finish(desk.claim_next(job.id))
    for _ in range(3):
        _die(desk, held)
        _sweep(desk)
        desk.check(job.id)
        held = desk.claim()
    if stage == "measure":
        assert held.stage == "choose"
        desk.finish(held)
    row = desk.run(job.id)
    assert (row.state, row.done, row.failed) == ("done", 2, 1)


def test_a_choice_that_kills_its_workers_fails_the_study(desk):
    job = desk.study(2, 1)
    desk.finish(desk.claim_next(job.id))
    for _ in range(3):
        _die(desk, desk.claim_next(job.id))
        _sweep(desk)
    row = desk.job(job.id)
    assert (row.state, row.failed) == ("failed", 3)
    assert "died 3 times while it chose channels" in row.error
    desk.check(job.id)


def test_the_rows_of_a_big_cancelled_job_follow_bit_by_bit(desk, monkeypatch):
    monkeypatch.setattr("beholder.jobs.control.SETTLE_LIMIT", 2)
    job = desk.dream(9, chunk_size=1)
    held = desk.claim_next(job.id)
    cancel(desk.database, job.id)
    desk.check(job.id)  # everything counts as cancelled at once
    assert set(desk.states(job.id).values()) == {"cancelled"}
    assert len(desk.chunks(job.id)) == 8
    assert desk.finish(held) is None
    assert _sweep(desk) == 0
    assert desk.chunks(job.id) == desk.chunks(job.id, "running") == []
    desk.check(job.id)


def test_settling_keeps_to_its_limit(desk, monkeypatch):
    from beholder.jobs.rows import settle

    monkeypatch.setattr("beholder.jobs.control.SETTLE_LIMIT", 2)
    job = desk.dream(5, chunk_size=1)
    cancel(desk.database, job.id)
    left = []
    for _ in range(3):
        with desk.database.write() as session:
            settle(session, session.get(Job, job.id), limit=2)
        left.append(len(desk.chunks(job.id)))
        desk.check(job.id)
    assert left == [3, 1, 0]

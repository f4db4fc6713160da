"""The sweep finds what nobody works on, and sets aside what kills its workers."""

from functools import partial

import pytest
from sqlalchemy import func, select

from beholder.jobs.claims import claim_next, give_up, renew_all
from beholder.jobs.control import cancel
from beholder.jobs.finish import fail_chunk_job
from beholder.jobs.models import Item, Job
from beholder.jobs.queries import items
from beholder.jobs.rows import settle
from beholder.jobs.turns import waiting


def test_what_waits_is_counted_up_to_a_limit(desk):
    desk.dream(3, chunk_size=1)
    assert [waiting(desk.database, limit=limit).total() for limit in (2, 3, 4)] == [2, 3, 3]
    desk.claim()
    assert desk.sweep() == 2
    cancelled = desk.dream(5, chunk_size=1)
    assert desk.sweep() == 7
    cancel(desk.database, cancelled.id)
    assert desk.sweep() == 2


def test_no_more_than_the_limit_at_a_time(desk):
    desk.dream(5, chunk_size=1)
    while desk.claim():
        pass
    desk.die()
    assert [desk.sweep(limit=2) for _ in range(4)] == [2, 4, 5, 5]


def test_a_dead_workers_chunk_goes_to_another(desk):
    job = desk.dream(1)
    held = desk.claim_next(job.id)
    assert desk.sweep() == 0
    desk.die()
    assert desk.sweep() == 1
    desk.check(job.id)
    again = desk.claim_next(job.id)
    assert (again.attempt, again.stale_tokens) == (2, (held.token,))
    assert desk.finish(held) is None
    assert desk.finish(again).job_state == "done"


@pytest.mark.slow
def test_a_picture_that_kills_its_worker_is_set_aside_and_the_rest_finish(desk):
    """Position 2 of five kills whoever works on it."""
    job = desk.dream(5)
    deaths = 0
    for _ in range(50):
        while held := desk.claim():
            if 2 in {item.position for item in held.items}:
                deaths += 1
                desk.die()
            else:
                desk.finish(held)
            desk.check(job.id)
        desk.sweep()
        desk.check(job.id)
        if desk.job(job.id).state == "done":
            break
    assert deaths == 3  # two with its neighbours, one alone
    row = desk.job(job.id)
    assert (row.state, row.done, row.failed) == ("done", 4, 1)
    failed = next(items(desk.database, job.id, state="failed"))
    assert failed.position == 2
    assert failed.error.startswith("its worker died 3 times on this picture")


@pytest.mark.slow
def test_a_job_that_can_t_be_put_right_holds_up_no_other(desk, caplog):
    broken, whole = desk.dream(1), desk.dream(1)
    for _ in range(3):  # with the third the item is set aside, and what comes next is asked
        desk.sweep()
        assert [desk.claim().job_id for _ in range(2)] == [broken.id, whole.id]
        desk.die()
    with desk.database.write() as session:
        session.get(Job, broken.id).spec = {"zoom": 2.0}
    desk.sweep()
    assert f"job {broken.id} is left as it is" in caplog.text
    assert [desk.job(one.id).state for one in (broken, whole)] == ["running", "failed"]


@pytest.mark.slow
def test_deaths_count_anew_once_the_work_went_further(desk):
    job = desk.dream(1)
    for _ in range(5):
        held = desk.claim()
        assert held.attempt <= 2
        states = renew_all(desk.database, [held], lease_s=desk.lease_s, further={held.token})
        assert states == {held.token: "held"}
        desk.die()
        assert desk.sweep() == 1
        desk.check(job.id)
    for attempt in (2, 3):
        held = desk.claim()
        assert held.attempt == attempt
        renew_all(desk.database, [held], lease_s=desk.lease_s, further={"another's"})
        desk.die()
        desk.sweep()
    assert desk.job(job.id).state == "failed"


def test_what_a_worker_died_on_is_taken_by_none_that_has_something_in_hand(desk):
    for _ in range(2):
        desk.dream(1)
    desk.claim()
    desk.die()
    desk.sweep()
    take = partial(claim_next, desk.database, worker="w", lease_s=15)
    first = take(suspects=False)  # the other job's turn comes first
    assert [claim.attempt for claim in first] == [1]
    assert take(suspects=False) == ()
    assert [claim.attempt for claim in take(suspects=True)] == [2]


def test_an_error_that_nobody_foresaw_counts_as_a_death(desk):
    job = desk.dream(2)
    for attempt in (1, 2, 3, 3):
        held = desk.claim()
        assert held.attempt == attempt
        give_up(desk.database, held, f"attempt {attempt}")
        desk.check(job.id)
    assert desk.claim() is None
    failed = list(items(desk.database, job.id, state="failed"))
    assert [item.error for item in failed] == ["attempt 3"] * 2


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["measure", "classify"])
def test_setting_a_picture_aside_lets_its_study_go_on(desk, stage):
    job = desk.study(2, 1, chunk_size=1)
    while (held := desk.claim_next(job.id)).stage != stage:
        desk.finish(held)
    while desk.chunks(job.id):
        desk.finish(desk.claim_next(job.id))
    for _ in range(3):
        desk.die()
        desk.sweep()
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
        desk.claim_next(job.id)
        desk.die()
        desk.sweep()
    row = desk.job(job.id)
    assert (row.state, row.failed) == ("failed", 3)
    assert "died 3 times while it chose channels" in row.error
    desk.check(job.id)


@pytest.mark.parametrize("state", ["cancelled", "failed"])
def test_the_rows_of_a_big_job_that_ends_early_follow_bit_by_bit(desk, monkeypatch, state):
    monkeypatch.setattr("beholder.jobs.rows.SETTLE_LIMIT", 2)
    job = desk.dream(9, chunk_size=1)
    held, other = desk.claim_next(job.id), desk.claim_next(job.id)
    if state == "cancelled":
        cancel(desk.database, job.id)
    else:
        assert fail_chunk_job(desk.database, other, "no weights").job_state == "failed"
    desk.check(job.id)  # everything counts as ended at once
    assert set(desk.states(job.id).values()) == {state}
    assert len(desk.chunks(job.id)) == 7
    assert "held" not in renew_all(desk.database, [held, other], lease_s=9).values()
    assert desk.finish(held) is None
    assert desk.sweep() == 0
    assert desk.chunks(job.id) == desk.chunks(job.id, "running") == []
    desk.check(job.id)


def test_what_a_study_measured_follows_bit_by_bit_too(desk, monkeypatch):
    """While it chooses, it has a single chunk, and items that are all open."""
    monkeypatch.setattr("beholder.jobs.rows.SETTLE_LIMIT", 2)
    job = desk.study(5, 0)
    desk.finish(desk.claim_next(job.id))
    fail_chunk_job(desk.database, desk.claim_next(job.id), "no weights")
    left = []
    for _ in range(3):
        with desk.database.write() as session:
            settle(session, session.get(Job, job.id), limit=2)
            still = select(func.count()).where(Item.job_id == job.id, Item.state == "queued")
            left.append(session.scalar(still))
        desk.check(job.id)
    assert left == [3, 1, 0]
    assert not desk.job(job.id).unsettled


def test_settling_keeps_to_its_limit(desk, monkeypatch):
    monkeypatch.setattr("beholder.jobs.rows.SETTLE_LIMIT", 2)
    job = desk.dream(5, chunk_size=1)
    cancel(desk.database, job.id)
    left = []
    for _ in range(3):
        with desk.database.write() as session:
            settle(session, session.get(Job, job.id), limit=2)
        left.append(len(desk.chunks(job.id)))
        desk.check(job.id)
    assert left == [3, 1, 0]

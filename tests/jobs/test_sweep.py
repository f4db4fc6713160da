"""The sweep finds what nobody works on, and sets aside what kills its workers."""

import pytest

from beholder.jobs.control import cancel
from beholder.jobs.queries import items
from beholder.jobs.sweep import mark_sent, sweep


def _sweep(desk, *, resend_after_s=60.0, limit=500):
    return sweep(desk.database, now=desk.now, resend_after_s=resend_after_s, limit=limit)


def _die(desk, held):
    """The worker of a claim is gone, and its lease runs out."""
    assert held is not None
    desk.now += desk.lease_s + 1


def test_what_was_never_sent_is_sent_once(desk):
    job = desk.dream(3, chunk_size=1)
    assert sorted(_sweep(desk)) == desk.chunks(job.id)
    assert _sweep(desk) == ()
    desk.now += 61
    assert sorted(_sweep(desk)) == desk.chunks(job.id)


def test_what_was_sent_is_left_alone_for_a_while(desk):
    job = desk.dream(3, chunk_size=1)
    first, *_ = chunks = desk.chunks(job.id)
    mark_sent(desk.database, chunks, now=desk.now)
    assert _sweep(desk) == ()
    assert desk.everything_sent(job.id) == []
    desk.now += 30
    mark_sent(desk.database, [first], now=desk.now)
    desk.now += 31
    assert sorted(_sweep(desk)) == chunks[1:]
    assert _sweep(desk, resend_after_s=float("inf")) == ()


def test_no_more_than_the_limit_at_a_time(desk):
    job = desk.dream(5, chunk_size=1)
    sent = [_sweep(desk, limit=2) for _ in range(4)]
    assert [len(ids) for ids in sent] == [2, 2, 1, 0]
    assert sorted(sum(sent, ())) == desk.chunks(job.id)


def test_a_dead_workers_chunk_goes_to_another(desk):
    job = desk.dream(2)
    held = desk.claim_next(job.id)
    mark_sent(desk.database, [held.chunk_id], now=desk.now)
    assert _sweep(desk) == ()
    _die(desk, held)
    assert _sweep(desk) == (held.chunk_id,)
    desk.check(job.id)
    again = desk.claim(held.chunk_id)
    assert (again.attempt, again.stale_tokens) == (2, (held.token,))
    assert desk.finish(held) is None
    assert desk.finish(again).job_state == "done"


def test_a_picture_that_kills_its_worker_is_set_aside_and_the_rest_finish(desk):
    """Position 2 of five kills whoever works on it."""
    job = desk.dream(5)
    deaths = 0
    for _ in range(50):
        for chunk in desk.chunks(job.id):
            held = desk.claim(chunk)
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
    (chunk,) = desk.chunks(job.id)
    for attempt in (1, 2, 3):
        held = desk.claim(chunk)
        assert held.attempt == attempt
        _die(desk, held)
    assert desk.claim(chunk) is None
    assert _sweep(desk) == ()
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
        sent = _sweep(desk)
        desk.check(job.id)
        held = desk.claim(sent[0]) if sent else None
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
    assert _sweep(desk) == ()
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
            settle(session, job.id, limit=2)
        left.append(len(desk.chunks(job.id)))
        desk.check(job.id)
    assert left == [3, 1, 0]

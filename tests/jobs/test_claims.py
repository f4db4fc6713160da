"""A chunk has one worker at a time, and a worker that was given up for dead changes nothing."""

from dataclasses import replace

import pytest
from sqlalchemy import event, select

from beholder.jobs.claims import claim_next, release, renew_all
from beholder.jobs.control import cancel
from beholder.jobs.finish import fail_chunk_job
from beholder.jobs.models import Chunk, Job
from beholder.jobs.rows import MOST_STALE
from beholder.jobs.weights import record_network
from beholder.specs import DreamSpec


@pytest.mark.slow
def test_a_claim_says_what_to_do(desk):
    job = desk.dream(2, layers=(28,))
    held = desk.claim_next(job.id)
    assert (held.job_id, held.kind, held.stage, held.attempt) == (job.id, "dream", "dream", 1)
    assert held.spec == DreamSpec(network="random:0", layers=(28,))
    assert [(item.position, item.layer, item.source) for item in held.items] == [
        (0, 28, "folder/0.jpg"), (1, 28, "folder/1.jpg")
    ]  # fmt: skip
    assert len(held.token) == 12
    row = desk.job(job.id)
    assert (row.state, row.running, row.queued) == ("running", 2, 0)
    assert row.started_at is not None
    desk.check(job.id)


@pytest.mark.slow
def test_only_claims_that_follow_a_choice_ask_for_it(desk):
    asked = []

    def note(connection, cursor, statement, parameters, context, many):
        asked.append("choose" in str(parameters))

    def times_asked(job):
        asked.clear()
        event.listen(desk.database.engine, "before_cursor_execute", note)
        held = desk.claim_next(job.id)
        event.remove(desk.database.engine, "before_cursor_execute", note)
        assert len(asked) > 3
        assert desk.finish(held) is not None
        return held.stage, sum(asked)

    dream, study = desk.dream(2, chunk_size=1), desk.study(2, 1)
    assert [times_asked(dream) for _ in range(2)] == [("dream", 0)] * 2
    found = [times_asked(study) for _ in range(3)]
    assert found == [("measure", 0), ("choose", 0), ("classify", 1)]


def test_a_claimed_chunk_is_nobody_elses_while_the_lease_lasts(desk):
    job = desk.dream(2)
    held = desk.claim_next(job.id)
    desk.sweep()
    desk.now += desk.lease_s - 1
    assert desk.sweep() == 0
    assert desk.claim() is None
    desk.now += 2
    assert desk.sweep() == 1
    second = desk.claim()
    assert second.chunk_id == held.chunk_id
    assert second.token != held.token
    assert (second.attempt, second.stale_tokens) == (2, (held.token,))
    desk.check(job.id)


def test_what_is_gone_or_done_cannot_be_claimed(desk):
    job = desk.dream(1)
    held = desk.claim_next(job.id)
    assert desk.finish(held) is not None
    desk.die()
    desk.sweep()
    assert desk.claim() is None


def _renew(desk, *held, **options):
    states = renew_all(desk.database, held, lease_s=desk.lease_s, **options)
    return [states[claim.token] for claim in held]


def test_renewing_keeps_the_lease(desk):
    held = desk.claim_next(desk.dream(1).id)
    for _ in range(3):
        desk.now += desk.lease_s - 1
        assert _renew(desk, held) == ["held"]
        assert desk.sweep() == 0


def test_renewing_tells_of_a_lost_lease_and_of_cancelling(desk):
    job = desk.dream(1)
    first = desk.claim_next(job.id)
    desk.die()
    desk.sweep()
    second = desk.claim()
    assert _renew(desk, first, second) == ["lost", "held"]
    cancel(desk.database, job.id)
    assert _renew(desk, second) == ["cancelled"]


def _everything(database):
    """Every row of every table that a worker writes to."""
    from beholder.jobs.models import Base

    with database.read() as session:
        return {
            table.name: session.execute(select(table)).all()
            for table in Base.metadata.sorted_tables
        }


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["dream", "measure", "choose", "classify"])
@pytest.mark.parametrize("successor", ["works", "is done"])
def test_a_stale_worker_changes_no_row(desk, stage, successor):
    job = desk.dream(2) if stage == "dream" else desk.study(2, 1)
    while (stale := desk.claim_next(job.id)).stage != stage:
        desk.finish(stale)
    desk.die()
    desk.sweep()
    second = desk.claim()
    assert second.chunk_id == stale.chunk_id
    if successor == "is done":
        desk.finish(second)
    before = _everything(desk.database)
    assert desk.finish(stale) is None
    assert desk.finish(stale, failing=lambda _: True) is None
    assert fail_chunk_job(desk.database, stale, "no weights") is None
    assert release(desk.database, stale) is False
    record_network(desk.database, [stale], "vgg19", "f" * 64)
    assert _renew(desk, stale) == ["lost"]
    assert _everything(desk.database) == before


def test_released_chunks_go_on_elsewhere_and_the_attempt_does_not_count(desk):
    job = desk.dream(2)
    held = desk.claim_next(job.id)
    assert release(desk.database, held) is True
    desk.check(job.id)
    again = desk.claim_next(job.id)
    assert again.chunk_id == held.chunk_id
    assert (again.attempt, again.stale_tokens) == (1, (held.token,))
    assert desk.finish(held) is None


@pytest.mark.slow
def test_a_chunk_remembers_no_more_claims_than_it_has_to(desk):
    desk.dream(1)
    tokens = []
    for _ in range(MOST_STALE + 3):
        held = desk.claim()
        tokens.append(held.token)
        release(desk.database, held)
    held = desk.claim()
    assert held.stale_tokens == tuple(tokens[-MOST_STALE:])
    release(desk.database, replace(held, stale_tokens=held.stale_tokens[-1:]))
    again = desk.claim()
    assert again.stale_tokens == (tokens[-1], held.token)
    release(desk.database, replace(again, stale_tokens=()))
    assert desk.claim().stale_tokens == (again.token,)


def test_a_cancelled_jobs_chunks_cannot_be_claimed(desk):
    job = desk.dream(3, chunk_size=1)
    cancel(desk.database, job.id)
    assert desk.claim() is None


def test_the_first_chunk_records_the_weights_and_others_are_refused(desk):
    job = desk.dream(2, chunk_size=1)
    first, second = desk.claim(), desk.claim()
    assert record_network(desk.database, [first], "vgg19", "a" * 64) == {}
    assert desk.job(job.id).network_sha256 == "a" * 64
    assert record_network(desk.database, [second], "vgg19", "a" * 64) == {}
    refused = record_network(desk.database, [second], "vgg19", "b" * 64)
    assert "began with weights aaaaaaaaaaaa of vgg19, this worker has bbbbbbbbbbbb" in str(
        refused[second.token]
    )
    release(desk.database, second)
    again = desk.claim()
    assert again.chunk_id == second.chunk_id
    assert again.network_sha256 == "a" * 64
    assert list(record_network(desk.database, [again], "vgg19", "b" * 64)) == [again.token]


def test_of_a_batch_only_the_jobs_with_other_weights_are_refused(desk):
    old = desk.dream(2, chunk_size=1)
    assert record_network(desk.database, [desk.claim()], "vgg19", "a" * 64) == {}
    new = desk.dream(1)
    batch = desk.claims(room=4)
    assert {claim.job_id for claim in batch} == {old.id, new.id}
    refused = record_network(desk.database, batch, "vgg19", "b" * 64)
    assert [refused.keys()] == [{claim.token for claim in batch if claim.job_id == old.id}]
    assert desk.job(new.id).network_sha256 == "b" * 64


@pytest.mark.parametrize("wrong", [{"steps": -1}, {"layers": [99]}, {"of a later version": 1}])
def test_a_spec_that_this_version_can_not_read_ends_its_own_job_alone(desk, wrong):
    bad, good = desk.dream(1), desk.dream(1)
    with desk.database.write() as session:
        row = session.get_one(Job, bad.id)
        row.spec = {**row.spec, **wrong}
    assert [claim.job_id for claim in desk.claims(room=4)] == [good.id]
    row = desk.job(bad.id)
    assert (row.state, row.failed) == ("failed", 1)
    assert row.error.startswith("this version can't run it: ")
    assert next(iter(wrong)) in row.error
    desk.check(bad.id)


def test_a_companion_whose_spec_can_not_be_read_is_left_for_its_own_turn(desk):
    good, bad = desk.dream(1), desk.dream(1)
    with desk.database.write() as session:
        row = session.get_one(Job, bad.id)
        row.spec = {**row.spec, "layers": [99]}
    assert [claim.job_id for claim in desk.claims(room=4)] == [good.id]
    assert desk.job(bad.id).state == "queued"
    assert desk.claim() is None
    assert desk.job(bad.id).state == "failed"


def test_a_worker_may_leave_jobs_to_others(desk):
    first, second, third = (desk.dream(1).id for _ in range(3))

    def take(*without):
        claims = claim_next(desk.database, worker="w", lease_s=15, room=2, without=without)
        for claim in claims:
            release(desk.database, claim)
        return {claim.job_id for claim in claims}

    assert take(first, second, third) == set()
    assert take(first, second) == {third}
    assert take(second) == {first, third}


def test_a_chunk_knows_its_worker(desk):
    desk.dream(1)
    held = desk.claim(worker="gpu-1:77")
    with desk.database.read() as session:
        assert session.get(Chunk, held.chunk_id).worker == "gpu-1:77"

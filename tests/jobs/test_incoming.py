"""A job is written in many transactions, and is there whole or not at all."""

import itertools
import multiprocessing
import os
from datetime import timedelta

import pytest
from sqlalchemy import event, func, select, update

from beholder.errors import Conflict, InvalidInput, NotFound, ServiceUnavailable
from beholder.jobs import control, incoming, removal, submit
from beholder.jobs.database import Database
from beholder.jobs.measures import measures
from beholder.jobs.models import INCOMING, Chunk, Item, Job, utc_now
from beholder.jobs.queries import get_job, list_jobs, progress
from beholder.jobs.repeats import Repeatable
from beholder.jobs.silence import Silence
from beholder.jobs.spool import Entry
from beholder.jobs.submit import create_job
from beholder.jobs.sweep import sweep
from beholder.jobs.turns import waiting
from beholder.jobs.watching import looks
from beholder.specs import DreamSpec

SPEC = DreamSpec.build(network="random:0", layers=(5, 12))


@pytest.fixture
def between(monkeypatch):
    """Have something done after some of the transactions that write a job, of two items each."""
    monkeypatch.setattr(submit, "BATCH", 2)
    made = submit._batches

    def do(act, after=1):
        def batches(*arguments):
            for number, batch in enumerate(made(*arguments)):
                if number == after:
                    monkeypatch.setattr(submit, "_batches", made)
                    act()
                yield batch

        monkeypatch.setattr(submit, "_batches", batches)

    return do


def _create(desk, count=3, **options):
    return create_job(desk.database, SPEC, map(desk.entry, range(count)), **options)


def _incoming(database):
    with database.read() as session:
        return session.scalar(select(Job.id).where(Job.state == INCOMING))


def _rows(database):
    with database.read() as session:
        counts = (session.scalar(select(func.count()).select_from(one)) for one in (Job, Item))
        return (*counts, session.scalar(select(func.count()).select_from(Chunk)))


def test_until_it_is_whole_nobody_sees_it_and_everybody_may_write(desk, between):
    seen = []

    def look():
        hidden = _incoming(desk.database)
        assert list_jobs(desk.database) == list_jobs(desk.database, kind="dream") == []
        for ask in (get_job, progress, control.cancel, control.delete, control.retry):
            with pytest.raises(NotFound):
                ask(desk.database, hidden)
        with pytest.raises(NotFound):
            get_job(desk.database, hidden[:5])
        with pytest.raises(InvalidInput):
            list_jobs(desk.database, state=INCOMING)
        assert desk.claim() is None
        assert not waiting(desk.database, limit=10)
        assert set(measures(desk.database, workers_within_s=1).items.values()) == {0}
        desk.run(desk.dream(1).id)  # on SQLite this would wait for the lock, in vain
        seen.append(hidden)

    between(look)
    job = _create(desk)
    assert seen == [job.id]
    assert list_jobs(desk.database)[0].id == job.id
    assert (job.total, job.chunks) == (6, 2)
    assert [item.layer for item in desk.claim_next(job.id).items] == [5, 5, 5]
    desk.check(job.id)


def test_it_counts_from_when_it_was_whole(desk, between):
    between(lambda: desk.dream(1))
    job = _create(desk)
    assert list_jobs(desk.database)[0].id == job.id
    assert get_job(desk.database, job.id).finished_at is None
    assert looks(desk.database, [job.id])[job.id].finished_at is None


def test_what_breaks_off_is_removed_by_a_sweep(desk, between, monkeypatch):
    monkeypatch.setattr(removal, "_TOGETHER", 3)

    def stop():
        raise KeyboardInterrupt

    whole = desk.dream(2)
    before = _rows(desk.database)
    between(stop)
    with pytest.raises(KeyboardInterrupt):
        _create(desk, 5)
    assert _rows(desk.database) > before
    desk.sweep()
    assert _rows(desk.database) == before
    desk.check(whole.id)


def test_one_that_is_still_being_written_is_left_alone(desk, between):
    between(desk.sweep)
    desk.check(_create(desk).id)


@pytest.mark.parametrize("hours", [-1, 1])
def test_clocks_that_differ_give_up_nothing(desk, between, hours):
    def look():
        for _ in range(2):
            desk.sweep()
            with desk.database.write() as session:
                session.execute(update(Job).values(finished_at=utc_now() + timedelta(hours=hours)))

    between(look)
    desk.check(_create(desk).id)


def test_one_that_rested_too_long_has_to_be_submitted_again(desk, between):
    def rest():
        desk.sweep()
        desk.now += removal.ABANDONED_S
        desk.sweep()

    between(rest)
    with pytest.raises(ServiceUnavailable, match="submit it again"):
        _create(desk)
    assert _rows(desk.database) == (0, 0, 0)


def test_one_that_rests_while_it_is_removed_loses_nothing_in_silence(desk, between, monkeypatch):
    monkeypatch.setattr(removal, "_TOGETHER", 1)
    monkeypatch.setattr(removal, "_REMOVALS", 1)

    def rest():
        desk.sweep()
        desk.now += removal.ABANDONED_S
        before = _rows(desk.database)
        desk.sweep()
        assert _rows(desk.database) == (1, before[1] - 1, before[2])

    between(rest, after=2)
    with pytest.raises(ServiceUnavailable, match="submit it again"):
        _create(desk)
    for _ in range(6):
        removal.remove_some(desk.database)
    assert _rows(desk.database) == (0, 0, 0)


def test_of_two_equal_requests_the_first_that_is_whole_stays(desk, between):
    request = Repeatable("key")
    first = []
    between(lambda: first.append(_create(desk, request=request)))
    second = _create(desk, request=request)
    assert second.repeated
    assert second.id == first[0].id
    desk.sweep()
    assert _rows(desk.database)[0] == 1
    assert control.cancel(desk.database, second.id) is None
    with pytest.raises(Conflict):
        control.cancel(desk.database, second.id)


def test_what_is_left_is_removed_a_bounded_part_at_a_time(desk, between, monkeypatch):
    def stop():
        raise KeyboardInterrupt

    monkeypatch.setattr(removal, "_TOGETHER", 1)
    monkeypatch.setattr(removal, "_REMOVALS", 2)
    between(stop, after=4)
    with pytest.raises(KeyboardInterrupt):
        _create(desk, 9)
    left = [_rows(desk.database)]
    while left[-1] != (0, 0, 0):
        removal.remove_some(desk.database)
        left.append(_rows(desk.database))
        assert 0 < sum(left[-2]) - sum(left[-1]) <= 2


@pytest.fixture
def lost_answer(database):
    """Have the answer to a commit lost, by its number from 1 on."""
    lost, commits = [], itertools.count(1)

    def commit(connection):
        connection.connection.dbapi_connection.commit()
        if next(commits) in lost:
            raise ServiceUnavailable("server closed the connection unexpectedly.")

    event.listen(database.engine, "commit", commit)
    yield lost.append
    event.remove(database.engine, "commit", commit)


@pytest.mark.parametrize(("batch", "last"), [(100, 1), (2, 4)])
def test_a_job_whose_last_answer_was_lost_was_submitted(
    desk, monkeypatch, lost_answer, batch, last
):
    monkeypatch.setattr(submit, "BATCH", batch)
    lost_answer(last)
    job = _create(desk)
    assert (job.total, job.chunks) == (6, 2)
    assert [one.id for one in list_jobs(desk.database)] == [job.id]
    desk.check(job.id)


def test_a_job_of_which_an_earlier_answer_was_lost_was_not(desk, monkeypatch, lost_answer):
    monkeypatch.setattr(submit, "BATCH", 2)
    lost_answer(3)
    with pytest.raises(ServiceUnavailable, match="server closed"):
        _create(desk)
    desk.sweep()
    assert _rows(desk.database) == (0, 0, 0)


def test_where_it_can_not_be_told_it_is_said_what_to_look_for(desk, monkeypatch, lost_answer):
    def away(_):
        raise ServiceUnavailable("connection refused.")

    lost_answer(1)
    monkeypatch.setattr(incoming, "_PATIENCE_S", (0.0, 0.0))
    with monkeypatch.context() as outage:
        outage.setattr(Database, "read", away)
        with pytest.raises(ServiceUnavailable, match=r"may have taken job .*`beholder jobs`"):
            _create(desk)
    assert len(list_jobs(desk.database)) == 1


def test_a_job_that_is_written_needs_no_further_answer(desk, monkeypatch):
    def away(_):
        raise ServiceUnavailable("connection refused.")

    with monkeypatch.context() as outage:
        outage.setattr(Database, "read", away)
        job = _create(desk)
    assert job.chunks == 2


def _die_submitting(url):
    database = Database.open(url)
    submit.BATCH = 2
    made = submit._batches

    def batches(*arguments):
        for number, batch in enumerate(made(*arguments)):
            if number == 2:
                os._exit(9)
            yield batch

    submit._batches = batches
    create_job(database, SPEC, (Entry(f"noise-{n}", None, seed=n) for n in range(9)))


@pytest.mark.slow
def test_a_killed_submitter_leaves_nothing_that_anybody_sees(url):
    child = multiprocessing.get_context("spawn").Process(target=_die_submitting, args=(url,))
    child.start()
    child.join(60)
    assert child.exitcode == 9
    database = Database.open(url)
    assert _rows(database) == (1, 4, 0)
    assert list_jobs(database) == []
    silence = Silence(lease_s=15, look_s=1_000)
    for now in (0, removal.ABANDONED_S - 1):
        sweep(database, silence, now=now)
        assert _rows(database)[0] == 1  # it might be slow
    sweep(database, silence, now=removal.ABANDONED_S)
    assert _rows(database) == (0, 0, 0)
    database.dispose()

"""Jobs go with their age, unless they are kept or at work; one at a time."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from beholder.errors import Conflict, ServiceUnavailable
from beholder.jobs.control import cancel, put_away
from beholder.jobs.models import Job
from beholder.jobs.queries import get_job, list_jobs
from beholder.jobs.removal import remove_some
from beholder.jobs.reopen import begin, reopen_part
from beholder.jobs.rows import lock_job
from beholder.store import Store, job_folder
from beholder.upkeep.retention import Retention, expired, keep, remove_hidden, remove_job

MONTH = timedelta(days=30)


def aged(home, job_id, days):
    then = datetime.now(UTC) - timedelta(days=days)
    home.set(update(Job).where(Job.id == job_id).values(created_at=then, finished_at=then))


def test_the_old_that_ended_and_are_not_kept(home):
    young, old, older, kept = (home.done([number]) for number in range(4))
    for job_id, days in ((young, 29), (old, 31), (older, 40), (kept, 50)):
        aged(home, job_id, days)
    running = home.submit([9])
    keep(home.db, kept)
    assert expired(home.db, older_than=MONTH) == [older, old]
    assert expired(home.db, older_than=MONTH, states=("failed",)) == []
    assert expired(home.db, older_than=MONTH, limit=1) == [older]
    keep(home.db, kept, kept=False)
    assert expired(home.db, older_than=MONTH) == [kept, older, old]
    assert running in {job.id for job in list_jobs(home.db)}


def test_a_worker_removes_one_at_each_call_and_then_rests(home):
    jobs = [home.done([number]) for number in range(3)]
    for number, job_id in enumerate(jobs[:2]):
        aged(home, job_id, 50 - number)
    retention = Retention(home.db, 30)
    assert [retention.step() for _ in range(3)] == [jobs[0], jobs[1], None]
    assert [job.id for job in list_jobs(home.db)] == [jobs[2]]
    aged(home, jobs[2], 50)
    assert retention.step() is None, "it rests"
    assert Retention(home.db, 30).step() == jobs[2]


@pytest.fixture
def clock(monkeypatch):
    """Set this machine's clock, though not the database's, to a year, or (None) right again."""

    def put(year):
        class Wrong(datetime):
            @classmethod
            def now(cls, tz=None):
                return datetime(year, 1, 1, tzinfo=tz) if year else datetime.now(tz)

        monkeypatch.setattr("beholder.jobs.models.datetime", Wrong)

    return put


@pytest.mark.parametrize("how", ["done", "cancelled"])
@pytest.mark.parametrize("year", [2000, 2100])
def test_a_job_s_age_is_judged_by_no_machine_s_own_clock(home, clock, how, year):
    clock(year)
    job_id = home.submit([0])
    cancel(home.db, job_id) if how == "cancelled" else home.run(job_id)
    clock(None)
    assert Retention(home.db, 30).step() is None, "its worker's clock is wrong"
    clock(year)
    assert Retention(home.db, 30).step() is None, "the remover's is"
    ended = get_job(home.db, job_id).finished_at
    assert abs(ended - datetime.now(UTC)) < timedelta(minutes=5)
    aged(home, job_id, 31)
    assert Retention(home.db, 30).step() == job_id


def test_an_old_job_that_is_about_to_run_again_stays(home):
    job_id = home.submit([0, 1])
    home.finish(home.claim(), failing=[0, 1])
    aged(home, job_id, 50)
    with home.db.write() as session:
        assert begin(session, lock_job(session, job_id))
    assert expired(home.db, older_than=MONTH) == []
    with pytest.raises(Conflict, match="run again"):
        remove_job(home.db, home.store, job_id, older_than=MONTH)
    with home.db.write() as session:
        assert reopen_part(session, lock_job(session, job_id)).over
    assert home.run(job_id).done == 2


def refuse(path):
    """A store that removes any folder but this one."""
    real = Store.remove_folder

    def remove_folder(store, other):
        if other == path:
            raise ServiceUnavailable("no.")
        real(store, other)

    return remove_folder


def left_of(home, job_id):
    """Whether its row is there, and how many files are."""
    with home.db.read() as session:
        row = session.get(Job, job_id)
    return row is not None, len(list(home.store.list(job_folder(job_id))))


@pytest.mark.parametrize("rows_first", [True, False])
def test_what_was_put_away_goes_whoever_is_killed_on_the_way(home, monkeypatch, rows_first):
    job_id, stays = home.done([0, 1, 2, 3]), home.done([4])
    aged(home, job_id, 50)
    assert Retention(home.db, 30).step() == job_id
    assert left_of(home, job_id)[1] > 1, "a step removes no files"
    if rows_first:
        remove_some(home.db)
    assert left_of(home, job_id)[0], "without its row nobody would find its files"

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as killing:
        killing.setattr("beholder.upkeep.retention.forget_hidden", killed)
        with pytest.raises(KeyboardInterrupt):
            remove_hidden(home.db, home.store)
    remove_hidden(home.db, home.store)
    remove_some(home.db)
    remove_hidden(home.db, home.store)
    assert left_of(home, job_id) == (False, 0)
    assert home.verify() == []
    assert [job.id for job in list_jobs(home.db)] == [stays]


def test_without_a_limit_nothing_goes(home):
    aged(home, home.done([0]), 10_000)
    assert Retention(home.db, None).step() is None
    assert len(list_jobs(home.db)) == 1


def test_a_job_that_another_removed_meanwhile(home, monkeypatch):
    job_id = home.done([0])
    aged(home, job_id, 50)
    retention = Retention(home.db, 30)

    def removed_first(*_, **__):
        remove_job(home.db, home.store, job_id)
        return [job_id]

    monkeypatch.setattr("beholder.upkeep.retention.expired", removed_first)
    assert retention.step() is None


def test_a_job_that_was_kept_or_ran_again_since_it_was_found_stays(home, monkeypatch):
    found = home.done([0])
    aged(home, found, 50)
    monkeypatch.setattr("beholder.upkeep.retention.expired", lambda *_, **__: [found])
    keep(home.db, found)
    assert Retention(home.db, 30).step() is None
    keep(home.db, found, kept=False)
    aged(home, found, 1)
    assert Retention(home.db, 30).step() is None
    assert [job.id for job in list_jobs(home.db)] == [found]
    assert home.verify() == []


def test_files_that_can_t_be_removed_hold_up_no_others(home, monkeypatch):
    stuck, free = home.done([0]), home.done([1])
    for job_id in (stuck, free):
        put_away(home.db, job_id)
    with monkeypatch.context() as refusing:
        refusing.setattr(Store, "remove_folder", refuse(job_folder(stuck)))
        for _ in range(2):
            with pytest.raises(ServiceUnavailable, match=f"1 removed job are left.*{stuck}: no"):
                remove_hidden(home.db, home.store)
            assert left_of(home, free)[1] == 0
            remove_some(home.db)
        assert left_of(home, stuck) == (True, 1)
        assert left_of(home, free) == (False, 0)
    remove_hidden(home.db, home.store)
    assert left_of(home, stuck) == (False, 0)


def test_an_outage_of_the_store_leaves_the_files_to_the_workers(home, monkeypatch, caplog):
    job_id = home.done([0])

    def away(*_):
        raise ServiceUnavailable("the store does not answer.")

    with monkeypatch.context() as outage:
        outage.setattr(Store, "remove_folder", away)
        remove_job(home.db, home.store, job_id)
    assert "its files are left to workers: the store does not answer." in caplog.text
    assert list_jobs(home.db) == []
    assert [one.kind for one in home.verify()] == ["leftover"]
    remove_hidden(home.db, home.store)
    assert left_of(home, job_id) == (False, 0)

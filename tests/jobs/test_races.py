"""Two at the same time: one wins, and both see the other's work."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from beholder.errors import Conflict
from beholder.jobs.bulk import insert_pictures
from beholder.jobs.control import cancel, retry
from beholder.jobs.incoming import lock_submissions
from beholder.jobs.queries import items
from beholder.jobs.silence import Silence
from beholder.jobs.spool import StoredPicture
from beholder.jobs.stock import known_pictures, record_pictures
from beholder.jobs.submit import create_job
from beholder.jobs.sweep import sweep
from beholder.specs import DreamSpec

pytestmark = pytest.mark.slow  # real databases; seconds in all


def _at_once(*works):
    """What each of these returns (or raises), all begun at the same moment."""
    barrier = threading.Barrier(len(works))
    results = [None] * len(works)

    def run(place, work):
        barrier.wait()
        try:
            results[place] = work()
        except Exception as error:
            results[place] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_one_of_many_gets_a_chunk(desk):
    for _ in range(3):
        job = desk.dream(1)
        claims = _at_once(*[desk.claim] * 6)
        assert sorted(held is None for held in claims) == [False] + [True] * 5
        desk.check(job.id)


@pytest.mark.parametrize("attempt", range(4))
@pytest.mark.parametrize("kind", ["dream", "study"])
def test_the_last_two_chunks_end_at_the_same_time(desk, kind, attempt):
    job = desk.dream(2, chunk_size=1) if kind == "dream" else desk.study(2, 0, chunk_size=1)
    held = [desk.claim(), desk.claim()]
    ends = _at_once(*[lambda one=one: desk.finish(one) for one in held])
    desk.check(job.id)
    if kind == "dream":
        assert sorted(end.job_state for end in ends) == ["done", "running"]
    else:
        assert sorted(end.new_chunks for end in ends) == [0, 1]
        assert desk.run(job.id).state == "done"


@pytest.mark.parametrize("attempt", range(4))
def test_finishing_and_cancelling_at_the_same_time(desk, attempt):
    job = desk.dream(2, chunk_size=1)
    desk.finish(desk.claim_next(job.id))
    held = desk.claim_next(job.id)
    end, cancelled = _at_once(lambda: desk.finish(held), lambda: cancel(desk.database, job.id))
    desk.check(job.id)
    if isinstance(cancelled, Conflict):
        assert end.job_state == desk.job(job.id).state == "done"
    else:
        assert end is None
        assert desk.job(job.id).state == "cancelled"


def test_two_sweeps_split_a_chunk_once(desk):
    job = desk.dream(20, chunk_size=20)
    desk.claim_next(job.id)
    sweep(desk.database, Silence(0, 0), now=0)
    desk.claim_next(job.id)
    _at_once(*[lambda: sweep(desk.database, Silence(0, 0), now=0)] * 4)
    assert len(desk.chunks(job.id)) == 20
    desk.check(job.id)


def test_two_retries_run_it_once(desk):
    job = desk.dream(3)
    desk.run(job.id, failing=lambda _: True)
    outcomes = _at_once(*[lambda: retry(desk.database, job.id)] * 3)
    assert Counter(type(outcome).__name__ for outcome in outcomes) == {"Retried": 1, "Conflict": 2}
    desk.check(job.id)


def test_submissions_that_share_pictures_do_not_deadlock(desk):
    def submit(order):
        spec = DreamSpec(network="random:0")
        return create_job(desk.database, spec, map(desk.entry, range(300)[::order]))

    jobs = _at_once(*[lambda order=order: submit(order) for order in (1, -1, 1, -1)])
    assert [job.total for job in jobs] == [300] * 4


def _await_a_lock(database):
    """Until somebody on the server waits for a lock."""
    waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with database.read() as session:
            if session.scalar(waiting):
                return
        time.sleep(0.02)
    raise AssertionError("nobody waits")


def test_an_upload_of_what_a_submission_brings_too_does_not_deadlock(postgres_database):
    database = postgres_database
    first, second = (StoredPicture(digit * 64, 8, 8, "PNG", 99) for digit in "ab")
    with ThreadPoolExecutor(1) as pool:
        with database.write() as session:
            lock_submissions(session)
            insert_pictures(session, [vars(first)])
            upload = pool.submit(record_pictures, database, [second, first])
            _await_a_lock(database)
            insert_pictures(session, [vars(second)])
        upload.result(20)
    assert len(known_pictures(database, [first.sha256, second.sha256])) == 2


def test_workers_that_share_a_job_lose_and_double_nothing(desk):
    job = desk.dream(24, chunk_size=2)
    ends = []

    def work():
        while held := desk.claim():
            ends.append(desk.finish(held))

    _at_once(*[work] * 4)
    assert len(ends) == 12
    assert Counter(end.job_state for end in ends) == {"running": 11, "done": 1}
    assert all(len(item.files) == 1 for item in items(desk.database, job.id))
    desk.check(job.id)


def test_workers_that_share_batches_of_many_jobs_lose_and_double_nothing(desk):
    jobs = [desk.dream(2, chunk_size=1, seed=seed).id for seed in range(20)]
    claimed, ends = [], []

    def work():
        while claims := desk.claims(room=6):
            claimed.extend(claim.chunk_id for claim in claims)
            ends.extend(desk.finish_all(claims).values())

    _at_once(*[work] * 4)
    assert len(claimed) == len(set(claimed)) == 40
    assert Counter(end.job_state for end in ends if end)["done"] >= 20
    for job in jobs:
        assert desk.job(job).state == "done"
        desk.check(job)


def test_workers_at_one_job_after_another_all_get_something(desk):
    """All see the same job's turn, one gets it; the others look again rather than give up."""
    jobs = [desk.dream(1, size=32 + number).id for number in range(8)]
    claims = _at_once(*[desk.claim] * 8)
    assert sorted(held.job_id for held in claims) == sorted(jobs)

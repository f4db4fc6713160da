"""Whose turn it is: jobs of one priority take turns, a small one waits for one chunk at most."""

import pytest

from beholder.jobs.claims import release
from beholder.jobs.control import cancel, retry


def _served(desk, count):
    """The jobs of the next `count` chunks; each chunk is finished before the next is claimed."""
    served = []
    for _ in range(count):
        held = desk.claim()
        served.append(held.job_id)
        desk.finish(held)
    return served


def test_a_small_job_behind_a_huge_one_starts_after_the_chunk_in_hand(desk):
    huge = desk.dream(20, chunk_size=1)
    _served(desk, 3)
    in_hand = desk.claim()
    small = desk.dream(1)
    desk.finish(in_hand)
    assert _served(desk, 2) == [small.id, huge.id]


def test_jobs_take_turns_and_none_waits_for_another_to_end(desk):
    jobs = [desk.dream(4, chunk_size=1).id for _ in range(3)]
    assert _served(desk, 12) == jobs * 4


@pytest.mark.slow
def test_a_stream_of_new_jobs_does_not_keep_an_old_one_waiting(desk):
    old = desk.dream(10, chunk_size=1).id
    served = []
    for _ in range(20):
        desk.dream(1)
        served += _served(desk, 1)
    # More come than are served, so each round is one longer, but none goes without the old job.
    assert [place for place, job_id in enumerate(served) if job_id == old] == [0, 3, 7, 12, 18]


@pytest.mark.slow
def test_a_higher_priority_is_served_first_and_equals_take_turns(desk):
    low = [desk.dream(2, chunk_size=1, priority="low").id for _ in range(2)]
    normal = desk.dream(2, chunk_size=1).id
    assert _served(desk, 1) == [normal]
    high = [desk.dream(2, chunk_size=1, priority="high").id for _ in range(2)]
    assert _served(desk, 4) == high * 2
    assert _served(desk, 5) == [normal, *low * 2]


def test_a_job_whose_chunks_are_all_in_hand_is_passed_over(desk):
    first, second = desk.dream(1), desk.dream(2, chunk_size=1)
    assert [desk.claim().job_id for _ in range(3)] == [first.id, second.id, second.id]
    assert desk.claim() is None


def test_what_a_dead_worker_left_of_a_job_comes_first_in_its_turn(desk):
    job = desk.dream(3, chunk_size=1)
    dead = desk.claim()
    desk.die()
    desk.sweep()
    assert [desk.claim().chunk_id for _ in range(3)] == [
        dead.chunk_id, dead.chunk_id + 1, dead.chunk_id + 2
    ]  # fmt: skip
    desk.check(job.id)


@pytest.mark.slow
def test_cancelling_and_retrying_leave_and_join_the_round(desk):
    first, second = desk.dream(3, chunk_size=1), desk.dream(3, chunk_size=1)
    held = desk.claim()
    assert held.job_id == first.id
    release(desk.database, held)
    cancel(desk.database, first.id)
    assert _served(desk, 2) == [second.id] * 2
    retry(desk.database, first.id)
    assert sorted(_served(desk, 2)) == sorted([first.id, second.id])
    assert _served(desk, 2) == [first.id] * 2


@pytest.mark.parametrize("kind", ["dream", "study"])
def test_a_study_and_a_dream_take_turns(desk, kind):
    make = {"dream": lambda: desk.dream(3, chunk_size=1), "study": lambda: desk.study(3, 0)}
    make["study"]()
    make["dream"]()
    first, second = desk.claim(), desk.claim()
    assert {first.kind, second.kind} == {"dream", "study"}

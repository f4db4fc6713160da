"""Chunks that are computed alike are claimed together, up to what the batch has room for."""

import pytest

from beholder.jobs.claims import renew_all
from beholder.jobs.control import cancel, retry
from beholder.jobs.models import Job
from beholder.jobs.sharing import batch_key
from beholder.specs import DreamSpec, StudySpec


def _jobs(claims):
    return [claim.job_id for claim in claims]


@pytest.mark.slow
def test_small_jobs_of_one_spec_fill_batches(desk):
    jobs = [desk.dream(1, seed=seed).id for seed in range(50)]
    batches = []
    while claims := desk.claims(room=16):
        batches.append(_jobs(claims))
        assert len({claim.token for claim in claims}) == len(claims)
        finished = desk.finish_all(claims)
        assert {end.job_state for end in finished.values()} == {"done"}
    assert [len(batch) for batch in batches] == [16, 16, 16, 2]
    assert [job for batch in batches for job in batch] == jobs
    for job in jobs:
        desk.check(job)


def test_a_jobs_own_chunks_come_first_then_one_of_each_other(desk):
    first, second, third = (desk.dream(24, chunk_size=8).id for _ in range(3))
    assert _jobs(desk.claims(room=32)) == [first, first, first, second]
    assert _jobs(desk.claims(room=32)) == [third, third, third, second]
    assert _jobs(desk.claims(room=32)) == [second]
    assert desk.claims(room=32) == ()


def test_nothing_is_added_that_does_not_fit(desk):
    first = desk.dream(16, chunk_size=8).id
    small = desk.dream(3).id
    assert _jobs(desk.claims(room=12)) == [first, small]
    assert _jobs(desk.claims(room=4)) == [first]  # larger than the room: alone


@pytest.mark.slow
@pytest.mark.parametrize("as_companion", [False, True])
def test_a_retried_chunk_is_as_large_as_what_it_runs(desk, as_companion):
    """Its two items are twenty positions apart."""
    scattered = desk.dream(20, chunk_size=2).id
    desk.run(scattered, failing=lambda position: position in (0, 19))
    small = desk.dream(2).id
    retry(desk.database, scattered)
    jobs = [small, scattered] if as_companion else [scattered, small]
    with desk.database.write() as session:
        session.get(Job, jobs[0]).turn = -1  # it waits the longest
    claims = desk.claims(room=4)
    assert _jobs(claims) == jobs
    assert [item.position for item in claims[as_companion].items] == [0, 19]


def test_layers_do_not_share_a_batch_but_jobs_of_other_layers_share_theirs(desk):
    both = desk.dream(1, layers=(5, 12)).id
    deep = desk.dream(1, layers=(12, 5)).id
    claims = desk.claims(room=8)
    assert [(claim.job_id, claim.items[0].layer) for claim in claims] == [(both, 5), (deep, 5)]
    assert [claim.spec.layers for claim in claims] == [(5, 12), (12, 5)]
    assert {claim.items[0].layer for claim in desk.claims(room=8)} == {12}


@pytest.mark.parametrize(
    "fields",
    [{"steps": 31}, {"size": 64}, {"network": "random:1"}, {"snapshots": (3,)}, {"channels": (1,)}],
)
def test_what_is_computed_otherwise_is_claimed_alone(desk, fields):
    first, other = desk.dream(1).id, desk.dream(1, **fields).id
    assert _jobs(desk.claims(room=8)) == [first]
    assert _jobs(desk.claims(room=8)) == [other]


def test_spectra_of_several_channels_share_a_batch_and_pixels_do_not(desk):
    def key(recipe, **fields):
        return batch_key(DreamSpec(recipe=recipe, **fields))

    for recipe in ("feature", "maco"):
        assert key(recipe, channels=(1,)) == key(recipe, channels=(2, 3))
        assert key(recipe, channels=(1,)) != key(recipe)
        assert key(recipe, channels=(1,)) != key(recipe, channels=(1,), steps=9)
        assert key(recipe, objective="conv1_1:1") != key(recipe, objective="conv1_1:2")
    assert key("article", channels=(1,)) != key("article", channels=(2,))
    assert key("deepdream", channels=(1,)) != key("deepdream", channels=(2,))


def test_a_priority_keeps_to_itself(desk):
    normal, high = desk.dream(1).id, desk.dream(1, priority="high").id
    assert _jobs(desk.claims(room=8)) == [high]
    assert _jobs(desk.claims(room=8)) == [normal]


def test_pictures_of_their_own_size_and_studies_share_nothing(desk):
    assert batch_key(DreamSpec(size="keep")) is None
    assert batch_key(StudySpec()) is None
    assert batch_key(DreamSpec(seed=3, noise=2)) == batch_key(DreamSpec(layers=(1, 2)))
    for make in (lambda: desk.dream(1, size="keep"), lambda: desk.study(1, 0)):
        make(), make()
        assert len(desk.claims(room=8)) == len(desk.claims(room=8)) == 1


def test_the_room_may_depend_on_what_is_claimed(desk):
    for size in (64, 64, 64, 128, 128):
        desk.dream(1, size=size)
    asked = []

    def room(spec, layer):
        asked.append((spec.size, layer))
        return 2

    assert [len(desk.claims(room=room)) for _ in range(4)] == [2, 1, 2, 0]
    assert asked == [(64, 35), (64, 35), (128, 35)]
    desk.study(2, 0)
    assert len(desk.claims(room=room)) == 1
    assert len(asked) == 3


def test_a_chunk_whose_worker_died_is_in_nobodys_company(desk):
    dead = [desk.dream(1).id for _ in range(3)]
    assert _jobs(desk.claims(room=3)) == dead
    desk.die()
    fresh = desk.dream(1).id
    desk.sweep()
    alone = [desk.claims(room=8) for _ in range(4)]
    assert [len(claims) for claims in alone] == [1] * 4
    assert {claim.job_id for claims in alone for claim in claims} == {*dead, fresh}


def test_the_parts_of_a_split_chunk_run_alone(desk):
    job = desk.dream(4)
    for _ in range(2):
        assert len(desk.claims(room=8)) == 1
        desk.die()
        desk.sweep()
    assert [len(desk.claims(room=8)[0].items) for _ in range(4)] == [1] * 4
    desk.check(job.id)


def test_a_batch_is_renewed_and_finished_claim_by_claim(desk):
    held, cancelled, stale = desk.claims(room=len([desk.dream(2).id for _ in range(3)]) * 2)
    desk.sweep()
    assert renew_all(desk.database, [cancelled, stale], lease_s=15).keys()
    desk.now += desk.lease_s + 1
    desk.sweep()
    again = desk.claims()[0]  # the first is taken over
    assert again.chunk_id == held.chunk_id
    cancel(desk.database, cancelled.job_id)
    batch = [held, cancelled, stale]
    states = renew_all(desk.database, batch, lease_s=15, progress=0.5)
    assert [states[claim.token] for claim in batch] == ["lost", "cancelled", "held"]
    ended = desk.finish_all(batch)
    assert [ended[claim.token] and ended[claim.token].job_state for claim in batch] == [
        None, None, "done"
    ]  # fmt: skip
    assert desk.finish_all([again])[again.token].job_state == "done"
    for claim in batch:
        desk.check(claim.job_id)


def test_two_chunks_of_one_job_end_together(desk):
    job = desk.dream(4, chunk_size=2)
    finished = desk.finish_all(desk.claims(room=4), failing=lambda _: True)
    assert [end.job_state for end in finished.values()] == ["failed", "failed"]
    assert desk.job(job.id).failed == 4
    desk.check(job.id)

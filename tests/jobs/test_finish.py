"""Finishing chunks: items get their outcomes, studies their next stage, jobs their end."""

import pytest

from beholder.jobs.channel_queries import channels
from beholder.jobs.claims import claim_next, release
from beholder.jobs.finish import fail_chunk_job, fail_unless_begun, finish_dreams
from beholder.jobs.queries import items, verdicts
from beholder.jobs.submit import create_job
from beholder.jobs.weights import record_network
from beholder.specs import StudySpec


def test_a_dream_is_done_when_its_last_chunk_is(desk):
    job = desk.dream(3, chunk_size=2)
    first, last = desk.claim(), desk.claim()
    assert desk.finish(first).job_state == "running"
    desk.check(job.id)
    assert desk.finish(last).job_state == "done"
    desk.check(job.id)
    row = desk.job(job.id)
    assert (row.done, row.stage) == (3, None)
    item = next(items(desk.database, job.id))
    assert item.files[0].path == f"results/{job.id}/{first.token}/0.png"
    assert (item.result, item.seconds) == ({"objective": [1.0, 2.5]}, 0.25)


def test_an_item_fails_alone(desk):
    job = desk.dream(3)
    row = desk.run(job.id, failing=lambda position: position == 1)
    assert (row.state, row.done, row.failed) == ("done", 2, 1)
    assert [item.error for item in items(desk.database, job.id)] == [
        None, "can't be decoded.", None
    ]  # fmt: skip
    desk.check(job.id)


def test_a_job_whose_items_all_fail_has_failed_and_says_why(desk):
    job = desk.dream(3, chunk_size=2)
    row = desk.run(job.id, failing=lambda _: True)
    assert row.state == "failed"
    assert row.error == "every item failed; the first was folder/0.jpg: can't be decoded."
    desk.check(job.id)


def test_every_item_wants_its_outcome(desk):
    job = desk.dream(3)
    held = desk.claim_next(job.id)
    with pytest.raises(ValueError, match="one outcome for each"):
        finish_dreams(desk.database, [(held, [])])
    assert desk.finish(held).job_state == "done"


@pytest.mark.slow
def test_a_study_goes_through_its_stages(desk):
    job = desk.study(3, 2, chunk_size=2)
    for count in (3, 2, 1):
        held = desk.claim_next(job.id)
        assert (held.stage, len(desk.chunks(job.id))) == ("measure", count - 1)
        finished = desk.finish(held)
        desk.check(job.id)
    assert desk.job(job.id).measured == 5
    assert finished.new_chunks == 1
    choose = desk.claim()
    assert (choose.stage, choose.items, len(choose.partials)) == ("choose", (), 3)
    finished = desk.finish(choose)
    desk.check(job.id)
    assert finished.new_chunks == 3
    for _ in range(3):
        held = desk.claim()
        assert (held.stage, held.chosen) == ("classify", {35: (7, 3)})
        finished = desk.finish(held)
        desk.check(job.id)
    assert (finished.job_state, desk.job(job.id).done) == ("done", 5)
    seen = [(verdict.position, verdict.kind) for verdict in verdicts(desk.database, job.id)]
    assert seen == [(n, kind) for n in range(5) for kind in ("intact", "blinded")]
    assert len(list(channels(desk.database, study=job.id))) == 4


@pytest.mark.slow
def test_a_picture_that_cannot_be_measured_is_not_classified(desk):
    job = desk.study(3, 1, chunk_size=1)
    row = desk.run(job.id, failing=lambda position: position == 1)
    assert (row.state, row.done, row.failed, row.measured) == ("done", 3, 1, 3)
    assert {verdict.position for verdict in verdicts(desk.database, job.id)} == {0, 2, 3}
    desk.check(job.id)


def test_a_study_without_a_measured_target_fails(desk):
    job = desk.study(2, 2, chunk_size=1)
    row = desk.run(job.id, failing=lambda position: position < 2)
    assert (row.state, row.failed) == ("failed", 4)
    assert row.error.startswith("no target picture was measured; the first was folder/0.jpg")
    desk.check(job.id)


def test_controls_that_fail_do_not_stop_a_study(desk):
    job = desk.study(2, 1)
    assert desk.run(job.id, failing=lambda position: position == 2).done == 2


def test_a_study_with_broken_pictures_goes_on_without_them(desk):
    entries = [desk.broken(0), desk.entry(1), desk.broken(2, role="control")]
    job = create_job(desk.database, StudySpec(network="random:0"), entries)
    row = desk.run(job.id)
    assert (row.state, row.done, row.failed) == ("done", 1, 2)


def test_a_job_that_cannot_go_on_fails_whole(desk):
    job = desk.dream(4, chunk_size=1)
    desk.finish(desk.claim())
    held, other = desk.claim(), desk.claim()
    assert fail_chunk_job(desk.database, held, "no weights here").job_state == "failed"
    row = desk.job(job.id)
    assert (row.state, row.error, row.done, row.failed) == ("failed", "no weights here", 1, 3)
    assert [item.error for item in items(desk.database, job.id, state="failed")] == [
        "no weights here"
    ] * 3
    assert desk.finish(other) is None
    assert desk.claim() is None
    desk.check(job.id)


def test_a_job_that_others_begin_does_not_fail_for_what_one_worker_lacks(desk):
    job = desk.dream(3, chunk_size=1)
    ours = [claim_next(desk.database, worker="lacking", lease_s=60)[0] for _ in range(2)]
    (theirs,) = claim_next(desk.database, worker="other", lease_s=60)
    assert not fail_unless_begun(desk.database, ours[0], "no weights here")
    record_network(desk.database, [theirs], "vgg19", "a" * 64)
    assert release(desk.database, theirs)  # and has gone, but was able to
    assert not fail_unless_begun(desk.database, ours[0], "no weights here")
    assert desk.job(job.id).state == "running"
    desk.check(job.id)


def test_a_job_that_one_worker_alone_began_fails_for_what_it_lacks(desk):
    job = desk.dream(3, chunk_size=1)
    first, _ = (claim_next(desk.database, worker="lacking", lease_s=60)[0] for _ in range(2))
    (theirs,) = claim_next(desk.database, worker="other", lease_s=60)
    assert release(desk.database, theirs)
    assert fail_unless_begun(desk.database, first, "no weights here")
    assert (desk.job(job.id).state, desk.job(job.id).failed) == ("failed", 3)
    assert fail_unless_begun(desk.database, theirs, "too late")  # whose claim stands no more
    assert desk.job(job.id).error == "no weights here"
    desk.check(job.id)

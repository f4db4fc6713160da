"""Cancelling, retrying and deleting."""

from datetime import timedelta
from itertools import pairwise

import pytest
from sqlalchemy import func, insert, select, update

from beholder.errors import Conflict, NotFound
from beholder.jobs import removal, reopen
from beholder.jobs.channel_queries import channels
from beholder.jobs.control import cancel, delete, retry
from beholder.jobs.finish import fail_chunk_job
from beholder.jobs.models import Base, File, Job
from beholder.jobs.queries import get_job, items, list_jobs, verdicts
from beholder.jobs.repeats import Repeatable
from beholder.jobs.submit import create_job
from beholder.jobs.watching import looks
from beholder.jobs.weights import record_network
from beholder.specs import DreamSpec
from beholder.upkeep.rows import check_rows


def test_cancelling_ends_a_job_at_once(desk):
    job = desk.dream(4, chunk_size=1)
    done, running = desk.claim(), desk.claim()
    desk.finish(done)
    cancel(desk.database, job.id)
    assert desk.finish(running) is None
    row = desk.job(job.id)
    assert (row.state, row.done, row.cancelled, row.stage) == ("cancelled", 1, 3, None)
    assert list(desk.states(job.id).values()) == ["done"] + ["cancelled"] * 3
    assert desk.chunks(job.id) == desk.chunks(job.id, "running") == []
    desk.check(job.id)


def test_what_is_over_cannot_be_cancelled(desk):
    job = desk.dream(1)
    desk.run(job.id)
    with pytest.raises(Conflict, match=f"job {job.id} is already done"):
        cancel(desk.database, job.id)
    with pytest.raises(NotFound, match="beholder jobs"):
        cancel(desk.database, "nosuchjob0")


@pytest.mark.parametrize("lazily", [False, True])
def test_a_cancelled_job_goes_on_where_it_was(desk, monkeypatch, lazily):
    if lazily:
        monkeypatch.setattr("beholder.jobs.rows.SETTLE_LIMIT", 0)
    job = desk.dream(4, layers=(28, 5), chunk_size=3)
    desk.finish(desk.claim_next(job.id))
    running = desk.claim_next(job.id)
    cancel(desk.database, job.id)
    retried = retry(desk.database, job.id)
    assert (retried.items, retried.chunks) == (5, 3)
    desk.check(job.id)
    assert desk.finish(running) is None
    row = desk.run(job.id)
    assert (row.state, row.done) == ("done", 8)
    desk.check(job.id)


def test_retry_runs_what_failed_and_nothing_else(desk):
    job = desk.dream(5, chunk_size=2)
    desk.run(job.id, failing=lambda position: position in (0, 3))
    before = {item.position: item.files for item in items(desk.database, job.id)}
    assert retry(desk.database, job.id).items == 2
    desk.check(job.id)
    held = desk.claim_next(job.id)
    assert [item.position for item in held.items] == [0, 3]
    desk.finish(held)
    row = desk.job(job.id)
    assert (row.state, row.done, row.failed, row.error) == ("done", 5, 0, None)
    after = {item.position: item.files for item in items(desk.database, job.id)}
    assert {p: after[p] for p in (1, 2, 4)} == {p: before[p] for p in (1, 2, 4)}
    assert all(item.error is None for item in items(desk.database, job.id))


def test_nothing_to_retry_is_said(desk):
    job = desk.dream(1)
    with pytest.raises(Conflict, match="is queued: wait until it ends, or cancel it"):
        retry(desk.database, job.id)
    desk.run(job.id)
    with pytest.raises(Conflict, match="no item failed"):
        retry(desk.database, job.id)


def test_pictures_that_never_arrived_cannot_be_retried(desk):
    entries = [desk.entry(0), desk.broken(1)]
    job = create_job(desk.database, DreamSpec(network="random:0"), entries)
    desk.run(job.id)
    with pytest.raises(Conflict, match=r"1 failed pictures could not be read.*Submit them again"):
        retry(desk.database, job.id)


def test_a_job_that_failed_whole_runs_again(desk):
    job = desk.dream(3, chunk_size=1)
    fail_chunk_job(desk.database, desk.claim_next(job.id), "no weights here")
    assert retry(desk.database, job.id).items == 3
    assert desk.run(job.id).state == "done"
    desk.check(job.id)


@pytest.mark.parametrize(("done", "weights"), [(0, "b" * 64), (1, "a" * 64)])
def test_which_weights_it_began_with_is_forgotten_where_nothing_is_done(desk, done, weights):
    job = desk.dream(2, chunk_size=1)
    for _ in range(done):
        desk.finish(desk.claim_next(job.id))
    held = desk.claim_next(job.id)
    record_network(desk.database, [held], "vgg19", "a" * 64)
    fail_chunk_job(desk.database, held, "no such channel")
    retry(desk.database, job.id)
    record_network(desk.database, [desk.claim_next(job.id)], "vgg19", "b" * 64)
    assert desk.job(job.id).network_sha256 == weights


@pytest.mark.slow
def test_a_study_measures_what_it_could_not_and_decides_anew(desk):
    job = desk.study(3, 1, chunk_size=1)
    desk.run(job.id, failing=lambda position: position == 1)
    assert retry(desk.database, job.id).items == 1
    desk.check(job.id)
    assert list(channels(desk.database, study=job.id)) == []
    assert {verdict.kind for verdict in verdicts(desk.database, job.id)} == {"intact"}
    measure = desk.claim_next(job.id)
    assert (measure.stage, [item.position for item in measure.items]) == ("measure", [1])
    desk.finish(measure)
    choose = desk.claim_next(job.id)
    assert (choose.stage, len(choose.partials)) == ("choose", 4)
    desk.finish(choose)
    row = desk.run(job.id)
    assert (row.state, row.done, row.measured) == ("done", 4, 4)
    assert len(list(verdicts(desk.database, job.id, kind="blinded"))) == 4
    desk.check(job.id)


@pytest.mark.slow
def test_a_study_goes_on_at_the_stage_where_it_stopped(desk):
    job = desk.study(2, 1, chunk_size=1)
    for _ in range(3):
        desk.finish(desk.claim_next(job.id))
    for expected in ("choose", "classify"):
        held = desk.claim_next(job.id)
        assert held.stage == expected
        fail_chunk_job(desk.database, held, "no weights here")
        desk.check(job.id)
        retry(desk.database, job.id)
        desk.check(job.id)
        held = desk.claim_next(job.id)
        assert held.stage == expected
        desk.finish(held)
    assert desk.run(job.id).done == 3
    desk.check(job.id)


def test_only_the_verdicts_that_failed_are_given_again(desk):
    job = desk.study(3, 0)
    for _ in ("measure", "choose"):
        desk.finish(desk.claim_next(job.id))
    desk.run(job.id, failing=lambda position: position == 2)
    assert retry(desk.database, job.id).items == 1
    held = desk.claim_next(job.id)
    assert (held.stage, [item.position for item in held.items]) == ("classify", [2])
    desk.finish(held)
    assert desk.job(job.id).done == 3
    desk.check(job.id)


def test_a_study_cancelled_while_it_measures_forgets_nothing(desk):
    job = desk.study(3, 0, chunk_size=1)
    desk.finish(desk.claim_next(job.id))
    cancel(desk.database, job.id)
    desk.check(job.id)
    retry(desk.database, job.id)
    desk.check(job.id)
    assert [desk.claim_next(job.id).items[0].position for _ in range(2)] == [1, 2]


@pytest.fixture
def parts(monkeypatch):
    """Have each part of a retry be of four items; install what happens before each."""

    def install(act):
        real, calls = reopen.reopen_part, []

        def part(session, job):
            calls.append(job.id)
            act(len(calls), session, job)
            return real(session, job)

        monkeypatch.setattr(reopen, "REOPEN_LIMIT", 4)
        monkeypatch.setattr("beholder.jobs.control.reopen_part", part)
        return calls

    return install


def _ended_mixed(desk):
    """A dream of 11 items, of which one is done, two have failed and eight were cancelled."""
    job = desk.dream(11, chunk_size=3)
    desk.finish(desk.claim_next(job.id), failing=lambda position: position > 0)
    cancel(desk.database, job.id)
    return job.id


def test_a_large_retry_is_in_short_parts_and_nothing_shows_before_the_last(desk, parts):
    job_id = _ended_mixed(desk)
    before = get_job(desk.database, job_id)

    def nothing_shows(number, session, job):
        assert get_job(desk.database, job_id) == before
        assert list(check_rows(session, job_id)) == []

    calls = parts(nothing_shows)
    assert retry(desk.database, job_id).items == 10
    assert len(calls) == 3
    desk.check(job_id)
    job = desk.run(job_id)
    assert (job.state, job.done, job.failed) == ("done", 11, 0)
    desk.check(job_id)


@pytest.mark.slow
@pytest.mark.parametrize("died_in", [2, 3])
def test_a_retry_that_dies_midway_shows_nothing_and_is_ended_by_a_sweep(desk, parts, died_in):
    job_id = _ended_mixed(desk)
    before = get_job(desk.database, job_id)

    def die(number, session, job):
        if number == died_in:
            raise KeyboardInterrupt

    parts(die)
    with pytest.raises(KeyboardInterrupt):
        retry(desk.database, job_id)
    assert get_job(desk.database, job_id) == before
    assert desk.claim() is None, "of a job that has ended nothing is claimed"
    with desk.database.read() as session:
        assert list(check_rows(session, job_id)) == []
    assert desk.sweep() > 0
    assert get_job(desk.database, job_id).state == "queued"
    desk.check(job_id)
    job = desk.run(job_id)
    assert (job.state, job.done, job.failed) == ("done", 11, 0)
    desk.check(job_id)


@pytest.mark.slow
@pytest.mark.parametrize("again", [retry, delete])
def test_what_follows_a_retry_that_died(desk, parts, again):
    job_id = _ended_mixed(desk)

    def die(number, session, job):
        if number == 2:
            raise KeyboardInterrupt

    parts(die)
    with pytest.raises(KeyboardInterrupt):
        retry(desk.database, job_id)
    again(desk.database, job_id)
    if again is retry:
        desk.check(job_id)
        assert desk.run(job_id).done == 11
    else:
        removal.forget_hidden(desk.database, job_id)
        assert _rows(desk.database)["jobs"] == 0


@pytest.mark.slow
def test_a_study_in_parts(desk, parts):
    job = desk.study(9, 0, chunk_size=2)
    desk.finish(desk.claim_next(job.id))
    cancel(desk.database, job.id)
    parts(lambda *_: None)
    assert retry(desk.database, job.id).items == 7 + 2
    desk.check(job.id)
    assert desk.run(job.id).done == 9


@pytest.mark.slow
@pytest.mark.parametrize("dies", [False, True])
def test_a_study_s_verdicts_are_forgotten_in_parts_too(desk, parts, dies):
    job = desk.study(11, 0, chunk_size=1)
    desk.run(job.id, failing=lambda position: position == 3)
    before, left = get_job(desk.database, job.id), []

    def nothing_shows(number, session, job):
        assert get_job(desk.database, job.id) == before
        assert list(check_rows(session, job.id)) == []
        left.append(len(list(verdicts(desk.database, job.id, kind="blinded"))))
        if dies and number == 3:
            raise KeyboardInterrupt

    parts(nothing_shows)
    if dies:
        with pytest.raises(KeyboardInterrupt):
            retry(desk.database, job.id)
        desk.sweep()
    else:
        assert retry(desk.database, job.id).items == 1
    assert left == [10, 6, 2]
    assert list(verdicts(desk.database, job.id, kind="blinded")) == []
    desk.check(job.id)
    assert desk.run(job.id).done == 11
    desk.check(job.id)


def _rows(database):
    with database.read() as session:
        return {
            table.name: session.scalar(select(func.count()).select_from(table))
            for table in Base.metadata.sorted_tables
        }


@pytest.mark.slow
def test_deleting_leaves_the_pictures(desk):
    job, other = desk.study(2, 0), desk.dream(1)
    with pytest.raises(Conflict, match="cancel it before you delete it"):
        delete(desk.database, job.id)
    desk.run(job.id)
    desk.run(other.id)
    delete(desk.database, job.id)
    delete(desk.database, other.id)
    for gone in (job.id, other.id):
        removal.forget_hidden(desk.database, gone)
    left = _rows(desk.database)
    assert left.pop("pictures") == 2
    assert set(left.values()) == {0}


def _with_files(desk, each=5):
    """A finished dream of six items with so many files each."""
    job = desk.run(desk.dream(6).id)
    with desk.database.write() as session:
        rows = [vars(file) for file in session.scalars(select(File))]
        more = [
            {column.name: row[column.name] for column in File.__table__.columns}
            | {"step": 100 + number}
            for row in rows
            for number in range(each - 1)
        ]
        session.execute(insert(File), more)
    return job.id


@pytest.mark.slow
def test_a_job_is_removed_at_once_for_all_who_look_and_then_in_short_parts(desk, monkeypatch):
    job_id = _with_files(desk)
    monkeypatch.setattr(removal, "_TOGETHER", 4)
    counts, part = [_rows(desk.database)], removal._remove_part

    def watched(*arguments):
        assert list_jobs(desk.database) == []
        assert looks(desk.database, [job_id]) == {}
        for ask in (get_job, cancel, retry, delete):
            with pytest.raises(NotFound):
                ask(desk.database, job_id)
        left = part(*arguments)
        counts.append(_rows(desk.database))
        return left

    monkeypatch.setattr(removal, "_remove_part", watched)
    delete(desk.database, job_id)
    assert counts[-1]["items"] == counts[-1]["chunks"] == counts[-1]["files"] == 0
    assert removal.hidden_jobs(desk.database) == [job_id], "its files are to be found by its row"
    removal.forget_hidden(desk.database, job_id)
    assert _rows(desk.database)["jobs"] == 0
    for name in ("items", "files"):
        steps = [before[name] - after[name] for before, after in pairwise(counts)]
        assert sum(steps) > max(steps), name
        assert max(steps) <= 5, name


def test_a_removal_that_breaks_off_is_ended_by_a_sweep(desk, monkeypatch):
    job_id = _with_files(desk)
    monkeypatch.setattr(removal, "_TOGETHER", 4)
    with monkeypatch.context() as broken:
        broken.setattr("beholder.jobs.control.remove_rows", lambda *_: None)
        delete(desk.database, job_id)
    assert _rows(desk.database)["files"] == 30
    removal.forget_hidden(desk.database, job_id)
    assert _rows(desk.database)["jobs"] == 1, "its other rows would have lost it"
    desk.sweep()
    removal.forget_hidden(desk.database, job_id)
    left = _rows(desk.database)
    del left["pictures"]
    assert set(left.values()) == {0}


def test_a_request_of_a_removed_job_makes_a_new_one(desk, monkeypatch):
    spec, request = DreamSpec.build(network="random:0"), Repeatable("key")
    first = create_job(desk.database, spec, [desk.entry(0)], request=request)
    cancel(desk.database, first.id)
    monkeypatch.setattr("beholder.jobs.control.remove_rows", lambda *_: None)
    delete(desk.database, first.id)
    second = create_job(desk.database, spec, [desk.entry(0)], request=request)
    assert not second.repeated


def _keep(desk, job_id, kept):
    with desk.database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(kept=kept))


def test_only_what_ended_longer_ago_and_is_not_kept(desk):
    job = desk.run(desk.dream(1).id)
    with pytest.raises(Conflict, match="run again, or ended not long ago"):
        delete(desk.database, job.id, older_than=timedelta(minutes=1))
    later = timedelta(minutes=-1)
    _keep(desk, job.id, True)
    with pytest.raises(Conflict, match="kept, whatever its age"):
        delete(desk.database, job.id, older_than=later)
    _keep(desk, job.id, None)
    delete(desk.database, job.id, older_than=later)
    assert list_jobs(desk.database) == []

"""Jobs take turns by batches, also where a batch has room for many chunks of one job."""

import shutil

import pytest

from beholder.errors import ServiceUnavailable
from beholder.jobs.claims import claim_next
from worker.rooms import Rooms

CHUNK = 8  # pictures, as where they are of 224 pixels
BATCH, ROOM = CHUNK, 8 * CHUNK  # as on a CPU, and on a GPU
pytestmark = pytest.mark.slow


@pytest.fixture
def brief(spec):
    """Dreams that take no time."""
    return spec.model_copy(update={"steps": 1})


@pytest.fixture
def room(monkeypatch):
    """Says how many dreams make a batch."""
    return lambda count: monkeypatch.setattr(Rooms, "room", lambda *_: count)


def test_a_small_job_is_next_after_the_batch_in_hand(bench, brief, draw, during, room):
    room(ROOM)
    huge = bench.submit(brief, [bench.entry(draw(0))] * (4 * ROOM), chunk_size=CHUNK)
    runner = bench.runner()
    small = []

    def come():
        bench.until(lambda: runner.claimed == 16)  # eight in hand, eight ahead
        small.append(bench.submit(brief, [bench.entry(draw(1))], chunk_size=CHUNK))

    sizes = during(come)
    runner.run()
    assert bench.states([huge, *small]) == ["done", "done"]
    # Its own picture, and as other jobs' turns come, a chunk of each.
    assert sizes[:3] == [ROOM, 1 + CHUNK, ROOM]


@pytest.fixture
def submit(bench, brief, room):
    """Submits a job whose batches are its chunks: dreams of other steps share none."""

    def one(pictures, chunk, **fields):
        room(BATCH)
        options = {"priority": fields.pop("priority", "normal"), "chunk_size": chunk}
        return bench.submit(
            brief.model_copy(update={"steps": chunk, **fields}), pictures, **options
        )

    return one


@pytest.fixture
def comes(bench, submit, during):
    """As the first dream begins and two claims are in hand, a job comes; all dreams' sizes.

    then: acts at the beginning of those that follow. given, fields: the job's, as for `submit`.
    """

    def install(runner, jobs, then, *given, **fields):
        def come():
            bench.until(lambda: runner.claimed == 2)
            jobs.append(submit(*given, **fields))

        return during(come, *then)

    return install


@pytest.mark.parametrize(
    ("priority", "order"), [("normal", [8, 6, 8, 1, 6]), ("high", [8, 1, 6, 8, 6])]
)
def test_what_waits_is_overtaken_by_a_higher_priority_alone(
    bench, submit, draw, comes, priority, order
):
    pictures = [bench.entry(draw(0))] * 16
    jobs = [submit(pictures, 8), submit(pictures[:12], 6)]
    runner = bench.runner()  # claims one of each: the second has waited
    sizes = comes(runner, jobs, (), pictures[:1], 1, priority=priority)
    runner.run()
    assert sizes == order
    assert bench.states(jobs) == ["done"] * 3


def test_another_network_waits_until_what_is_ahead_is_through(
    bench, brief, submit, draw, comes, tmp_path
):
    pictures = [bench.entry(draw(0))] * 24
    jobs = [submit(pictures, 8)]
    copy = shutil.copy(brief.network, tmp_path / "other.safetensors")
    runner = bench.runner()
    sizes = comes(runner, jobs, (), pictures[:1], 1, network=str(copy))
    runner.run()
    assert sizes == [8, 8, 1, 8]
    assert bench.states(jobs) == ["done"] * 2


def test_one_that_fails_or_a_database_that_is_away_holds_up_nothing(
    bench, submit, draw, comes, monkeypatch
):
    pictures = [bench.entry(draw(0))] * 16
    jobs = [submit(pictures, 8)]
    runner = bench.runner()
    sizes = comes(runner, jobs, (), [bench.entry(b"no picture", "text.png")], 1)

    def look(_, passing=None, **options):
        if passing is not None:
            raise ServiceUnavailable("the database does not answer.")
        return claim_next(_, **options)

    assert (runner.run(), sizes) == (3, [8, 8])
    assert bench.states(jobs) == ["done", "failed"]
    monkeypatch.setattr("worker.run.claim_next", look)
    jobs.append(submit(pictures, 7))
    assert runner.run() == 3
    assert bench.states(jobs) == ["done", "failed", "done"]


def test_what_goes_before_is_given_back_with_all_else_where_the_process_is_to_end(
    bench, submit, draw, comes
):
    pictures = [bench.entry(draw(0))] * 24
    jobs = [submit(pictures, 8)]
    runner = bench.runner()

    def end():
        raise SystemExit

    comes(runner, jobs, [end], pictures[:6], 6)
    with pytest.raises(SystemExit):
        runner.run()
    assert [(each.queued, each.done) for each in map(bench.job, jobs)] == [(16, 8), (6, 0)]
    runner.run()
    assert bench.states(jobs) == ["done", "done"]
    assert len(bench.results()) == 30

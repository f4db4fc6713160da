"""A batch of long dreams lets others pass between two of its steps."""

import time

import pytest

from beholder.specs import DreamSpec
from beholder.store import checkpoint_folder
from worker.giving_way import EVERY_S, GivingWay
from worker.rooms import Rooms

pytestmark = pytest.mark.slow  # imports torch
RECIPES = ("article", "deepdream", "feature")


@pytest.fixture
def at_once(monkeypatch):
    """Looks after each step."""
    monkeypatch.setattr("worker.giving_way.EVERY_S", 0.0)


@pytest.fixture
def quick(network):
    """A dream of a few steps by a recipe."""
    return lambda recipe, steps: DreamSpec.build(
        recipe=recipe, network=network, size=48, layers=(5,), steps=steps
    )


def _hashes(bench, job):
    return [file.sha256 for item in bench.items(job) for file in item.files]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_new_job_passes_in_the_middle_and_changes_nothing(
    bench, quick, draw, during, at_once, recipe
):
    pictures = [bench.entry(draw(seed)) for seed in range(2)]
    bench.run(undisturbed := bench.submit(quick(recipe, 20), pictures))
    job, came = bench.submit(quick(recipe, 20), pictures), []
    sizes = during(lambda: came.append(bench.submit(quick("article", 3), pictures[:1])))
    assert bench.runner().run() == 2
    assert sizes == [2, 1]
    (passed,) = map(bench.job, came)
    assert passed.finished_at < bench.job(job).finished_at
    assert _hashes(bench, job) == _hashes(bench, undisturbed)


def test_what_passes_lets_only_higher_priorities_pass(bench, quick, draw, during, at_once):
    """One job comes within the other, of the same priority but for the last."""
    pictures, jobs, order = [bench.entry(draw(0))], [], []

    def come(**options):
        spec = quick("article", 10 + len(jobs))
        jobs.append(bench.submit(spec, pictures, **options))

    come()
    during(come, come, lambda: come(priority="high"))
    bench.runner().run()
    order = sorted(jobs, key=lambda job: bench.job(job).finished_at)
    first, within, after, high = jobs
    assert bench.states(jobs) == ["done"] * 4
    assert order.index(within) < order.index(first)
    assert order.index(after) > order.index(within)
    assert order.index(high) < order.index(after)


def test_what_was_taken_ahead_is_the_first_to_pass(bench, quick, draw, during, at_once):
    pictures = [bench.entry(draw(0))]
    jobs = [bench.submit(quick("article", steps), pictures) for steps in (400, 3, 4, 5)]
    runner = bench.runner()

    def come():
        bench.until(lambda: runner.claimed == 2)
        time.sleep(0.2)  # until it is decoded

    during(come)
    assert runner.run() == 4
    order = sorted(jobs, key=lambda job: bench.job(job).finished_at)
    assert (order[0], order[-1]) == (jobs[1], jobs[0])


def test_a_chunk_of_many_batches_gives_way_between_them(bench, quick, draw, during, monkeypatch):
    monkeypatch.setattr("worker.giving_way.EVERY_S", 0.02)  # a batch takes as long
    monkeypatch.setattr(Rooms, "room", lambda *_: 1)
    pictures = [bench.entry(draw(seed)) for seed in range(12)]
    job, came = bench.submit(quick("article", 10), pictures, chunk_size=12), []
    sizes = during(lambda: came.append(bench.submit(quick("article", 3), pictures[:1])))
    bench.runner().run()
    assert len(sizes) == 13
    assert bench.job(came[0]).finished_at < bench.job(job).finished_at


def test_a_stop_that_comes_while_another_passes_keeps_what_was_dreamt(
    bench, quick, draw, during, monkeypatch
):
    monkeypatch.setattr("worker.giving_way.EVERY_S", 0.1)
    monkeypatch.setattr("worker.checkpoints.STOPPING_S", 0.05)
    pictures = [bench.entry(draw(0))]
    bench.run(undisturbed := bench.submit(quick("article", 600), pictures))
    job = bench.submit(quick("article", 600), pictures)
    during(lambda: bench.submit(quick("article", 4), pictures), bench.stopping.set)
    assert bench.runner().run() == 0
    assert [one.name for one in bench.store.list(checkpoint_folder(job))] == ["0000000"]
    bench.stopping.clear()
    assert bench.runner().run() == 2
    assert _hashes(bench, job) == _hashes(bench, undisturbed)


def test_what_a_job_says_of_its_seconds_is_without_those_of_others(
    bench, quick, draw, during, at_once
):
    pictures = [bench.entry(draw(0))]
    job = bench.submit(quick("article", 3), pictures)
    during(lambda: bench.submit(quick("article", 4), pictures), lambda: time.sleep(1.0))
    bench.runner().run()
    assert bench.items(job)[0].seconds < 1.0


def test_where_the_process_is_to_end_both_are_given_back(bench, quick, draw, during, at_once):
    pictures, jobs = [bench.entry(draw(0))], []

    def end():
        raise SystemExit

    jobs.append(bench.submit(quick("article", 3), pictures))
    during(lambda: jobs.append(bench.submit(quick("article", 4), pictures)), end)
    with pytest.raises(SystemExit):
        bench.runner().run()
    assert [(each.queued, each.done) for each in map(bench.job, jobs)] == [(1, 0), (1, 0)]
    bench.runner().run()
    assert bench.states(jobs) == ["done", "done"]
    assert len(bench.results()) == 2


def test_new_jobs_have_no_more_of_the_device_than_the_batch(monkeypatch):
    allowed = []

    def let_pass(new):
        nonlocal now
        allowed.append(new)
        now += 2.4 * EVERY_S if new else 0.0

    way, now = GivingWay(), time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    for _ in range(61):
        now += EVERY_S / 10
        way(let_pass)
    assert allowed == [True, False, True, False, True, False]
    assert way.own_s == pytest.approx(6.1 * EVERY_S, abs=0.1)

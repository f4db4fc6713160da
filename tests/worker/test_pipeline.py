"""What overlaps with what, and that what goes wrong concerns the right claims alone."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from sqlalchemy import update

from beholder.errors import ServiceUnavailable
from beholder.jobs.control import cancel
from beholder.jobs.models import Chunk, Job
from beholder.jobs.silence import Silence
from beholder.jobs.sweep import sweep
from beholder.science.dream import dream
from beholder.specs import DreamSpec

pytestmark = pytest.mark.slow  # imports torch

PATIENCE_S = 20.0


def until(condition: Callable[[], Any]) -> None:
    """Wait for `condition`, which another thread is to bring about."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.01)


@pytest.fixture
def spec(network: str) -> DreamSpec:
    return DreamSpec(network=network, size=48, layers=(5,), steps=2)


@pytest.fixture
def during(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Call one function after another, each at the beginning of a dream; the dreams' sizes."""

    def install(*acts: Callable[[], Any]) -> list[int]:
        sizes: list[int] = []
        waiting = list(acts)

        def acting(network: Any, pictures: torch.Tensor, **options: Any) -> Any:
            sizes.append(len(pictures))
            if waiting:
                waiting.pop(0)()
            return dream(network, pictures, **options)

        monkeypatch.setattr("worker.dreams.dream", acting)
        return sizes

    return install


def small_jobs(bench: Any, spec: DreamSpec, draw: Callable[..., bytes], count: int) -> list[str]:
    return [bench.submit(spec, [bench.entry(draw(seed))]) for seed in range(count)]


def apart(spec: DreamSpec, count: int) -> list[DreamSpec]:
    """Specs whose jobs share no batch."""
    return [spec.model_copy(update={"steps": spec.steps + number}) for number in range(count)]


def states(bench: Any, jobs: list[str]) -> list[str]:
    return [bench.job(job).state for job in jobs]


def test_the_next_is_ready_before_this_one_ends_and_stored_while_the_next_runs(
    bench: Any, spec: DreamSpec, draw: Callable[..., bytes], during: Callable[..., list[int]]
) -> None:
    first, second = (bench.submit(one, [bench.entry(draw(1))]) for one in apart(spec, 2))
    decoded: list[str] = []
    runner = bench.runner()
    load = runner._means.loader._load
    runner._means.loader._load = lambda *arguments: (decoded.append(""), load(*arguments))[1]
    during(
        lambda: until(lambda: bench.job(second).state == "running" and len(decoded) == 2),
        lambda: until(lambda: bench.job(first).state == "done"),
    )
    assert runner.run() == 2
    assert states(bench, [first, second]) == ["done", "done"]


def test_no_more_than_one_batch_is_taken_ahead(
    bench: Any, spec: DreamSpec, draw: Callable[..., bytes], during: Callable[..., list[int]]
) -> None:
    jobs = [bench.submit(one, [bench.entry(draw(1))]) for one in apart(spec, 4)]
    seen: list[list[str]] = []

    def look() -> None:
        until(lambda: states(bench, jobs)[1] == "running")
        time.sleep(0.3)  # for what should not happen
        seen.append(states(bench, jobs))

    during(look)
    assert bench.runner().run() == 4
    assert seen == [["running", "running", "queued", "queued"]]


def test_small_jobs_share_a_batch_and_nothing_else(
    bench: Any, spec: DreamSpec, draw: Callable[..., bytes], during: Callable[..., list[int]]
) -> None:
    jobs = small_jobs(bench, spec, draw, 5)
    broken = bench.submit(spec, [bench.entry(b"no picture", "text.png")])
    sizes = during()
    assert bench.runner().run() == 6
    assert sizes == [5]
    assert states(bench, [*jobs, broken]) == ["done"] * 5 + ["failed"]
    assert len({item.files[0].sha256 for job in jobs for item in bench.items(job)}) == 5
    for job in jobs:
        (item,) = bench.items(job)
        assert item.files[0].path.startswith(f"results/{job}/")
    assert len(bench.results()) == 5


def test_a_cancelled_job_leaves_a_shared_batch_alone(
    bench: Any, spec: DreamSpec, draw: Callable[..., bytes], during: Callable[..., list[int]]
) -> None:
    jobs = small_jobs(bench, spec, draw, 3)
    sizes = during(lambda: cancel(bench.db, jobs[1]))
    assert bench.runner().run() == 2
    assert sizes == [3]
    assert states(bench, jobs) == ["done", "cancelled", "done"]
    assert len(bench.results()) == 2


def test_rows_of_what_was_cancelled_before_they_ran_are_left_out(
    bench: Any, spec: DreamSpec, draw: Callable[..., bytes], during: Callable[..., list[int]]
) -> None:
    bench.settings = bench.settings.model_copy(update={"lease_s": 0.4})
    (first,) = small_jobs(bench, spec, draw, 1)
    other = spec.model_copy(update={"steps": 3})
    jobs = small_jobs(bench, other, draw, 3)

    def cancel_ahead() -> None:
        until(lambda: states(bench, jobs) == ["running"] * 3)
        cancel(bench.db, jobs[0])
        time.sleep(0.5)  # several beats of the lease

    sizes = during(cancel_ahead)
    assert bench.runner().run() == 3
    assert sizes == [1, 2]
    assert states(bench, [first, *jobs]) == ["done", "cancelled", "done", "done"]


def test_a_lost_claim_concerns_its_own_job_alone(
    bench: Any, spec: DreamSpec, draw: Callable[..., bytes], during: Callable[..., list[int]]
) -> None:
    jobs = small_jobs(bench, spec, draw, 3)

    def overtake() -> None:
        with bench.db.write() as session:
            held = Chunk.job_id == jobs[0]
            session.execute(update(Chunk).where(held).values(token="of another"))

    during(overtake)
    assert bench.runner().run() == 2
    assert sorted(states(bench, jobs)) == ["done", "done", "running"]
    assert len(bench.results()) == 2


def test_other_weights_fail_their_own_job_alone(
    bench: Any, spec: DreamSpec, draw: Callable[..., bytes], during: Callable[..., list[int]]
) -> None:
    jobs = small_jobs(bench, spec, draw, 3)
    with bench.db.write() as session:
        session.get_one(Job, jobs[1]).network_sha256 = "0" * 64
    sizes = during()
    assert bench.runner().run() == 2
    assert sizes == [2]
    assert states(bench, jobs) == ["done", "failed", "done"]
    assert "give every worker the same file" in bench.job(jobs[1]).error


def test_claims_ahead_are_renewed_too(
    bench: Any, spec: DreamSpec, draw: Callable[..., bytes], during: Callable[..., list[int]]
) -> None:
    bench.settings = bench.settings.model_copy(update={"lease_s": 0.4})
    jobs = [bench.submit(one, [bench.entry(draw(1))]) for one in apart(spec, 2)]
    silence = Silence(lease_s=0.4, look_s=0.4)

    def linger() -> None:
        until(lambda: states(bench, jobs) == ["running", "running"])
        for _ in range(6):  # three leases
            sweep(bench.db, silence, now=time.monotonic())
            time.sleep(0.2)

    during(linger)
    assert bench.runner().run() == 2


def test_a_stop_gives_back_what_runs_and_what_waits(
    bench: Any, spec: DreamSpec, draw: Callable[..., bytes], during: Callable[..., list[int]]
) -> None:
    specs = apart(spec.model_copy(update={"steps": 50_000}), 3)
    jobs = [bench.submit(one, [bench.entry(draw(1))]) for one in specs]

    def stop() -> None:
        until(lambda: states(bench, jobs)[1] == "running")
        bench.stopping.set()

    during(stop)
    begun = time.monotonic()
    assert bench.runner().run() == 0
    assert time.monotonic() - begun < PATIENCE_S
    assert states(bench, jobs) == ["queued"] * 3
    for job in jobs:
        assert (bench.chunk(job).state, bench.chunk(job).attempts) == ("queued", 0)
    assert bench.results() == []


def test_an_error_costs_its_own_claim_an_attempt_and_the_run_its_end(
    bench: Any, spec: DreamSpec, draw: Callable[..., bytes], during: Callable[..., list[int]]
) -> None:
    jobs = [bench.submit(one, [bench.entry(draw(1))]) for one in apart(spec, 4)]

    def break_down() -> None:
        until(lambda: states(bench, jobs)[2] == "running")
        raise RuntimeError("cuDNN error")

    during(lambda: None, break_down)
    with pytest.raises(RuntimeError, match="cuDNN error"):
        bench.runner().run()
    assert states(bench, jobs) == ["done", "queued", "queued", "queued"]
    attempts = [bench.chunk(job).attempts for job in jobs]
    assert attempts == [1, 1, 0, 0]
    assert bench.runner().run() == 3
    assert states(bench, jobs) == ["done"] * 4


def test_an_outage_ends_the_run_with_nothing_left_in_hand(
    bench: Any,
    spec: DreamSpec,
    draw: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs = [bench.submit(one, [bench.entry(draw(1))]) for one in apart(spec, 3)]
    read, left = bench.store.picture, [1]

    def failing(store: Any, sha256: str) -> bytes:
        left[0] -= 1
        if left[0] < 0:
            raise ServiceUnavailable("the store does not answer.")
        return bytes(read(sha256))

    with monkeypatch.context() as patch:
        patch.setattr("beholder.store.Store.picture", failing)
        with pytest.raises(ServiceUnavailable, match="does not answer"):
            bench.runner().run()
    assert states(bench, jobs)[1:] == ["queued", "queued"]
    attempts = [bench.chunk(job).attempts for job in jobs]
    assert attempts[1:] == [0, 0]
    bench.runner().run()
    assert states(bench, jobs) == ["done"] * 3


def test_work_that_comes_while_the_last_is_under_way_is_done_too(
    bench: Any, spec: DreamSpec, draw: Callable[..., bytes], during: Callable[..., list[int]]
) -> None:
    one, other = apart(spec, 2)
    jobs = [bench.submit(one, [bench.entry(draw(1))])]

    def bring_more() -> None:
        time.sleep(0.2)  # the claim ahead has found nothing by now
        jobs.append(bench.submit(other, [bench.entry(draw(2))]))

    during(bring_more)
    assert bench.runner().run() == 2
    assert states(bench, jobs) == ["done", "done"]


def test_a_batch_that_did_not_fit_is_not_tried_again_nor_after_a_restart(
    bench: Any, spec: DreamSpec, draw: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def scarce(network: Any, pictures: torch.Tensor, **options: Any) -> Any:
        tried.append(len(pictures))
        if len(pictures) > 3:
            raise torch.OutOfMemoryError
        return dream(network, pictures, **options)

    monkeypatch.setattr("worker.dreams.dream", scarce)
    pictures = [bench.entry(draw(seed)) for seed in range(8)]
    first = bench.submit(spec, pictures, chunk_size=8)
    runner = bench.runner()
    runner.run()
    assert tried == [8, 4, 2, 2, 2, 2]
    tried.clear()
    again = bench.submit(spec, pictures, chunk_size=8)
    runner.run()
    assert tried == [2] * 4
    tried.clear()
    restarted = bench.submit(spec, pictures[:5], chunk_size=8)
    bench.runner("worker-2").run()
    assert max(tried) == 2
    assert states(bench, [first, again, restarted]) == ["done"] * 3


def test_the_threads_of_a_run_end_with_it(
    bench: Any, spec: DreamSpec, draw: Callable[..., bytes]
) -> None:
    small_jobs(bench, spec, draw, 2)
    runner = bench.runner()
    before = set(threading.enumerate())
    runner.run()
    lasting = {one.name.rpartition("_")[0] for one in set(threading.enumerate()) - before}
    assert lasting <= {"pictures"}  # the runner's own, for the next run

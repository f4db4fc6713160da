"""What goes wrong, or is asked to end, concerns the right claims alone."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import update

import beholder.jobs.claims
import worker.dreams
import worker.lease
from beholder.errors import PictureError, ServiceUnavailable
from beholder.jobs.claim import Claim
from beholder.jobs.control import cancel
from beholder.jobs.database import Database
from beholder.jobs.models import Chunk, Job
from beholder.specs import DreamSpec
from worker.lease import Interrupted, Lease, Leases
from worker.signs import Signs

pytestmark = pytest.mark.slow  # imports torch


@pytest.mark.parametrize("committed", [True, False])
def test_a_claim_whose_answer_was_lost_is_given_back(
    bench: Any, spec: DreamSpec, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    jobs, runner = bench.submit_small(spec, 3), bench.runner()
    claiming, take = [], beholder.jobs.claims._take
    write = Database.write

    @contextmanager
    def lossy(db: Database, **options: bool) -> Iterator[Any]:
        with write(db, **options) as session:
            yield session
            if claiming and not committed:
                raise ServiceUnavailable(f"{claiming.pop()} is gone.")
        if claiming:
            raise ServiceUnavailable(f"{claiming.pop()} is gone.")

    def taking(*given: Any) -> Any:
        claiming.append("the answer" if committed else "the database")
        return take(*given)

    with monkeypatch.context() as breaking:
        breaking.setattr(Database, "write", lossy)
        breaking.setattr(beholder.jobs.claims, "_take", taking)
        with pytest.raises(ServiceUnavailable, match="is gone"):
            runner.run()
    assert bench.states(jobs) == ["running" if committed else "queued"] * 3
    runner.give_back_the_rest()  # as the sweep does
    chunks = [bench.chunk(job) for job in jobs]
    assert [(one.state, one.attempts, one.token) for one in chunks] == [("queued", 0, None)] * 3
    runner.give_back_the_rest()
    assert runner.run() == 3
    assert bench.states(jobs) == ["done"] * 3


def test_a_cancelled_job_leaves_a_shared_batch_alone(
    bench: Any, spec: DreamSpec, during: Callable[..., list[int]]
) -> None:
    jobs = bench.submit_small(spec, 3)
    sizes = during(lambda: cancel(bench.db, jobs[1]))
    assert bench.runner().run() == 2
    assert sizes == [3]
    assert bench.states(jobs) == ["done", "cancelled", "done"]
    assert len(bench.results()) == 2


def test_rows_of_what_was_cancelled_before_they_ran_are_left_out(
    bench: Any,
    spec: DreamSpec,
    during: Callable[..., list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench.settings = bench.settings.model_copy(update={"lease_s": 0.4})
    heard: list[str] = []
    interrupt = Lease.interrupt

    def interrupted(lease: Lease, token: str, reason: Interrupted) -> None:
        interrupt(lease, token, reason)
        heard.append(type(reason).__name__)

    monkeypatch.setattr(Lease, "interrupt", interrupted)
    (first,) = bench.submit_small(spec, 1)
    other = spec.model_copy(update={"steps": 3})
    jobs = bench.submit_small(other, 3)

    def cancel_ahead() -> None:
        bench.until(lambda: bench.states(jobs) == ["running"] * 3)
        cancel(bench.db, jobs[0])
        bench.until(lambda: heard == ["Cancelled"])

    sizes = during(cancel_ahead)
    assert bench.runner().run() == 3
    assert sizes == [1, 2]
    assert bench.states([first, *jobs]) == ["done", "cancelled", "done", "done"]


def test_a_lost_claim_concerns_its_own_job_alone(
    bench: Any, spec: DreamSpec, during: Callable[..., list[int]]
) -> None:
    jobs = bench.submit_small(spec, 3)

    def overtake() -> None:
        with bench.db.write() as session:
            held = Chunk.job_id == jobs[0]
            session.execute(update(Chunk).where(held).values(token="of another"))

    during(overtake)
    assert bench.runner().run() == 2
    assert sorted(bench.states(jobs)) == ["done", "done", "running"]
    assert len(bench.results()) == 2


def test_other_weights_leave_their_own_job_alone_to_others(
    bench: Any, spec: DreamSpec, during: Callable[..., list[int]]
) -> None:
    jobs = bench.submit_small(spec, 3)
    with bench.db.write() as session:
        session.get_one(Job, jobs[1]).network_sha256 = "0" * 64
    sizes = during()
    runner = bench.runner()
    assert runner.run() == 2
    assert sizes == [2]
    assert bench.states(jobs) == ["done", "queued", "done"]
    assert bench.chunk(jobs[1]).attempts == 0
    assert "give every worker the same file" in runner.passed_over.reason
    assert runner.run() == 0


def test_a_stop_gives_back_what_runs_and_what_waits(
    bench: Any, spec: DreamSpec, during: Callable[..., list[int]]
) -> None:
    jobs = bench.submit_apart(spec.model_copy(update={"steps": 50_000}), 3)

    def stop() -> None:
        bench.until(lambda: bench.states(jobs)[1] == "running")
        bench.stopping.set()

    during(stop)
    begun = time.monotonic()
    assert bench.runner().run() == 0
    assert time.monotonic() - begun < 20
    assert bench.states(jobs) == ["queued"] * 3
    for job in jobs:
        assert (bench.chunk(job).state, bench.chunk(job).attempts) == ("queued", 0)
    assert bench.results() == []


@pytest.mark.parametrize("ends", ["stop", "cancel"])
def test_a_picture_that_takes_a_minute_holds_up_no_end(
    bench: Any,
    spec: DreamSpec,
    draw: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
    ends: str,
) -> None:
    job = bench.submit(spec, [bench.entry(draw(seed)) for seed in range(40)], chunk_size=40)
    at_it, begun, go_on = threading.Event(), [], threading.Event()

    def slow(*_: Any, **__: Any) -> Any:
        begun.append(1)
        at_it.set()
        go_on.wait(60)
        raise PictureError("too late.")

    monkeypatch.setattr("worker.pictures.decoded", slow)

    def end() -> None:
        at_it.wait(20)
        if ends == "stop":
            bench.stopping.set()
        else:
            cancel(bench.db, job)

    ending = threading.Thread(target=end)
    ending.start()
    started = time.monotonic()
    try:
        assert bench.runner().run() == 0
        assert time.monotonic() - started < 20
    finally:
        go_on.set()
        ending.join()
    assert bench.states([job]) == ["queued" if ends == "stop" else "cancelled"]
    if ends == "stop":
        assert bench.chunk(job).attempts == 0
    assert len(begun) < 40, "the others were begun all the same"


def test_an_error_costs_its_own_claim_an_attempt_and_the_run_its_end(
    bench: Any, spec: DreamSpec, during: Callable[..., list[int]]
) -> None:
    jobs = bench.submit_apart(spec, 4)

    def break_down() -> None:
        bench.until(lambda: bench.states(jobs)[2] == "running")
        raise RuntimeError("cuDNN error")

    during(lambda: None, break_down)
    with pytest.raises(RuntimeError, match="cuDNN error"):
        bench.runner().run()
    assert bench.states(jobs) == ["done", "queued", "queued", "queued"]
    attempts = [bench.chunk(job).attempts for job in jobs]
    assert attempts == [1, 1, 0, 0]
    assert bench.runner().run() == 3
    assert bench.states(jobs) == ["done"] * 4


def test_an_exit_gives_back_what_is_half_done(
    bench: Any, spec: DreamSpec, during: Callable[..., list[int]]
) -> None:
    jobs = bench.submit_apart(spec, 3)

    def leave() -> None:
        bench.until(lambda: bench.states(jobs)[2] == "running")
        raise SystemExit

    during(lambda: None, leave)
    with pytest.raises(SystemExit):
        bench.runner().run()
    assert bench.states(jobs) == ["done", "queued", "queued"]
    chunks = [bench.chunk(job) for job in jobs]
    assert [(chunk.attempts, chunk.error) for chunk in chunks] == [(1, None), (0, None), (0, None)]
    assert bench.runner().run() == 2


def test_an_outage_ends_the_run_with_nothing_left_in_hand(
    bench: Any,
    spec: DreamSpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs = bench.submit_apart(spec, 3)
    read, left = bench.store.get, [1]

    def failing(store: Any, path: str) -> bytes:
        left[0] -= 1
        if left[0] < 0:
            raise ServiceUnavailable("the store does not answer.")
        return bytes(read(path))

    with monkeypatch.context() as patch:
        patch.setattr("beholder.store.Store.get", failing)
        with pytest.raises(ServiceUnavailable, match="does not answer"):
            bench.runner().run()
    assert bench.states(jobs)[1:] == ["queued", "queued"]
    attempts = [bench.chunk(job).attempts for job in jobs]
    assert attempts[1:] == [0, 0]
    bench.runner().run()
    assert bench.states(jobs) == ["done"] * 3


def test_what_earlier_claims_left_is_removed_once(
    bench: Any, spec: DreamSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job,) = bench.submit_small(spec, 1)
    tried: list[str] = []

    def away(store: Any, path: str) -> bytes:
        tried.append(path)
        raise ServiceUnavailable("the store does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr("beholder.store.Store.get", away)
        with monkeypatch.context() as more:
            more.setattr("beholder.store.Store.remove_folder", away)
            for _ in range(5):
                with pytest.raises(ServiceUnavailable):
                    bench.runner().run()
        assert len([path for path in tried if path.startswith("results/")]) == 4
        assert len(bench.chunk(job).stale_tokens) >= 5  # more, as one is claimed at the end
        with pytest.raises(ServiceUnavailable):
            bench.runner().run()
        assert len(bench.chunk(job).stale_tokens) <= 2
    assert bench.runner().run() == 1


@pytest.mark.parametrize("finished", [False, True])
def test_a_worker_that_was_cut_off_leaves_nothing_but_what_was_finished(
    bench: Any,
    spec: DreamSpec,
    draw: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
    finished: bool,
) -> None:
    job = bench.submit(spec, [bench.entry(draw(seed)) for seed in (1, 2)])
    runner, finish = bench.runner(), worker.dreams.finish_dreams

    def away(*_: Any) -> Any:
        raise ServiceUnavailable("the database can't be used: server closed the connection.")

    def cut_off(*given: Any, **options: Any) -> Any:
        if finished:  # and only the answer is lost
            finish(*given, **options)
        away()

    with monkeypatch.context() as outage:
        outage.setattr("worker.dreams.finish_dreams", cut_off)
        outage.setattr("worker.runner.release", away)
        with pytest.raises(ServiceUnavailable):
            runner.run()
    assert len(bench.results()) == 2
    if not finished:
        bench.give_up_for_dead()
        taken = bench.take()  # and has tidied up before the files were written
        assert taken.stale_tokens == (bench.results()[0].parent.name,)
    with monkeypatch.context() as outage:
        outage.setattr("beholder.store.Store.list", away)
        runner.give_back_the_rest()  # which asks no store
        with pytest.raises(ServiceUnavailable):
            runner.tidy_up()
    runner.tidy_up()
    assert len(bench.results()) == (2 if finished else 0)
    assert bench.states([job]) == ["done" if finished else "running"]


@pytest.mark.parametrize("trouble", [ServiceUnavailable("away."), RuntimeError("unforeseen")])
def test_a_renewal_that_fails_leaves_other_leases_and_later_beats_alone(
    bench: Any,
    spec: DreamSpec,
    during: Callable[..., list[int]],
    monkeypatch: pytest.MonkeyPatch,
    lines: list[dict[str, Any]],
    trouble: Exception,
) -> None:
    bench.settings = bench.settings.model_copy(update={"lease_s": 0.2})
    first, second = bench.submit_apart(spec, 2)
    renew, renewed = worker.lease.renew_all, []

    def failing(db: Any, claims: list[Claim], **options: Any) -> Any:
        (claim,) = claims
        if claim.job_id == first and renewed.count(second) < 2:
            raise trouble
        states = renew(db, claims, **options)
        renewed.append(claim.job_id)
        return states

    monkeypatch.setattr("worker.lease.renew_all", failing)
    during(lambda: bench.until(lambda: first in renewed))
    assert bench.runner().run() == 2
    (about,) = {(one["job"], one["chunk"]) for one in lines if "not renewed" in one["message"]}
    assert about == (first, bench.chunk(first).id)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_last_words_of_a_worker_that_hangs_are_about_what_it_had(
    bench: Any, spec: DreamSpec, monkeypatch: pytest.MonkeyPatch, lines: list[dict[str, Any]]
) -> None:
    def ends(code: int) -> None:
        raise SystemExit(code)  # of the thread alone

    monkeypatch.setattr(worker.lease.os, "_exit", ends)
    (job,) = bench.submit_small(spec, 1)
    with Leases(bench.db, lease_s=0.2, stop=None, signs=Signs(0.1)) as leases:
        leases.begin([bench.take()])
        bench.until(lambda: lines)
        bench.until(lambda: bench.chunk(job).token is None)  # it has given it up
    (line,) = [one for one in lines if one["level"] == "critical"]
    assert (line["job"], line["chunk"]) == (job, bench.chunk(job).id)

"""What a worker died on runs with nothing beside it, and an outage takes no results with it."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update

from beholder.errors import ServiceUnavailable
from beholder.jobs.finish import finish_dreams
from beholder.jobs.models import Chunk
from beholder.science.dream import dream
from beholder.specs import DreamSpec
from beholder.upkeep.verify import verify

pytestmark = pytest.mark.slow  # imports torch


def test_what_a_worker_died_on_has_nothing_beside_it(
    bench: Any, spec: DreamSpec, during: Callable[..., list[int]]
) -> None:
    jobs = bench.submit_apart(spec, 4)
    with bench.db.write() as session:
        session.execute(update(Chunk).where(Chunk.job_id == jobs[1]).values(attempts=1))
    seen: list[list[str]] = []

    def look() -> None:
        time.sleep(0.3)  # for what should not be taken ahead
        seen.append(bench.states(jobs))

    def await_company() -> None:
        bench.until(lambda: bench.states(jobs) == ["done", "done", "running", "running"])

    during(look, look, await_company)
    assert bench.runner().run() == 4
    assert seen == [
        ["running", "queued", "queued", "queued"],
        ["done", "running", "queued", "queued"],
    ]


def test_deaths_count_anew_once_a_later_checkpoint_is_kept(
    bench: Any, spec: DreamSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.settings = bench.settings.model_copy(update={"lease_s": 0.2, "checkpoint_s": 0.05})
    (job,) = bench.submit_small(spec.model_copy(update={"steps": 40}), 1)
    with bench.db.write() as session:
        session.execute(update(Chunk).where(Chunk.job_id == job).values(attempts=2))
    attempts: list[int] = []

    def slow(*arguments: Any, on_checkpoint: Any, **options: Any) -> Any:
        def step(number: int, take: Any) -> None:
            time.sleep(0.01)
            on_checkpoint(number, take)
            attempts.append(bench.chunk(job).attempts)
            if number == 30:
                bench.until(lambda: bench.chunk(job).attempts == 1)

        return dream(*arguments, on_checkpoint=step, **options)

    monkeypatch.setattr("worker.climbs.dream", slow)
    assert bench.runner().run() == 1
    assert attempts[0] == 3


def test_results_that_were_stored_although_the_answer_was_lost_stay(
    bench: Any, spec: DreamSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job,) = bench.submit_small(spec, 1)

    def cut_off(*arguments: Any, **options: Any) -> Any:
        finish_dreams(*arguments, **options)
        raise ServiceUnavailable("the database can't be used: server closed the connection.")

    monkeypatch.setattr("worker.dreams.finish_dreams", cut_off)
    with pytest.raises(ServiceUnavailable):
        bench.runner().run()
    assert bench.job(job).state == "done"
    assert list(verify(bench.db, bench.store)) == []

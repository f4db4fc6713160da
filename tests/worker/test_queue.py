"""Bells on a real Redis: never many, rung again when work waits and none is left."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from beholder.errors import ServiceUnavailable
from beholder.jobs.models import Job
from beholder.jobs.workers import live_workers
from beholder.private_redis import find_redis_server, wait_until_ready
from beholder.settings import Settings
from beholder.specs import DreamSpec
from worker.app import make_app
from worker.child import Child
from worker.queue import MOST_BELLS, Queue

pytestmark = pytest.mark.slow  # a real server; imports torch


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "redis.sock"
    command = [find_redis_server(), "--port", "0", "--unixsocket", str(path), "--save", ""]
    server = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        wait_until_ready(path)
        yield f"redis+socket://{path}"
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture
def child(bench: Any, redis_url: str) -> Iterator[Child]:
    """A worker's child on the bench's database, which sweeps when it is told to."""
    settings: Settings = bench.settings.model_copy(update={"sweep_s": 3600.0})
    stopping, swept = threading.Event(), threading.Event()

    class Watched(Child):
        def sweep(self) -> None:
            super().sweep()
            swept.set()

    made = Watched(make_app(redis_url), settings, stopping)
    assert swept.wait(20)
    yield made
    stopping.set()


def test_a_worker_says_which_device_it_took(bench: Any, request: pytest.FixtureRequest) -> None:
    bench.settings = bench.settings.model_copy(update={"device": "auto"})
    request.getfixturevalue("child")
    (alive,) = live_workers(bench.db, within_s=60)
    assert alive.device in ("cpu", "cuda")


def heard(redis_url: str) -> int:
    """Hear every bell; how many there were."""
    with make_app(redis_url).connection_for_read() as connection:
        client = connection.default_channel.client
        count = int(client.llen("beholder"))
        client.delete("beholder")
    return count


def test_a_bell_for_each_chunk_up_to_a_limit(redis_url: str) -> None:
    queue = Queue(make_app(redis_url))
    for count, rung in ((0, 0), (3, 3), (125_000, MOST_BELLS)):
        queue.ring(count)
        assert queue.length() == heard(redis_url) == rung


def test_without_redis_it_is_said_what_to_start(tmp_path: Path) -> None:
    queue = Queue(make_app(f"redis+socket://{tmp_path / 'nowhere.sock'}"))
    for work in (lambda: queue.ring(1), queue.length):
        with pytest.raises(ServiceUnavailable, match="Redis does not answer"):
            work()


def test_a_sweep_rings_for_what_waits_only_where_no_bell_is_left(
    bench: Any, child: Child, redis_url: str, network: str, draw: Callable[..., bytes]
) -> None:
    child.sweep()
    assert heard(redis_url) == 0
    spec = DreamSpec(network=network, size=48, layers=(5,), steps=1)
    bench.submit(spec, [bench.entry(draw(seed)) for seed in range(3)], chunk_size=1)
    child.sweep()
    child.sweep()
    assert heard(redis_url) == 3  # say that Redis lost them
    bench.take()
    child.sweep()
    assert heard(redis_url) == 2
    child.work()
    child.sweep()
    assert heard(redis_url) == 0


def test_a_stage_that_ends_rings_for_the_next(
    bench: Any, child: Child, redis_url: str, network: str, draw: Callable[..., bytes]
) -> None:
    from beholder.specs import StudySpec

    spec = StudySpec(network=network, size=48, threshold=1)
    entries = [bench.entry(draw(seed), role="target") for seed in range(3)]
    job = bench.submit(spec, entries, chunk_size=1)
    child.work()
    assert bench.job(job).state == "done"
    assert heard(redis_url) == 1 + 3  # to choose, then to classify


def test_what_an_outage_left_in_hand_is_given_back_by_a_sweep_and_rung_for(
    bench: Any,
    child: Child,
    redis_url: str,
    spec: DreamSpec,
    draw: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def away(*_: object, **__: object) -> None:
        raise ServiceUnavailable("the database can't be used: server closed the connection.")

    job = bench.submit(spec, [bench.entry(draw(1))])
    for _ in range(3):
        with monkeypatch.context() as outage:
            outage.setattr("worker.dreams.finish_dreams", away)
            outage.setattr("worker.runner.release", away)
            with pytest.raises(ServiceUnavailable):
                child.work()
        assert bench.chunk(job).state == "running"
        child.sweep()
        assert (bench.chunk(job).state, bench.chunk(job).attempts) == ("queued", 0)
        assert heard(redis_url) == 1
    child.work()
    assert bench.job(job).state == "done"


def test_a_heartbeat_that_breaks_stops_no_sweep(
    bench: Any,
    redis_url: str,
    spec: DreamSpec,
    draw: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(device: str) -> int:
        raise RuntimeError("CUDA error: unspecified launch failure")

    monkeypatch.setattr("worker.heartbeat._gpu_bytes", broken)
    bench.submit(spec, [bench.entry(draw(1))])
    Child(make_app(redis_url), bench.settings, bench.stopping)
    bench.until(lambda: heard(redis_url))
    bench.stopping.set()


def test_why_a_job_is_left_to_others_stands_in_the_heartbeat(
    bench: Any, redis_url: str, spec: DreamSpec, draw: Callable[..., bytes]
) -> None:
    job = bench.submit(spec, [bench.entry(draw(1))])
    with bench.db.write() as session:
        session.get_one(Job, job).network_sha256 = "0" * 64
    settings = bench.settings.model_copy(update={"sweep_s": 0.05})
    child = Child(make_app(redis_url), settings, bench.stopping)
    child.work()
    bench.until(lambda: bench.job(job).paused)
    assert f"leaves job {job} to others" in bench.job(job).paused
    bench.stopping.set()

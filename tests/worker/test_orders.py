"""A worker's child does what it was told in the database."""

import errno
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from beholder.jobs.fleet import fleet, tell
from beholder.private_redis import find_redis_server, wait_until_ready
from beholder.specs import DreamSpec
from worker.app import make_app
from worker.child import SIGNING_OFF_S, Child
from worker.flag import SharedFlag
from worker.queue import Queue

pytestmark = pytest.mark.slow


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Any]:
    path = tmp_path / "redis.sock"
    command = [find_redis_server(), "--port", "0", "--unixsocket", str(path), "--save", ""]
    server = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        wait_until_ready(path)
        yield make_app(f"redis+socket://{path}")
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture
def draining() -> SharedFlag:
    return SharedFlag()


@pytest.fixture
def child(bench: Any, app: Any, draining: SharedFlag) -> Iterator[Child]:
    """A child that looks at what it is told all the time."""
    settings = bench.settings.model_copy(update={"sweep_s": 0.05})
    yield Child(app, settings, bench.stopping, draining)
    bench.stopping.set()


def told(bench: Any, child: Child, order: Any) -> None:
    """Tell it, and wait until it has heard."""
    bench.until(lambda: fleet(bench.db))
    tell(bench.db, child._heartbeat.name, order)
    bench.until(lambda: child._heartbeat.told == order)


def test_a_paused_worker_claims_nothing_until_it_is_resumed(
    bench: Any, child: Child, app: Any, spec: DreamSpec, draw: Callable[..., bytes]
) -> None:
    told(bench, child, "pause")
    jobs = bench.submit_apart(spec, 3)
    task = threading.Thread(target=child.work)
    task.start()
    bench.until(lambda: Queue(app).lengths()["any"] >= 3)  # it has said so to others
    assert bench.states(jobs) == ["queued"] * 3
    assert [one.state for one in fleet(bench.db)] == ["paused"]
    told(bench, child, None)
    task.join(20)
    assert not task.is_alive()
    assert bench.states(jobs) == ["done"] * 3


def test_a_worker_told_to_drain_finishes_what_it_has(
    bench: Any, child: Child, draining: SharedFlag, spec: DreamSpec, during: Callable[..., Any]
) -> None:
    jobs = bench.submit_apart(spec, 6)
    during(lambda: told(bench, child, "drain"))
    child.work()
    assert draining.is_set()
    states = bench.states(jobs)
    assert "running" not in states, "something was left in hand"
    assert states[0] == "done", "what was in hand was given back"
    assert "queued" in states, "it went on claiming"
    child.work()
    assert bench.states(jobs) == states


def test_a_worker_that_waits_for_room_ends_when_it_is_drained(
    bench: Any, child: Child, spec: DreamSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    (job,) = bench.submit_apart(spec, 1)
    monkeypatch.setattr("beholder.files.write_whole", full)
    task = threading.Thread(target=child.work)
    task.start()
    bench.until(lambda: [one.state for one in fleet(bench.db)] == ["paused"])
    told(bench, child, "drain")
    task.join(5)
    assert not task.is_alive()
    assert bench.states([job]) == ["queued"]


def test_a_child_takes_only_what_is_for_its_class(
    bench: Any, child: Child, app: Any, spec: DreamSpec, draw: Callable[..., bytes]
) -> None:
    on_gpu = bench.submit(spec, [bench.entry(draw(1))], device="gpu")
    anywhere = bench.submit(spec, [bench.entry(draw(2))])
    child.work()
    assert bench.states([on_gpu, anywhere]) == ["queued", "done"]
    bench.until(lambda: Queue(app).lengths()["gpu"] == 1)  # a sweep rings for those who can


def test_signing_off_waits_for_no_collector(
    bench: Any, child: Child, spec: DreamSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    otlp = pytest.importorskip("beholder.otlp")
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3")  # seconds
        monkeypatch.setattr("beholder.traces._sender", otlp.Otlp("a test"))
        bench.submit_apart(spec, 1)
        child.work()
        bench.until(lambda: fleet(bench.db))
        begun = time.monotonic()
        child.end()
        assert time.monotonic() - begun < SIGNING_OFF_S + 1
        assert fleet(bench.db) == []
        assert deaf.accept()[0].recv(1), "nothing was sent"


def test_its_heartbeat_says_since_when_and_how_fast(
    bench: Any, child: Child, spec: DreamSpec, during: Callable[..., Any]
) -> None:
    seen: list[Any] = []

    def look() -> None:
        bench.until(lambda: fleet(bench.db)[0].chunk)
        seen.append(fleet(bench.db)[0])

    jobs = bench.submit_apart(spec, 2)
    during(look)
    child.work()
    (busy,) = seen
    assert (busy.state, busy.job, busy.device_class) == ("running", jobs[0], "cpu")
    assert busy.since is not None
    bench.until(lambda: fleet(bench.db)[0].items == 2)
    idle = fleet(bench.db)[0]
    assert (idle.state, idle.since) == ("idle", None)
    assert idle.rate is not None
    assert idle.rate > 0

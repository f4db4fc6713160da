"""A real server on loopback, on a real SQLite database and store; tests speak HTTP to it.

`server` is the one that most share, emptied after each; `start` starts others. `Server.work` plays
the worker.
"""

import contextlib
import hashlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.services import Services
from beholder.jobs import claims, finish, weights
from beholder.jobs.outcomes import (
    ChannelRow,
    DreamOutcome,
    ItemFailure,
    Judgement,
    StoredFile,
    VerdictOutcome,
)
from beholder.settings import Settings
from beholder.store import result_folder
from tests.drawn import png
from tests.emptying import empty

SHA256 = "f" * 64  # of the weights


@dataclass
class Server:
    """A server that listens, with a client for it."""

    app: FastAPI
    url: str
    http: httpx.Client

    @property
    def services(self) -> Services:
        opened: Services = self.app.state.services
        return opened

    def dream(self, count: int = 2, **fields: Any) -> dict[str, Any]:
        """Submit a dream of `count` pictures; the job's row."""
        files = [("pictures", (f"kelpies/k{n}.png", png(n), "image/png")) for n in range(count)]
        spec = '{"network": "specimens", "layers": [20, 35], "steps": 3, "snapshots": [1]}'
        answer = self.http.post("/v1/dreams", data={"spec": spec, **fields}, files=files)
        assert answer.status_code == 201, answer.text
        row: dict[str, Any] = answer.json()
        return row

    def study(self, count: int = 2) -> dict[str, Any]:
        """Submit a study of `count` targets and as many controls; the job's row."""
        files = [("targets", (f"kelpies/k{n}.png", png(n), "image/png")) for n in range(count)]
        files += [("controls", (f"cats/c{n}.png", png(90 + n), "image/png")) for n in range(count)]
        spec = '{"network": "specimens", "threshold": 2}'
        answer = self.http.post("/v1/studies", data={"spec": spec}, files=files)
        assert answer.status_code == 201, answer.text
        row: dict[str, Any] = answer.json()
        return row

    def work(self, job_id: str, *, chunks: int = 1_000, failing: tuple[int, ...] = ()) -> None:
        """Run a job's chunks as a worker would, at most so many of them."""
        services, passed = self.services, []
        while chunks and (taken := claims.claim_next(services.db, worker="test", lease_s=60)):
            (claim,) = taken
            if claim.job_id != job_id:
                passed.append(claim)
                continue
            weights.record_network(services.db, [claim], claim.spec.network, SHA256)
            assert _finish(services, claim, failing) is not None
            chunks -= 1
        for claim in passed:
            claims.release(services.db, claim)


def _finish(services: Services, claim: Any, failing: tuple[int, ...]) -> Any:
    if claim.stage == "choose":
        return finish.finish_choose(
            services.db, claim, channel_rows(), target_pictures=2, control_pictures=2, exemplars=()
        )
    outcomes = [_outcome(services, claim, item, failing) for item in claim.items]
    if claim.stage == "dream":
        return finish.finish_dreams(services.db, [(claim, outcomes)])[claim.token]
    if claim.stage == "measure":
        return finish.finish_measure(services.db, claim, outcomes, partial="partial")
    return finish.finish_classify(services.db, claim, outcomes)


def _outcome(services: Services, claim: Any, item: Any, failing: tuple[int, ...]) -> Any:
    if item.position in failing:
        return ItemFailure(item.position, "the gradient overflowed: use a lower --learning-rate.")
    if claim.stage != "dream":
        label = "terrier" if claim.stage == "classify" and item.role == "target" else "kelpie"
        verdict = Judgement(label, 7, 0.9, ((label, 0.9), ("skunk", 0.05)))
        return VerdictOutcome(item.position, verdict)
    files = []
    for step in claim.spec.steps_kept:
        data = png(40 * item.position + step)
        path = f"{result_folder(claim.job_id, claim.token)}/{item.position}-{step}.png"
        services.store.put(path, data)
        sha256 = hashlib.sha256(data).hexdigest()
        files.append(StoredFile(step, path, sha256, len(data), 40, 32))
    return DreamOutcome(item.position, tuple(files), {"objective": [1.0, 2.5]}, 0.5)


def channel_rows() -> list[ChannelRow]:
    """By count 7, 3, 9; by mean 9, 7, 3; by contrast 3, 7, 9."""
    return [
        ChannelRow(35, 7, 3, 1, 9.0, 0.5, 11.0, 2.0, 0.1, 3.0, chosen=True),
        ChannelRow(35, 3, 2, 0, 8.0, 0.1, 8.5, 0.0, 0.1, 0.5, chosen=True),
        ChannelRow(35, 9, 1, 2, 30.0, 9.5, 40.0, 29.0, 3.1, 33.0),
        ChannelRow(20, 1, 2, 0, 5.0, 0.5, 7.0, None, None, None),
    ]


@contextlib.contextmanager
def serving(settings: Settings, *, port: int = 0) -> Iterator[Server]:
    """A server on this port of loopback, by default a free one; stopped at the end."""
    app = create_app(settings)
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=1
    )
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.005)
    port = running.servers[0].sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=url, timeout=20) as client:
            yield Server(app, url, client)
    finally:
        running.should_exit = True
        thread.join(10)


@pytest.fixture
def draw() -> Callable[..., bytes]:
    return png


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Server]:
    """One server for all tests that need no settings of their own: starting takes longer."""
    with serving(_settings(tmp_path_factory.mktemp("shared"), empty_database)) as started:
        yield started


@pytest.fixture
def server(shared: Server) -> Iterator[Server]:
    """A server whose database is empty."""
    yield shared
    shared.http.cookies.clear()
    empty(shared.services.db)


@pytest.fixture
def start(tmp_path: Path, empty_database: Path) -> Iterator[Callable[..., Server]]:
    """Start a server with other settings."""
    with contextlib.ExitStack() as stack:
        yield lambda **fields: stack.enter_context(
            serving(_settings(tmp_path, empty_database, **fields))
        )


def _settings(folder: Path, empty_database: Path, **fields: Any) -> Settings:
    home = folder / "home"
    home.mkdir(mode=0o700)
    shutil.copy(empty_database, home / "beholder.db")
    return Settings(**{"home": home, "network": "specimens", **fields})

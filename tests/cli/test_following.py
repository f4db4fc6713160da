"""Following a job over a line that breaks, and over a server that is restarted."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import Queue
from typing import Any
from urllib.parse import urlsplit

import pytest

from beholder.errors import NotFound, ServiceUnavailable
from beholder.jobs.queries import list_jobs
from cli.context import Context
from cli.desk.remote import RemoteDesk
from cli.desk.wire import Wire
from tests.api.conftest import Server, _settings, serving
from tests.cli.line import Line, submit

pytestmark = [pytest.mark.slow, pytest.mark.there]  # real servers; seconds in all

Beholder = Callable[..., Any]


def test_following_outlives_a_cut_line(
    line: Line, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("cli.desk.following._PAUSE_S", 0.05)
    job = server.dream(2)
    looks = RemoteDesk(Wire(line.url, None), tmp_path).watch(job["id"])
    assert next(looks)[0].state == "queued"
    line.kill()

    def come_back() -> None:
        server.work(job["id"])
        time.sleep(0.3)
        line.revive()

    worker = threading.Thread(target=come_back)
    worker.start()
    final, through = list(looks)[-1]
    worker.join()
    assert (final.state, final.done, through) == ("done", 4, 4.0)
    assert final.network_sha256  # no event says that


def test_waiting_outlives_a_restart_of_the_server(
    beholder: Beholder, line: Line, folder: Path, tmp_path: Path, empty_database: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """It stops in mid-job, and another takes its port: one line, and the results in the end."""
    monkeypatch.setattr("cli.desk.wire.AWAY_S", 0.2)
    monkeypatch.setattr("cli.desk.following._PAUSE_S", 0.05)
    (tmp_path / "restarted").mkdir()
    settings = _settings(tmp_path / "restarted", empty_database)
    ports: Queue[int] = Queue()
    ended = threading.Event()

    def restart() -> None:
        with serving(settings) as first:
            port = urlsplit(first.url).port or 0
            ports.put(port)
            while not (followed := list(first.services.live._channels)):
                time.sleep(0.02)
            first.work(followed[0], chunks=1)
        time.sleep(1.0)
        with serving(settings, port=port) as second:
            second.work(followed[0])
            ended.wait(20)

    servers = threading.Thread(target=restart)
    servers.start()
    url, out = f"http://127.0.0.1:{ports.get(timeout=20)}", tmp_path / "out"
    asked = ("--dir", str(folder), "--layer", "20,35", "--wait", "-o", str(out))
    answer = beholder("--server", url, "submit", *asked)
    ended.set()
    servers.join()
    assert answer.code == 0, answer.err
    said = f"{url} can't be reached (connection refused): trying again for 10 min."
    assert answer.err.count("can't be reached") == answer.err.count(said) == 1
    assert "12 of 12 done" in answer.err
    assert len(list(out.glob("*.png"))) == 12


def test_following_outlives_a_stream_that_fails(
    line: Line, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Once the server answers 500, an error of its own; then it works."""
    monkeypatch.setattr("cli.desk.following._PAUSE_S", 0.05)
    job, real, failures = server.dream(1), server.services.live.has_ended, 0

    async def failing(*given: Any) -> bool:
        nonlocal failures
        failures += 1
        if failures == 1:
            raise ZeroDivisionError
        return await real(*given)

    monkeypatch.setattr(server.services.live, "has_ended", failing)
    looks = RemoteDesk(Wire(line.url, None), tmp_path).watch(job["id"])
    assert next(looks)[0].state == "queued"
    server.work(job["id"])
    assert (list(looks)[-1][0].state, failures) == ("done", 2)


def test_a_server_that_answers_is_not_said_to_be_out_of_reach(
    line: Line, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its database is away for a while: it answers 503 itself."""
    monkeypatch.setattr("cli.desk.wire.AWAY_S", 0.0)
    wire, asked = Wire(line.url, None), 0

    def lost(*_: Any, **__: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked < 4:
            raise ServiceUnavailable("the database does not answer.")
        return []

    wire.get("/v1/jobs")
    monkeypatch.setattr("api.routes.jobs.list_jobs", lost)
    assert wire.get("/v1/jobs")["jobs"] == []
    said = f"{line.url} can't answer now (it says 503): trying again for 1 s.\n"
    assert (asked, capsys.readouterr().err) == (4, said)


def test_following_a_job_that_is_deleted_ends(line: Line, server: Server, tmp_path: Path) -> None:
    job = server.dream(1)
    looks = RemoteDesk(Wire(line.url, None), tmp_path).watch(job["id"])
    next(looks)
    server.http.post(f"/v1/jobs/{job['id']}/cancel")
    server.http.delete(f"/v1/jobs/{job['id']}")
    with pytest.raises(NotFound):
        list(looks)


def test_waiting_writes_the_results(
    beholder: Beholder, line: Line, server: Server, folder: Path, context: Context, tmp_path: Path
) -> None:
    def work() -> None:
        while not (queued := list_jobs(context.db)):
            time.sleep(0.05)
        server.work(queued[0].id)

    worker = threading.Thread(target=work)
    worker.start()
    answer = submit(beholder, folder, "--layer", "35", "--wait", "-o", str(tmp_path / "out"))
    worker.join()
    assert answer.code == 0, answer.err
    assert "6 of 6 done" in answer.err
    assert len(list((tmp_path / "out").glob("*.png"))) == 6

"""No secret in what a running service shows: command lines, logs, answers, metrics."""

import os
import socket
import stat
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from sqlalchemy import create_engine, make_url, text

from beholder.jobs.schema import create_if_empty, upgrade
from beholder.private_redis import find_redis_server
from beholder.service import Service
from beholder.settings import Settings
from beholder.tokens import make_token

SECRET = "gEheim"
OTHERS = "gEheim-too"  # which programs that speak to others need


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def noting_redis(folder):
    """A folder with a redis-server that notes its environment, over which the real one writes."""
    program = folder / "bin" / "redis-server"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nenv > {folder}/given\nexec {find_redis_server()} "$@"\n')
    program.chmod(0o755)
    return program.parent


@pytest.mark.slow
def test_no_secret_in_the_processes_of_a_running_service(tmp_path, monkeypatch):
    """Their command lines, their logs, what they answer; and who may read their environment."""
    token, entry = make_token("ada", "admin")
    home, port = tmp_path / "home", free_port()
    monkeypatch.setenv("BEHOLDER_DATABASE_URL", SECRET)  # of this process: no child may get it
    for name in ("AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "OTEL_EXPORTER_OTLP_HEADERS"):
        monkeypatch.setenv(name, OTHERS)
    monkeypatch.setenv("PATH", f"{noting_redis(tmp_path)}:{os.environ['PATH']}")
    settings = Settings(
        home=home, database_url=None, api_tokens=entry, api_port=port, network="specimens"
    )
    create_if_empty(settings.database)
    with Service(settings, api=True) as service:
        address = f"http://127.0.0.1:{port}"
        said = [get(f"{address}/healthz", 200)]
        bearer = {"Authorization": f"Bearer {token}"}
        said += [httpx.get(f"{address}/v1/jobs?token={token}").text]
        said += [
            httpx.get(f"{address}/{path}", headers=bearer).text for path in ("metrics", "readyz")
        ]
        pids = service.pids()
        assert set(pids) == {"api", "redis", "worker"}
        for pid in pids.values():
            said.append(Path(f"/proc/{pid}/cmdline").read_text())
            assert stat.S_IMODE(Path(f"/proc/{pid}/environ").stat().st_mode) == 0o400
            assert SECRET not in Path(f"/proc/{pid}/environ").read_text().replace(OTHERS, "")
    given = (tmp_path / "given").read_text()
    assert "PATH=" in given
    assert SECRET not in given
    said += [log.read_text() for log in (home / "logs").iterdir()]
    for secret in (token, entry.rpartition(":")[2], SECRET):
        assert not any(secret in text for text in said)


@pytest.fixture
def guarded_redis(tmp_path):
    """A Redis that wants a password: (its process, its URL)."""
    port = free_port()
    options = f"port {port}\nbind 127.0.0.1\nrequirepass {SECRET}\ndir {tmp_path}\n"
    command = [find_redis_server(), "-"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        process.stdin.write(options.encode())
        process.stdin.close()
        yield process, f"redis://:{SECRET}@127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def guarded_postgres(postgres_server):
    """A migrated database, by a URL with a password."""
    engine = create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("DROP DATABASE IF EXISTS guarded"))
        connection.execute(text("CREATE DATABASE guarded"))
    engine.dispose()
    url = make_url(postgres_server).set(database="guarded", password=SECRET)
    upgrade(plain := url.render_as_string(hide_password=False))
    return plain


@pytest.mark.slow
def test_no_password_of_servers_shows_while_one_works_and_one_is_gone(
    guarded_redis, guarded_postgres, tmp_path
):
    redis, redis_url = guarded_redis
    settings = Settings(
        home=tmp_path / "home",
        database_url=guarded_postgres,
        redis_url=redis_url,
        api_port=free_port(),
        network="specimens",
    )
    address, log = f"http://127.0.0.1:{settings.api_port}", settings.home / "logs" / "worker.log"
    with Service(settings, api=True) as service:
        said = [get(f"{address}/readyz", 200)]
        spec = {"noise": 1, "size": 32, "steps": 1, "layers": [5]}
        job = httpx.post(f"{address}/v1/dreams", json={"spec": spec}).json()
        until(lambda: httpx.get(f"{address}/v1/jobs/{job['id']}").json()["state"] == "done")
        said += [httpx.get(f"{address}/metrics").text]
        before = len(log.read_text())
        redis.kill()
        redis.wait()
        said += [get(f"{address}/readyz", 503)]
        until(lambda: "onnect" in log.read_text()[before:])  # Celery, and the child that sweeps
        said += [httpx.get(f"{address}/{path}").text for path in ("metrics", "")]
        pids = {one for pid in service.pids().values() for one in family(pid)}
        assert len(pids) > 2  # the pool's child, too
        said += [Path(f"/proc/{pid}/cmdline").read_text() for pid in pids]
        environ = [Path(f"/proc/{pid}/environ") for pid in pids]
        assert any(SECRET in file.read_text() for file in environ)  # so it is in use
        assert {stat.S_IMODE(file.stat().st_mode) for file in environ} == {0o400}
    said += [file.read_text() for file in log.parent.iterdir()]
    assert len(said) > 8
    assert not any(SECRET in one for one in said)


def family(pid):
    """A process and all that it started."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from family(int(child))


def get(url, status):
    """What it says once it answers with this status."""
    found = []

    def answers():
        try:
            found.append(httpx.get(url))
        except httpx.TransportError:
            return False
        return found[-1].status_code == status

    until(answers)
    return found[-1].text


def until(condition, timeout_s=60):
    ends = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.1)

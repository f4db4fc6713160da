"""Upgrading while jobs run: services as they were before the last migration, on its schema.

Their code comes from the history: the commit before the one that added the migration.
"""

import io
import os
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from sqlalchemy import make_url

from beholder.jobs.schema import head_revision
from beholder.private_redis import find_redis_server
from beholder.specimens.draw import draw
from tests.deploy.compose import ROOT
from tests.e2e.conftest import Machine, free_port, own_env

pytestmark = pytest.mark.slow
DREAM = {"layers": [12], "steps": 4, "size": 64, "noise": 6, "network": "specimens"}
LONG = DREAM | {"steps": 150, "noise": 40}
SOME = DREAM | {"steps": 40, "noise": 40}


def _git(*words: str) -> bytes:
    ended = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=False)
    return ended.stdout if ended.returncode == 0 else b""


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of the code before the last migration."""
    migration = next((ROOT / "migrations" / "versions").glob(f"{head_revision()}_*.py"))
    name = str(migration.relative_to(ROOT))
    added = _git("log", "-1", "--format=%H", "--diff-filter=A", "--", name).decode().strip()
    archive = _git("archive", f"{added}^" if added else "HEAD")
    if not archive:
        pytest.skip("the history is not here")
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        packed.extractall(folder, filter="data")
    assert not (folder / name).exists()
    return folder


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    server = subprocess.Popen(
        [find_redis_server(), "--port", str(port), "--bind", "127.0.0.1", "--save", ""],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
    )
    yield f"redis://127.0.0.1:{port}/0"
    server.terminate()
    server.wait(10)


@pytest.fixture
def database_url(postgres_server: str) -> str:
    name, url = f"upgrade_{os.getpid()}", make_url(postgres_server)
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[arg-type]
    return url.set(drivername="postgresql", database=name).render_as_string(hide_password=False)


@pytest.fixture
def versions(
    before: Path, tmp_path: Path, database_url: str, redis_url: str
) -> Iterator[tuple[Machine, Machine]]:
    """The same service as the old and as the new code see it."""
    env = own_env(tmp_path, network="specimens", lease_s=4, sweep_s=1)
    env |= {"BEHOLDER_DATABASE_URL": database_url, "BEHOLDER_REDIS_URL": redis_url}
    homes = [tmp_path / name for name in ("old", "new")]
    for home in homes:
        home.mkdir()
    old = Machine(homes[0], {**env, "PYTHONPATH": str(before)})
    new = Machine(homes[1], {**env, "PYTHONPATH": str(ROOT)})
    yield old, new
    new.stop()
    old.stop()


@pytest.fixture
def spirals(tmp_path: Path) -> list[Path]:
    files = [tmp_path / f"{seed}.png" for seed in range(4)]
    for seed, file in enumerate(files):
        draw("spiral", seed=seed, size=64).save(file)
    return files


def test_what_the_old_code_queued_is_run_by_the_new(versions: tuple[Machine, Machine]) -> None:
    old, new = versions
    old.run("db", "upgrade")
    job = old.run("submit", "--noise", 1, "--steps", 2, "--size", 64, "--layer", 12).stdout.strip()
    assert "run `beholder db upgrade`" in new.run("jobs", code=2).stderr  # it is behind
    new.run("db", "upgrade")
    assert "install that version" in old.run("jobs", code=2).stderr  # nothing old starts now
    new.start("worker")
    assert new.end_of(job).state == "done"


@pytest.mark.deployment
def test_old_services_go_on_with_the_new_schema(
    versions: tuple[Machine, Machine], spirals: list[Path]
) -> None:
    old, new = versions
    old.run("db", "upgrade")
    assert "run `beholder db upgrade`" in new.run("jobs", code=2).stderr  # it is behind
    worker, api = old.start("worker"), old.start("api")
    with httpx.Client(
        base_url=f"http://127.0.0.1:{old.env['BEHOLDER_API_PORT']}",
        timeout=20,
        limits=httpx.Limits(max_keepalive_connections=0),  # the server closes them when it likes
    ) as http:
        old.until(lambda: _answers(http))
        running = _submit(http, "dreams", LONG, [])
        old.until(lambda: _job(http, running)["state"] == "running")
        new.run("db", "upgrade")
        assert _job(http, running)["state"] == "running"
        # Old rows end, and new ones are written and run, by statements of the old code.
        after = [_submit(http, "dreams", DREAM, spirals), _submit(http, "studies", {}, spirals)]
        for job in (running, *after):
            old.until(lambda job=job: _ended(http, job), timeout_s=400)
            assert (_job(http, job)["state"], _job(http, job)["failed"]) == ("done", 0)
        assert http.get("/healthz").status_code == 200
        assert new.run("jobs").returncode == 0
        assert "install that version" in old.run("worker", code=2).stderr  # nothing old starts now
        assert (worker.poll(), api.poll()) == (None, None)
        new.start("worker")
        mixed = _submit(http, "dreams", SOME, [])
        old.until(lambda: _job(http, mixed)["state"] == "running")
        worker.send_signal(signal.SIGTERM)
        worker.wait(60)
        old.until(lambda: _ended(http, mixed), timeout_s=400)
        alone = _submit(http, "studies", {}, spirals)  # an old API and new workers
        old.until(lambda: _ended(http, alone), timeout_s=400)
        assert _job(http, alone)["state"] == _job(http, mixed)["state"] == "done"
    api.send_signal(signal.SIGTERM)
    api.wait(30)
    assert new.run("verify").returncode == 0
    assert new.json("channels", "--study", alone, "--top", 3)


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def _submit(http: httpx.Client, kind: str, spec: dict[str, Any], files: list[Path]) -> str:
    role = "pictures" if kind == "dreams" else "targets"
    given = [file.read_bytes() for file in files]
    hashes = [http.post("/v1/pictures", content=data).json()["sha256"] for data in given]
    spec = {"network": "specimens", "size": 64, **spec}
    answer = http.post(f"/v1/{kind}", json={"spec": spec, role: hashes})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def _job(http: httpx.Client, job: str) -> dict[str, Any]:
    row: dict[str, Any] = http.get(f"/v1/jobs/{job}").json()
    return row


def _ended(http: httpx.Client, job: str) -> bool:
    return _job(http, job)["state"] in ("done", "failed", "cancelled")

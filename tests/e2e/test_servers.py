"""Postgres and a Redis of its own in place of the embedded default, with `beholder worker`."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from beholder.private_redis import find_redis_server
from tests.e2e.conftest import free_port

pytestmark = pytest.mark.slow


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
def database_url(postgres_server: str, tmp_path: Path) -> str:
    name = f"e2e_{os.getpid()}_{tmp_path.name[-20:].lower()}"
    url = make_url(postgres_server)
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[arg-type]
    return url.set(drivername="postgresql", database=name).render_as_string(hide_password=False)


def test_the_main_job_on_servers(
    machine: Any, spirals: Path, others: Path, database_url: str, redis_url: str
) -> None:
    machine.env |= {"BEHOLDER_DATABASE_URL": database_url, "BEHOLDER_REDIS_URL": redis_url}
    assert "beholder db upgrade" in machine.run("jobs", code=2).stderr
    machine.run("db", "upgrade")
    dream = machine.json("submit", "--dir", spirals, "--layer", "12,28", "--steps", 3, "--size", 64)
    study = machine.json("study", "--dir", spirals, "--control", others)
    worker = machine.start("worker")
    machine.until(lambda: machine.job(dream["id"])["done"] >= 1)
    machine.kill(*machine.children(), *machine.parents())
    worker.wait(30)
    machine.start("worker")
    assert machine.ended(dream["id"])["done"] == 10
    assert machine.ended(study["id"])["done"] == 10
    waited = machine.json("submit", "--dir", spirals, "--steps", 1, "--size", 64, "--wait")
    assert waited["state"] == "done"
    assert len(machine.json("channels", "--layer", "conv5_1", "--top", 5)) == 5


def test_without_the_servers_each_command_is_one_line(
    machine: Any, spirals: Path, database_url: str
) -> None:
    nowhere = free_port()
    machine.env["BEHOLDER_REDIS_URL"] = f"redis://127.0.0.1:{nowhere}/0"
    said = machine.run("submit", "--dir", spirals, "--steps", 1)
    assert "Redis does not answer" in said.stderr
    assert "The job is kept" in said.stderr
    assert [job["queued"] for job in machine.json("jobs")] == [5]
    machine.env["BEHOLDER_DATABASE_URL"] = f"postgresql://user:secret@127.0.0.1:{nowhere}/beholder"
    refused = machine.run("jobs", code=2).stderr.strip()
    assert "127.0.0.1" in refused
    assert "secret" not in refused
    assert len(refused.splitlines()) == 1

"""Postgres, S3 and a Redis of its own in place of the embedded default, with `beholder worker`."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beholder.private_redis import find_redis_server
from tests.e2e.conftest import free_port
from tests.e2e.servers import Servers

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


def test_the_main_job_on_servers(
    machine: Any, spirals: Path, others: Path, servers: Servers, redis_url: str
) -> None:
    machine.env |= {"BEHOLDER_REDIS_URL": redis_url, **servers.settings(empty=True)}
    assert "beholder db upgrade" in machine.run("jobs", code=2).stderr
    machine.run("db", "upgrade")
    dream = machine.json("submit", "--dir", spirals, "--layer", "12,28", "--steps", 3, "--size", 64)
    study = machine.json("study", "--dir", spirals, "--control", others)
    worker = machine.start("worker")
    machine.reaches(dream["id"], 1)
    machine.kill(*machine.children(), *machine.parents())
    worker.wait(30)
    machine.start("worker")
    assert machine.ended(dream["id"])["done"] == 10
    assert machine.ended(study["id"])["done"] == 10
    waited = machine.json("submit", "--dir", spirals, "--steps", 1, "--size", 64, "--wait")
    assert waited["state"] == "done"
    assert len(machine.json("channels", "--layer", "conv5_1", "--top", 5)) == 5
    assert machine.json("verify")["total"] == 0
    assert not (machine.data / "store").exists()


def test_without_the_servers_each_command_is_one_line(machine: Any, spirals: Path) -> None:
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

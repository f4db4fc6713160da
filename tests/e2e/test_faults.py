"""What dies is made good: workers, their children, Redis; the database keeps every item."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


def results(machine: Any, job_id: str) -> list[Path]:
    folder = Path(machine.env["BEHOLDER_HOME"]) / "store" / "results" / job_id
    starts = "*-00000.png"  # of noise
    return sorted(path for path in folder.rglob("*.png") if not path.match(starts))


def test_killed_workers_lose_and_double_nothing(machine: Any) -> None:
    machine.start("up")
    machine.until(lambda: len(machine.pids("-m worker")) >= 2)
    row = machine.json("submit", "--noise", 96, "--steps", 12, "--size", 64, "--layer", "20")
    for kill in range(3):
        machine.until(lambda done=8 * (kill + 1): machine.job(row["id"])["done"] >= done)
        parent, *children = machine.pids("-m worker")
        os.kill(children[-1] if kill % 2 and children else parent, signal.SIGKILL)
        machine.until(lambda: len(machine.pids("-m worker")) >= 2)
    job = machine.ended(row["id"])
    assert (job["done"], job["failed"]) == (96, 0)
    assert len(results(machine, row["id"])) == 96


def test_redis_killed_and_emptied(machine: Any) -> None:
    import redis

    machine.start("up")
    machine.until(lambda: machine.pids("-m worker"))
    row = machine.json("submit", "--noise", 48, "--steps", 12, "--size", 64, "--layer", "20")
    machine.until(lambda: machine.job(row["id"])["done"] >= 8)
    socket = Path(machine.env["BEHOLDER_HOME"]) / "redis.sock"
    redis.Redis(unix_socket_path=str(socket)).flushall()
    machine.until(lambda: machine.job(row["id"])["done"] >= 24)
    os.kill(machine.pids("redis-server")[0], signal.SIGKILL)
    job = machine.ended(row["id"])
    assert (job["done"], job["failed"]) == (48, 0)
    assert len(results(machine, row["id"])) == 48


def test_the_service_killed_leaves_no_orphan_and_starts_again(machine: Any) -> None:
    up = machine.start("up")
    machine.until(lambda: machine.pids("-m worker"))
    row = machine.json("submit", "--noise", 24, "--steps", 12, "--size", 64, "--layer", "20")
    machine.until(lambda: machine.job(row["id"])["done"] >= 8)
    up.kill()
    machine.until(lambda: not machine.pids("-m worker") and not machine.pids("redis-server"))
    machine.start("up")
    assert machine.ended(row["id"])["done"] == 24


def test_a_stopped_worker_gives_its_chunk_back(machine: Any) -> None:
    up = machine.start("up")
    row = machine.json("submit", "--noise", 1, "--steps", 100_000, "--size", 64, "--layer", "20")
    machine.until(lambda: machine.job(row["id"])["state"] == "running")
    time.sleep(1)
    begun = time.monotonic()
    up.terminate()
    assert up.wait(30) == 0
    assert time.monotonic() - begun < 10
    shown = machine.job(row["id"])
    assert (shown["queued"], shown["failed"]) == (1, 0)


SLOW_IMPORT = """
import sys, time

class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            sys.meta_path.remove(self)
            time.sleep(6)

sys.meta_path.insert(0, Slow())
"""


def test_a_child_that_takes_its_time_to_start_is_left_to_it(machine: Any, tmp_path: Path) -> None:
    """Celery alone would kill every replacement that imports torch for longer than 4 s."""
    (tmp_path / "sitecustomize.py").write_text(SLOW_IMPORT)
    machine.env["PYTHONPATH"] = str(tmp_path)
    machine.start("up")
    machine.until(lambda: len(machine.pids("-m worker")) >= 2)
    row = machine.json("submit", "--noise", 2, "--steps", 2, "--size", 64, "--layer", "5")
    machine.until(lambda: machine.job(row["id"])["done"] == 2)
    os.kill(machine.pids("-m worker")[-1], signal.SIGKILL)
    again = machine.json("submit", "--noise", 2, "--steps", 2, "--size", 64, "--layer", "5")
    assert machine.ended(again["id"])["done"] == 2
    assert "Timed out waiting for UP" not in machine.logs()

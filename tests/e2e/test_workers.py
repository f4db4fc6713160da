"""Workers that stop in the middle of a long dream, or take their time to start."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


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
            time.sleep(4.5)

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

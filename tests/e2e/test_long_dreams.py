"""Long dreams on a real worker: killed or stopped midway they go on, cancelled they end."""

import hashlib
import os
import re
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from beholder.jobs.control import cancel
from beholder.jobs.database import Database

pytestmark = pytest.mark.slow
STEPS, ITEMS = 1_000, 3
SHAPE = ("--noise", ITEMS, "--size", 64, "--layer", 20, "--snapshots", "100,700")


@pytest.fixture(autouse=True)
def _often(machine: Any) -> None:
    machine.env["BEHOLDER_CHECKPOINT_S"] = "1"


def submit(machine: Any, *, steps: int = STEPS) -> str:
    row = machine.json("submit", *SHAPE, "--steps", steps, "--name", "long")
    job_id: str = row["id"]
    return job_id


def files(machine: Any, folder: str, job_id: str) -> list[Path]:
    store = Path(machine.env["BEHOLDER_HOME"]) / "store" / folder / job_id
    return sorted(path for path in store.rglob("*") if path.is_file())


def digests(machine: Any, job_id: str) -> dict[str, str]:
    """Every result file's hash by its name, which says item and step."""
    found = files(machine, "results", job_id)
    assert len(found) == ITEMS * 4  # a start, two snapshots, the last step
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def progress(machine: Any, job_id: str) -> float:
    """How far its first chunk is."""
    with closing(sqlite3.connect(Path(machine.env["BEHOLDER_HOME"]) / "beholder.db")) as connection:
        query = "SELECT max(progress) FROM chunks WHERE job_id = ? AND state = 'running'"
        return float(connection.execute(query, (job_id,)).fetchone()[0] or 0.0)


def gone_on(machine: Any, job_id: str) -> list[int]:
    """The steps that its items went on from."""
    log = (Path(machine.env["BEHOLDER_HOME"]) / "logs" / "worker.log").read_text()
    return [
        int(step) for step in re.findall(rf"job {job_id} item \d+: goes on from step (\d+)", log)
    ]


def test_a_killed_workers_dream_goes_on(machine: Any) -> None:
    machine.start("up")
    undisturbed = submit(machine)
    assert machine.ended(undisturbed)["done"] == ITEMS
    job_id = submit(machine)
    machine.until(lambda: len(files(machine, "checkpoints", job_id)) == ITEMS)
    machine.until(lambda: progress(machine, job_id) > 0.3)
    reached = progress(machine, job_id) * STEPS
    os.kill(machine.pids("-m worker")[-1], signal.SIGKILL)
    assert machine.ended(job_id)["done"] == ITEMS
    steps = gone_on(machine, job_id)
    assert len(steps) == ITEMS
    assert digests(machine, job_id) == digests(machine, undisturbed)
    assert not files(machine, "checkpoints", job_id)
    # Kept once a second; a second of a dream is far less than half of it.
    assert all(step > reached / 2 for step in steps)


def test_a_stopped_workers_dream_goes_on(machine: Any) -> None:
    machine.env["BEHOLDER_CHECKPOINT_S"] = "600"  # so that it is not kept but for being stopped
    up = machine.start("up")
    undisturbed = submit(machine)
    assert machine.ended(undisturbed)["done"] == ITEMS
    job_id = submit(machine)
    machine.until(lambda: progress(machine, job_id) > 0)
    time.sleep(2.5)
    up.terminate()
    assert up.wait(30) == 0
    assert len(files(machine, "checkpoints", job_id)) == ITEMS
    machine.start("up")
    assert machine.ended(job_id)["done"] == ITEMS
    assert len(gone_on(machine, job_id)) == ITEMS
    assert digests(machine, job_id) == digests(machine, undisturbed)
    assert not files(machine, "checkpoints", job_id)


def test_cancelling_ends_a_running_dream_and_ten_thousand_queued_ones(machine: Any) -> None:
    machine.start("up")
    running = submit(machine, steps=100_000)
    queued = machine.json(
        "submit",
        "--noise",
        10_000,
        "--size",
        64,
        "--layer",
        20,
        "--steps",
        100,
        "--priority",
        "low",
    )["id"]
    machine.until(lambda: files(machine, "checkpoints", running))
    db = Database.open(f"sqlite:///{machine.env['BEHOLDER_HOME']}/beholder.db")
    begun = time.monotonic()
    cancel(db, queued)
    assert time.monotonic() - begun < 1
    assert machine.job(queued)["cancelled"] == 10_000
    cancel(db, running)
    begun = time.monotonic()
    log = Path(machine.env["BEHOLDER_HOME"]) / "logs" / "worker.log"
    while f"job {running} chunk" not in log.read_text():
        assert time.monotonic() - begun < 2, "the dream went on"
        time.sleep(0.02)
    assert re.search(rf"job {running} chunk \d+: Cancelled", log.read_text())
    assert machine.job(running)["cancelled"] == ITEMS
    assert not files(machine, "results", running)
    machine.until(lambda: not files(machine, "checkpoints", running))
    db.dispose()

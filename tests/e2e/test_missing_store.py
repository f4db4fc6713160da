"""A database without its store, as half restored: work pauses, says why, and goes on by itself."""

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.servers import on_files

pytestmark = [pytest.mark.slow, on_files]


def test_work_waits_for_its_store(machine: Any, spirals: Path) -> None:
    store, away = machine.data / "store", machine.data / "away"
    service = machine.up()
    dream = ("submit", "--dir", spirals, "--steps", 2, "--size", 64, "--layer", 5)
    assert machine.ended(machine.json(*dream)["id"])["done"] == 5
    machine.until((store / "database").exists)
    service.send_signal(signal.SIGINT)
    service.wait(30)
    job_id = machine.json(*dream)["id"]
    store.rename(away)
    machine.up()
    reason = machine.until(lambda: machine.view(job_id).paused)
    assert reason.startswith(f"the store {store} is not there: mount or restore it")
    doctor = {check["name"]: check for check in machine.json("doctor", code=2)}
    assert (doctor["store"]["ok"], doctor["store"]["detail"]) == (False, reason)
    assert doctor["workers"]["detail"].endswith(f"paused: {reason}")
    assert not store.exists(), "what comes back would find something in its place"
    away.rename(store)
    job = machine.ended(job_id)
    assert (job["done"], job["failed"], job["paused"]) == (5, 0, None)

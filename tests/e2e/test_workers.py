"""Workers whose children take their time to start."""

import signal
from pathlib import Path
from typing import Any

import pytest

from beholder.jobs.workers import live_workers

pytestmark = pytest.mark.slow

# Every child that is made once the file is there takes longer than Celery, left to itself, would
# wait for it: 4 s, here 1 s.
SLOW = """
import os, sys, time

if sys.orig_argv[1:3] == ["-m", "worker"]:
    from celery.app.defaults import NAMESPACES

    NAMESPACES["worker"]["proc_alive_timeout"].default = 1.0
    os.register_at_fork(
        after_in_child=lambda: time.sleep(2.5 * os.path.exists(os.environ["SLOW"]))
    )
"""


def test_a_child_that_takes_its_time_to_start_is_left_to_it(machine: Any, tmp_path: Path) -> None:
    """Celery alone would kill every one that comes in a dead one's place."""
    (tmp_path / "sitecustomize.py").write_text(SLOW)
    machine.env |= {"PYTHONPATH": str(tmp_path), "SLOW": str(tmp_path / "slow")}
    machine.env["OMP_DISPLAY_ENV"] = "TRUE"
    machine.up()
    (parent,) = machine.parents()
    assert "libtorch" in Path(f"/proc/{parent}/maps").read_text(), "each child would import it"
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in machine.log(), "threads that wait would spin"
    assert machine.ended(machine.dreams(2, steps=2, layer=5))["done"] == 2
    (tmp_path / "slow").touch()
    machine.kill(*machine.children())
    assert machine.ended(machine.dreams(2, steps=2, layer=5))["done"] == 2
    assert "Timed out waiting for UP" not in machine.log()


def test_who_has_ended_is_not_called_alive(machine: Any) -> None:
    def workers() -> dict[str, Any]:
        checks = {check["name"]: check for check in machine.json("doctor", code=None)}
        found: dict[str, Any] = checks["workers"]
        return found

    def heard_of() -> set[str]:
        return {worker.name for worker in live_workers(machine.db, within_s=3600)}

    service = machine.up()
    machine.until(heard_of)
    assert workers()["ok"]
    service.send_signal(signal.SIGINT)
    service.wait(30)
    assert not heard_of(), "it did not sign off"
    service = machine.up()
    machine.until(heard_of)
    machine.kill(service.pid, *machine.parents(), *machine.children())
    dead = heard_of()
    assert len(dead) == 1
    assert "none heard of" in workers()["detail"]
    machine.up()
    machine.until(lambda: heard_of() - dead)  # which forgets the dead one soon
    found = workers()
    assert found["ok"]
    assert found["detail"].startswith("1 alive")

"""Long dreams on a real worker: killed or stopped midway they go on, cancelled they end."""

import re
import time
from typing import Any

import pytest

from beholder.jobs.control import cancel

pytestmark = pytest.mark.slow
STEPS, ITEMS = 150, 3


@pytest.fixture(autouse=True)
def _often(machine: Any) -> None:
    machine.env["BEHOLDER_CHECKPOINT_S"] = "0.2"


def submit(machine: Any, *, steps: int = STEPS) -> str:
    job_id: str = machine.dreams(ITEMS, steps=steps, layer=20, snapshots=(10, 120))
    return job_id


def files(machine: Any, folder: str, job_id: str) -> list[str]:
    """Those that are whole: what is still being written has a hidden name."""
    found: list[str] = machine.stored(f"{folder}/{job_id}")
    return [path for path in found if not path.rpartition("/")[2].startswith(".")]


def digests(machine: Any, job_id: str) -> dict[str, str]:
    """Every result file's hash by its name, which says item and step."""
    found = files(machine, "results", job_id)
    assert len(found) == ITEMS * 4  # a start, two snapshots, the last step
    return {path.rpartition("/")[2]: machine.store.digest(path)[0] for path in found}


def gone_on(machine: Any, job_id: str) -> list[int]:
    """The steps that its items went on from."""
    said = re.findall(rf"job {job_id} item \d+: goes on from step (\d+)", machine.log())
    return [int(step) for step in said]


def kept_once(machine: Any, job_id: str) -> None:
    """Wait until every item has a checkpoint; most of its steps are then still to come."""
    machine.until(lambda: len(files(machine, "checkpoints", job_id)) == ITEMS, every_s=0.02)


def test_a_killed_and_a_stopped_workers_dreams_go_on(machine: Any) -> None:
    up = machine.up()
    undisturbed = submit(machine)
    assert machine.ended(undisturbed)["done"] == ITEMS
    killed = submit(machine)
    (child,) = machine.children()
    kept_once(machine, killed)
    machine.kill(child)
    assert machine.ended(killed)["done"] == ITEMS
    stopped = submit(machine)
    kept_once(machine, stopped)
    up.terminate()
    assert up.wait(30) == 0
    assert machine.job(stopped)["done"] == 0
    assert len(files(machine, "checkpoints", stopped)) == ITEMS
    machine.up(wait=False)
    assert machine.ended(stopped)["done"] == ITEMS
    for job_id in (killed, stopped):
        assert len(gone_on(machine, job_id)) == ITEMS
        assert min(gone_on(machine, job_id)) > 0
        assert digests(machine, job_id) == digests(machine, undisturbed)
        assert not files(machine, "checkpoints", job_id)


def test_cancelling_ends_a_running_dream_and_ten_thousand_queued_ones(machine: Any) -> None:
    machine.up(wait=False)
    running = submit(machine, steps=100_000)
    queued = machine.dreams(10_000, steps=100, layer=20, priority="low")
    machine.until(lambda: files(machine, "checkpoints", running))
    begun = time.monotonic()
    cancel(machine.db, queued)
    assert time.monotonic() - begun < 1
    assert machine.job(queued)["cancelled"] == 10_000
    cancel(machine.db, running)
    begun = time.monotonic()
    while f"job {running} chunk" not in machine.log():
        assert time.monotonic() - begun < 2, "the dream went on"
        time.sleep(0.02)
    assert re.search(rf"job {running} chunk \d+: Cancelled", machine.log())
    assert machine.job(running)["cancelled"] == ITEMS
    assert not files(machine, "results", running)
    machine.until(lambda: not files(machine, "checkpoints", running))

"""Backups of a running batch, and what a killed worker leaves: real processes, real files."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from beholder.upkeep.backup import back_up
from tests.e2e.servers import on_files

pytestmark = [pytest.mark.slow, on_files]

SMALL = ("--size", 64, "--layer", 20, "--steps", 12)
STARTS = 80  # from noise: still at work after several copies
ALL = STARTS + 5


def copy_store(machine: Any, target: Path) -> None:
    """As docs/operations.md says: files that are being written have hidden names."""
    store = machine.data / "store"
    shutil.copytree(store, target / "store", ignore=shutil.ignore_patterns(".*"))


def copy_database(machine: Any, target: Path) -> None:
    target.mkdir(exist_ok=True)
    back_up(machine.database_url, target / "beholder.db")


def grown(machine: Any, job_id: str) -> None:
    """Wait until more of a job is done than now."""
    before = machine.view(job_id).done
    assert before < ALL, "it had ended before the next copy"
    machine.until(lambda: machine.view(job_id).done > before, every_s=0.02)


def finished(machine: Any, job_id: str) -> None:
    """Start the service, and wait until the job has ended well."""
    up = machine.up(wait=False)
    job = machine.ended(job_id)
    assert (job["done"], job["failed"]) == (ALL, 0)
    up.terminate()
    assert up.wait(30) == 0


def kinds(found: dict[str, Any]) -> set[str]:
    return {one["kind"] for one in found["findings"]}


def test_backups_of_a_running_batch_are_restored_and_go_on(
    machine: Any, spirals: Path, tmp_path: Path
) -> None:
    """The database first and then the store, as docs/operations.md says; and the other way."""
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    up = machine.up(wait=False)
    job_id = machine.json("submit", "--dir", spirals, "--noise", STARTS, *SMALL)["id"]
    machine.until(lambda: machine.view(job_id).done >= 16, every_s=0.02)
    copy_store(machine, wrong)
    grown(machine, job_id)
    copy_database(machine, right)
    shutil.copy(right / "beholder.db", wrong)
    grown(machine, job_id)
    copy_store(machine, right)
    up.terminate()
    assert up.wait(30) == 0

    machine.live_in(right)
    # The store may have more than the database knows, never less.
    assert kinds(machine.json("verify", code=None)) <= {"leftover"}
    machine.run("gc", "--yes")
    machine.run("verify")
    assert machine.job(job_id)["state"] == "running"
    finished(machine, job_id)
    assert machine.json("verify")["total"] == 0
    pictures = list((right / "store" / "results").rglob("*.png"))
    assert len(pictures) == ALL + STARTS  # those from noise have a start each

    machine.live_in(wrong)  # what it lacks is made again
    assert "file missing" in kinds(machine.json("verify", code=1))
    machine.run("verify", "--mend", code=None)
    finished(machine, job_id)
    machine.run("gc", "--yes")
    machine.run("verify")


def test_what_a_killed_worker_leaves_is_found_and_removed(machine: Any, spirals: Path) -> None:
    snapshots = ",".join(map(str, range(1, 40)))
    up = machine.up(wait=False)
    row = machine.json(
        "submit", "--dir", spirals, "--steps", 40, "--snapshots", snapshots, "--size", 64,
        "--layer", 20,
    )  # fmt: skip
    folder = machine.data / "store" / "results" / row["id"]
    # 200 files in one chunk: it is killed while it writes them.
    machine.until(lambda: any(folder.rglob("*.png")), every_s=0.01)
    machine.kill(*machine.children(), *machine.parents())
    machine.run("cancel", row["id"])
    assert machine.job(row["id"])["done"] == 0, "it had finished before it was killed"
    left = sorted(folder.rglob("*.png"))
    assert left
    found = machine.json("verify", code=1)
    assert kinds(found) == {"leftover"}
    assert machine.json("gc")["files"] >= len(left)
    assert sorted(folder.rglob("*.png")) == left
    machine.run("gc", "--yes")
    assert not list(folder.rglob("*"))
    machine.run("verify")
    machine.run("retry", row["id"])
    assert machine.ended(row["id"])["done"] == 5
    machine.run("verify")
    up.terminate()
    assert up.wait(30) == 0

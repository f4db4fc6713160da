"""Backups of a running batch, and what a killed worker leaves: real processes, real files."""

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SMALL = ("--size", 64, "--layer", 20, "--steps", 12)
STARTS = 360  # from noise: still at work after several commands
ALL = STARTS + 5


def home(machine: Any) -> Path:
    return Path(machine.env["BEHOLDER_HOME"])


def copy_store(machine: Any, target: Path) -> None:
    """As docs/operations.md says: files that are being written have hidden names."""
    store = home(machine) / "store"
    shutil.copytree(store, target / "store", ignore=shutil.ignore_patterns(".*"))


def copy_database(machine: Any, target: Path) -> None:
    target.mkdir(exist_ok=True)
    machine.run("db", "backup", target / "beholder.db")


def live_in(machine: Any, folder: Path) -> None:
    """From now on the machine's data are there."""
    machine.env["BEHOLDER_HOME"] = str(folder)


def at_work(machine: Any, spirals: Path) -> tuple[Any, str]:
    """A service with a batch of which some is done."""
    up = machine.start("up")
    row = machine.json("submit", "--dir", spirals, "--noise", STARTS, *SMALL)
    machine.until(lambda: machine.job(row["id"])["done"] >= 16)
    return up, row["id"]


def grown(machine: Any, job_id: str) -> None:
    """Wait until more of a job is done than now."""
    done = machine.job(job_id)["done"]
    assert done < ALL, "it had ended before the second copy"
    machine.until(lambda: machine.job(job_id)["done"] > done)


def kinds(found: dict[str, Any]) -> set[str]:
    return {one["kind"] for one in found["findings"]}


def test_a_backup_of_a_running_batch_is_restored_and_goes_on(
    machine: Any, spirals: Path, tmp_path: Path
) -> None:
    up, job_id = at_work(machine, spirals)
    backup = tmp_path / "backup"
    copy_database(machine, backup)
    grown(machine, job_id)
    copy_store(machine, backup)
    up.terminate()
    assert up.wait(30) == 0

    live_in(machine, backup)
    # The store may have more than the database knows, never less.
    assert kinds(machine.json("verify", code=None)) <= {"leftover"}
    machine.run("gc", "--yes")
    machine.run("verify")
    assert machine.job(job_id)["state"] == "running"
    machine.start("up")
    job = machine.ended(job_id)
    assert (job["done"], job["failed"]) == (ALL, 0)
    assert machine.json("verify")["total"] == 0
    pictures = list((backup / "store" / "results").rglob("*.png"))
    assert len(pictures) == ALL + STARTS  # those from noise have a start each


def test_a_store_copied_first_lacks_files_which_are_made_again(
    machine: Any, spirals: Path, tmp_path: Path
) -> None:
    up, job_id = at_work(machine, spirals)
    backup = tmp_path / "backup"
    copy_store(machine, backup)
    grown(machine, job_id)
    copy_database(machine, backup)
    up.terminate()
    assert up.wait(30) == 0

    live_in(machine, backup)
    assert "file missing" in kinds(machine.json("verify", code=1))
    machine.run("verify", "--mend", code=1)
    machine.start("up")
    job = machine.ended(job_id)
    assert (job["done"], job["failed"]) == (ALL, 0)
    machine.run("gc", "--yes")
    machine.run("verify")


def test_what_a_killed_worker_leaves_is_found_and_removed(machine: Any, spirals: Path) -> None:
    snapshots = ",".join(map(str, range(1, 40)))
    up = machine.start("up")
    row = machine.json(
        "submit", "--dir", spirals, "--steps", 40, "--snapshots", snapshots, "--size", 64,
        "--layer", 20,
    )  # fmt: skip
    folder = home(machine) / "store" / "results" / row["id"]
    # 200 files in one chunk: it is killed while it writes them.
    machine.until(lambda: any(folder.rglob("*.png")), every_s=0.01)
    for pid in reversed(machine.pids("-m worker")):
        os.kill(pid, signal.SIGKILL)
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

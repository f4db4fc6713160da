"""No room left, in the store or in the database: work pauses, says why, and goes on by itself."""

import errno
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
ITEMS = 40


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, of 48 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk takes root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, *, left: int = 0) -> Path:
    """Take all of the disk's room but `left` bytes; the file that does."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file:
        # In small pieces, since others write meanwhile.
        while (free := shutil.disk_usage(disk).free - left) > 0:
            try:
                file.write(bytes(min(free, 65_536)))
            except OSError as error:  # another was quicker
                if error.errno != errno.ENOSPC:
                    raise
    return ballast


def paused(machine: Any, job_id: str) -> str | None:
    """What is said of the job everywhere, if it is said."""
    row = machine.job(job_id)
    assert (row["failed"], row["error"]) == (0, None)
    said: str | None = row["paused"]
    return said


def whole(machine: Any, store: Path, job_id: str) -> None:
    """The job is done, and the store has its files and nothing besides."""
    job = machine.ended(job_id)
    assert (job["done"], job["failed"], job["paused"]) == (ITEMS, 0, None)
    files = sorted(path for path in (store / "results" / job_id).rglob("*") if path.is_file())
    dreams = [path for path in files if not path.match("*-00000.png")]
    assert len(dreams) == ITEMS
    assert len(files) == 2 * ITEMS  # each with its start, which was noise
    assert all(path.suffix == ".png" and path.stat().st_size for path in files)
    assert not [path for path in store.rglob(".*") if path.is_file()]


def attempts(database: Path, job_id: str) -> set[int]:
    with closing(sqlite3.connect(database)) as connection:
        query = "SELECT attempts FROM chunks WHERE job_id = ?"
        return {row[0] for row in connection.execute(query, (job_id,))}


def submit(machine: Any) -> str:
    row = machine.json(
        "submit", "--noise", ITEMS, "--steps", 12, "--size", 96, "--layer", 20, "--name", "full"
    )
    job_id: str = row["id"]
    return job_id


def test_a_full_store(machine: Any, disk: Path, spirals: Path) -> None:
    store = disk / "store"
    machine.env["BEHOLDER_STORE_URL"] = str(store)
    machine.start("up")
    machine.until(lambda: len(machine.pids("-m worker")) >= 2)
    ballast = fill(disk, left=200_000)
    job_id = submit(machine)
    reason = machine.until(lambda: paused(machine, job_id))
    assert reason == f"no room left in the store {store}: free some space."
    assert f"paused    {reason}" in machine.run("show", job_id).stdout
    assert f"paused: {reason}" in machine.run("jobs").stderr
    doctor = {check["name"]: check for check in machine.json("doctor", code=None)}
    assert doctor["workers"]["detail"].endswith(f"paused: {reason}")
    fill(disk)
    refused = machine.run("submit", "--dir", spirals, code=2)
    assert refused.stderr.strip().splitlines()[-1] == f"beholder: {reason}"
    ballast.unlink()
    whole(machine, store, job_id)
    assert attempts(Path(machine.env["BEHOLDER_HOME"]) / "beholder.db", job_id) == {1}


def test_a_full_database(machine: Any, disk: Path) -> None:
    database = disk / "beholder.db"
    machine.env["BEHOLDER_DATABASE_URL"] = f"sqlite:///{database}"
    machine.run("db", "upgrade")
    machine.start("up")
    machine.until(lambda: len(machine.pids("-m worker")) >= 2)
    job_id = submit(machine)
    machine.until(lambda: machine.job(job_id)["done"])
    ballast = fill(disk)
    reason = machine.until(lambda: paused(machine, job_id))
    assert reason == f"no room left for the database {database}: free some space."
    log = Path(machine.env["BEHOLDER_HOME"]) / "logs" / "worker.log"
    machine.until(lambda: f"paused: {reason}" in log.read_text())
    assert machine.job(job_id)["done"] < ITEMS
    assert f"paused: {reason}" in machine.run("jobs").stderr
    refused = machine.run("submit", "--noise", 2_000, "--size", 96, code=2)
    assert len(refused.stderr.strip().splitlines()) == 1
    assert "no room left for the database" in refused.stderr
    ballast.unlink()
    whole(machine, Path(machine.env["BEHOLDER_HOME"]) / "store", job_id)
    assert len(machine.json("jobs")) == 1
    assert attempts(database, job_id) == {1}
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)

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
from PIL import Image
from sqlalchemy import select

from beholder.jobs.models import File, Item
from beholder.upkeep.verify import verify
from tests.e2e.servers import on_files

pytestmark = [pytest.mark.slow, on_files]
ITEMS = 40
SIZE = "size=48m"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, of 48 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", SIZE, "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk takes root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def disk_elsewhere(tmp_path: Path) -> Iterator[Path]:
    """The same in another process's name space, which takes no root.

    Not for SQLite, which follows the links of its path by itself.
    """
    folder = tmp_path / "disk"
    folder.mkdir()
    script = f'mount -t tmpfs -o {SIZE} tmpfs "$0" && echo mounted && exec sleep 600'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as mounted:
        assert mounted.stdout
        if mounted.stdout.readline() != "mounted\n":
            pytest.skip("no user may mount a disk here")
        yield Path(f"/proc/{mounted.pid}/root{folder}")
        mounted.kill()


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
    job = machine.view(job_id)
    assert (job.failed, job.error) == (0, None)
    said: str | None = job.paused
    return said


def nothing_half_written(machine: Any, store: Path, job_id: str) -> None:
    """What anybody sees of the job now is whole: each picture, and each row's file."""
    with machine.db.read() as session:
        of_job = select(File.path, File.bytes).join(Item).where(Item.job_id == job_id)
        rows = dict(session.execute(of_job).all())
    visible = [path for path in (store / "results").rglob("[!.]*") if path.is_file()]
    assert visible, "it filled up before anything was written"
    for path in visible:
        with Image.open(path) as image:
            image.load()
    sizes = {str(path.relative_to(store)): path.stat().st_size for path in visible}
    assert rows.items() <= sizes.items()


def whole(machine: Any, store: Path, job_id: str) -> None:
    """The job is done, and the store has its files, as they were written, and nothing besides."""
    job = machine.ended(job_id)
    assert (job["done"], job["failed"], job["paused"]) == (ITEMS, 0, None)
    files = sorted(path for path in (store / "results" / job_id).rglob("*") if path.is_file())
    dreams = [path for path in files if not path.match("*-00000.png")]
    assert len(dreams) == ITEMS
    assert len(files) == 2 * ITEMS  # each with its start, which was noise
    assert all(path.suffix == ".png" and path.stat().st_size for path in files)
    assert not [path for path in store.rglob(".*") if path.is_file()]
    assert [finding.line() for finding in verify(machine.db, machine.store)] == []


def asked(database: Path, query: str, job_id: str) -> set[int]:
    """The first column of what a query about a job gives."""
    with closing(sqlite3.connect(database)) as connection:
        return {row[0] for row in connection.execute(query, (job_id,))}


def attempts(database: Path, job_id: str) -> set[int]:
    return asked(database, "SELECT attempts FROM chunks WHERE job_id = ?", job_id)


def test_a_full_store(machine: Any, disk_elsewhere: Path, spirals: Path) -> None:
    disk = disk_elsewhere
    store = disk / "store"
    machine.env["BEHOLDER_STORE_URL"] = str(store)
    machine.up()
    ballast = fill(disk, left=600_000)  # for a chunk or two
    job_id = machine.dreams(ITEMS, steps=12, layer=20)
    reason = machine.until(lambda: paused(machine, job_id))
    assert reason == f"no room left in the store {store}: free some space."
    assert f"paused    {reason}" in machine.run("show", job_id).stdout
    assert f"paused: {reason}" in machine.run("jobs").stderr
    doctor = {check["name"]: check for check in machine.json("doctor", code=None)}
    assert doctor["workers"]["detail"].endswith(f"paused: {reason}")
    nothing_half_written(machine, store, job_id)
    fill(disk)
    refused = machine.run("submit", "--dir", spirals, code=2)
    assert refused.stderr.strip().splitlines()[-1] == f"beholder: {reason}"
    ballast.unlink()
    whole(machine, store, job_id)
    assert attempts(machine.data / "beholder.db", job_id) == {1}


def test_a_full_database(machine: Any, disk: Path) -> None:
    database = disk / "beholder.db"
    machine.env["BEHOLDER_DATABASE_URL"] = f"sqlite:///{database}"
    machine.run("db", "upgrade")
    machine.up()
    job_id = machine.dreams(ITEMS, steps=20, layer=20)
    begun = "SELECT id FROM jobs WHERE id = ? AND done > 0"
    machine.until(lambda: asked(database, begun, job_id), every_s=0.02)
    ballast = fill(disk)  # while most of it is still to be done
    reason = machine.until(lambda: paused(machine, job_id))
    assert reason == f"no room left for the database {database}: free some space."
    machine.until(lambda: f"paused: {reason}" in machine.log())
    assert machine.job(job_id)["done"] < ITEMS
    nothing_half_written(machine, machine.data / "store", job_id)
    assert f"paused: {reason}" in machine.run("jobs").stderr
    refused = machine.run("submit", "--noise", 2_000, "--size", 96, code=2)
    assert len(refused.stderr.strip().splitlines()) == 1
    assert "no room left for the database" in refused.stderr
    ballast.unlink()
    whole(machine, machine.data / "store", job_id)
    assert len(machine.json("jobs")) == 1
    assert attempts(database, job_id) == {1}
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)

"""A worker's lock says that it lives until its process ends, and of other machines nothing."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from beholder.alive import Alive, Locks, worker_name

HOST = socket.gethostname()
HOLD = """
import sys, time
from pathlib import Path
from beholder.alive import Alive
alive = Alive(Path(sys.argv[1]), sys.argv[2])
print("held", flush=True)
time.sleep(60)
"""


def test_a_lock_lasts_as_long_as_its_process(tmp_path: Path) -> None:
    me, you = f"{HOST}-7-0123ab", f"{HOST}-7-0123ac"
    mine = Alive(tmp_path, me)
    command = [sys.executable, "-c", HOLD, str(tmp_path), you]
    other = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert other.stdout is not None
    assert other.stdout.readline() == b"held\n"
    assert not mine.is_dead(me)
    assert not mine.is_dead(you)
    os.kill(other.pid, signal.SIGKILL)
    other.wait(10)
    other.stdout.close()
    assert mine.is_dead(you)
    assert Locks(tmp_path).is_dead(you), "who holds no lock may ask too"
    assert mine.ended() == [you]
    mine.forget(mine.ended())
    assert not mine.is_dead(you)  # unknown now


def test_of_other_machines_and_of_none_it_says_nothing(tmp_path: Path) -> None:
    others = ("elsewhere-17-0123ab", f"{HOST}-2-17-0123ab", f"{HOST}-17")
    (tmp_path / "workers").mkdir()
    for name in others:
        (tmp_path / "workers" / name).touch()
    alive = Alive(tmp_path, worker_name())
    for name in (*others, worker_name(), f"../{HOST}-17-0123ab"):
        assert not alive.is_dead(name)
    assert alive.ended() == []
    assert not Locks(tmp_path / "nowhere").is_dead(worker_name())
    (tmp_path / "file").touch()
    assert not Alive(tmp_path / "file", "name").is_dead("name")


def test_what_containers_of_other_names_left_goes_after_a_day(tmp_path: Path) -> None:
    left, held, young, ours = "a1b2-7-0123ab", "c3d4-7-0123ab", "e5f6-7-0123ab", f"{HOST}-7-0123ab"
    kept = Alive(tmp_path, held)  # of a machine that shares the folder
    for name in (left, young, ours):
        (tmp_path / "workers" / name).touch()
    for name in (left, held, ours):
        os.utime(tmp_path / "workers" / name, (1_000, 1_000))
    mine = Alive(tmp_path, worker_name())
    assert {path.name for path in (tmp_path / "workers").iterdir()} > {held, young, ours}
    assert not (tmp_path / "workers" / left).exists()
    assert mine.ended() == [ours]  # which a sweep removes, once its work goes on elsewhere
    del kept


def test_two_of_one_host_name_and_process_id_are_two(tmp_path: Path) -> None:
    """As containers may be that share a data folder."""
    first, second = worker_name(), worker_name()
    assert first.rpartition("-")[0] == second.rpartition("-")[0]
    ends, lives = Alive(tmp_path, first), Alive(tmp_path, second)
    del ends
    assert lives.ended() == [first]
    assert not lives.is_dead(second)


def test_a_lock_is_held_before_others_can_see_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, seen = Alive(tmp_path, worker_name()), []
    flock = fcntl.flock

    def slow(file: Any, how: int) -> None:
        if how & fcntl.LOCK_EX:
            seen.append(mine.ended())
        flock(file, how)

    monkeypatch.setattr("beholder.alive.fcntl.flock", slow)
    Alive(tmp_path, worker_name())
    assert seen == [[]]


def test_a_worker_that_goes_round_is_not_silent(tmp_path: Path) -> None:
    name = f"{HOST}-7-0123ab"
    assert Locks(tmp_path).silence(0) is None
    alive = Alive(tmp_path, name)
    os.utime(tmp_path / "workers" / name, (1_000, 1_000))
    assert Locks(tmp_path).silence(1_060) == 60
    alive.say_so()
    silent = Locks(tmp_path).silence(time.time())
    assert silent is not None
    assert silent < 30
    elsewhere = "other-7-0123ab"
    (tmp_path / "workers" / elsewhere).touch()
    os.utime(tmp_path / "workers" / name, (1_000, 1_000))
    assert Locks(tmp_path).silence(1_060) == 60  # another machine's worker says nothing of ours


@pytest.mark.slow
@pytest.mark.parametrize(("ago_s", "code"), [(None, 1), (5, 0), (1_000, 1)])
def test_the_health_check(tmp_path: Path, ago_s: float | None, code: int) -> None:
    kept = None
    if ago_s is not None:
        name = worker_name()
        kept = Alive(tmp_path, name)
        then = time.time() - ago_s
        os.utime(tmp_path / "workers" / name, (then, then))
    ended = subprocess.run(
        [sys.executable, "-m", "worker.health"],
        env={**os.environ, "BEHOLDER_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    del kept
    assert ended.returncode == code, ended.stderr
    assert len(ended.stderr.splitlines()) == code

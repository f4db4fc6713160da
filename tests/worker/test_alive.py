"""A worker's lock says that it lives until its process ends, and of other machines nothing."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from worker.alive import Alive

HOLD = """
import sys, time
from pathlib import Path
from worker.alive import Alive
alive = Alive(Path(sys.argv[1]), sys.argv[2])
print("held", flush=True)
time.sleep(60)
"""


def test_a_lock_lasts_as_long_as_its_process(tmp_path: Path) -> None:
    host = socket.gethostname()
    mine = Alive(tmp_path / "workers", f"{host}-me")
    command = [sys.executable, "-c", HOLD, str(tmp_path / "workers"), f"{host}-other"]
    other = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert other.stdout is not None
    assert other.stdout.readline() == b"held\n"
    assert not mine.is_dead(f"{host}-me")
    assert not mine.is_dead(f"{host}-other")
    os.kill(other.pid, signal.SIGKILL)
    other.wait(10)
    other.stdout.close()
    assert mine.is_dead(f"{host}-other")
    assert mine.ended() == [f"{host}-other"]
    mine.forget(mine.ended())
    assert not mine.is_dead(f"{host}-other")  # unknown now


def test_of_other_machines_and_of_none_it_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "elsewhere-17").touch()
    alive = Alive(tmp_path, f"{socket.gethostname()}-me")
    assert not alive.is_dead("elsewhere-17")
    assert not alive.is_dead(f"{socket.gethostname()}-99")
    (tmp_path / "file").touch()
    assert not Alive(tmp_path / "file", "name").is_dead("name")

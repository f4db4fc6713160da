import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from beholder.private_redis import answers, redis_program, wait_until_ready
from beholder.processes import Program, Supervisor


def wait(condition: Callable[[], object], *, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def sleeper(tmp_path: Path, code: str = "import time; time.sleep(60)") -> Program:
    return Program(
        "sleeper", (sys.executable, "-c", code), tmp_path / "log", dict(os.environ), grace_s=1
    )


@pytest.mark.slow
def test_what_dies_is_started_again_and_stop_ends_it(tmp_path: Path) -> None:
    events: list[str] = []
    with Supervisor([sleeper(tmp_path)], on_event=events.append) as supervisor:
        wait(supervisor.pids)
        first = supervisor.pids()["sleeper"]
        os.kill(first, signal.SIGKILL)
        wait(lambda: supervisor.pids().get("sleeper", first) != first)
        second = supervisor.pids()["sleeper"]
    assert not alive(second)
    assert supervisor.pids() == {}
    assert "sleeper ended (SIGKILL)" in events[0]


@pytest.mark.slow
def test_one_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print('deaf', flush=True); time.sleep(60)"
    )
    with Supervisor([sleeper(tmp_path, deaf)]) as supervisor:
        wait(lambda: (tmp_path / "log").exists() and (tmp_path / "log").read_text())
        pid = supervisor.pids()["sleeper"]
    assert not alive(pid)


@pytest.mark.slow
def test_a_killed_supervisor_leaves_no_orphan(tmp_path: Path) -> None:
    code = f"""
import os, sys, time
from pathlib import Path
from beholder.processes import Program, Supervisor
child = Program("child", (sys.executable, "-c", "import time; time.sleep(60)"),
                Path({str(tmp_path / "log")!r}), dict(os.environ))
with Supervisor([child]) as supervisor:
    while not supervisor.pids():
        time.sleep(0.02)
    print(supervisor.pids()["child"], flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        child = int(supervisor.stdout.readline())
        supervisor.kill()
    wait(lambda: not alive(child))


@pytest.mark.slow
def test_one_that_cannot_start_is_tried_again(tmp_path: Path) -> None:
    events: list[str] = []
    (tmp_path / "file").write_text("")
    program = Program("child", ("sleep", "60"), tmp_path / "file" / "log", dict(os.environ))
    with Supervisor([program], on_event=events.append) as supervisor:
        wait(lambda: events)
        (tmp_path / "file").unlink()
        wait(supervisor.pids)
    assert "child can't start" in events[0]


@pytest.mark.slow
def test_the_private_redis(tmp_path: Path) -> None:
    socket = tmp_path / "redis.sock"
    program = redis_program(socket, tmp_path / "redis", log=tmp_path / "log", env=dict(os.environ))
    assert not answers(socket)
    with Supervisor([program]):
        wait_until_ready(socket)
        assert socket.stat().st_mode & 0o777 == 0o600
        assert answers(socket)
    assert not answers(socket)

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from beholder.errors import ServiceUnavailable
from beholder.private_redis import answers, redis_program, wait_until_free, wait_until_ready
from beholder.processes import FIRST_DELAY_S, Program, Supervisor


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
def test_all_are_stopped_at_once(tmp_path: Path) -> None:
    """Four that take a second each, and one that takes more than it is given."""
    slow = (
        "import signal, sys, time; "
        "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(float(sys.argv[1])), sys.exit())); "
        "open(sys.argv[2], 'w').close(); time.sleep(60)"
    )
    programs = [
        Program(
            f"slow-{number}",
            (sys.executable, "-c", slow, "60" if number == 4 else "1", str(tmp_path / str(number))),
            tmp_path / "log",
            dict(os.environ),
            grace_s=1.5,
        )
        for number in range(5)
    ]
    supervisor = Supervisor(programs)
    with supervisor:
        wait(lambda: all((tmp_path / str(number)).exists() for number in range(5)))
        pids = supervisor.pids().values()
        begun = time.monotonic()
    assert 1 <= time.monotonic() - begun < 4  # one after the other: 5.5
    assert len(pids) == 5
    assert not any(map(alive, pids))


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
def test_what_starts_as_its_supervisor_dies_ends_at_once(tmp_path: Path) -> None:
    code = f"""
import os, signal, sys, time
from pathlib import Path
from beholder import processes

class Late:
    def prctl(self, *arguments):
        parent = os.getppid()
        os.kill(parent, signal.SIGKILL)
        while os.getppid() == parent:
            time.sleep(0.01)
        Path({str(tmp_path / "pid")!r}).write_text(f"{{os.getpid()}}\\n")
        libc.prctl(*arguments)

libc, processes._LIBC = processes._LIBC, Late()
child = processes.Program("child", ("sleep", "60"), Path({str(tmp_path / "log")!r}), {{}})
with processes.Supervisor([child]):
    time.sleep(60)
"""
    subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    file = tmp_path / "pid"
    wait(lambda: file.exists() and file.read_text().endswith("\n"))
    wait(lambda: not alive(int(file.read_text())))


@pytest.mark.slow
def test_programs_go_on_when_nobody_is_left_to_be_told(tmp_path: Path) -> None:
    """As `beholder up 2>&1 | tee log` does when tee is gone."""
    code = f"""
import os, signal, sys, time
from pathlib import Path
from beholder.processes import Program, Supervisor
from cli.output import say

ones = [Program(name, ("sleep", "60"), Path({str(tmp_path / "log")!r}), dict(os.environ))
        for name in "ab"]
sys.stdin.readline()  # until nobody reads standard error
with Supervisor(ones, on_event=say) as supervisor:
    while len(supervisor.pids()) < 2:
        time.sleep(0.02)
    first = supervisor.pids()
    os.kill(first["a"], signal.SIGKILL)
    time.sleep({2 * FIRST_DELAY_S + 1})
    now = supervisor.pids()
    print(now.get("b") == first["b"], now.get("a", first["a"]) != first["a"])
"""
    started = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with started as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stderr.close()
        process.stdin.write("go\n")
        process.stdin.flush()
        assert process.stdout.read().split() == ["True", "True"]


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


@pytest.mark.slow
def test_a_redis_that_takes_its_time_to_end_is_waited_for(tmp_path: Path) -> None:
    """It unlinks its socket's path at last, whosever that is by then."""
    socket = tmp_path / "redis.sock"
    program = redis_program(socket, tmp_path / "redis", log=tmp_path / "log", env=dict(os.environ))
    with subprocess.Popen(program.command, stdout=subprocess.DEVNULL) as old:
        wait_until_ready(socket)
        os.kill(old.pid, signal.SIGSTOP)
        old.terminate()
        try:
            with pytest.raises(ServiceUnavailable, match="an earlier Redis still runs"):
                wait_until_free(socket, timeout_s=0.2)
        finally:
            threading.Timer(0.5, os.kill, (old.pid, signal.SIGCONT)).start()
        wait_until_free(socket)
        with Supervisor([program]):
            wait_until_ready(socket)
            old.wait(10)
            assert answers(socket)


@pytest.mark.slow
def test_a_damaged_append_only_file_is_set_aside(tmp_path: Path) -> None:
    socket, folder, events = tmp_path / "redis.sock", tmp_path / "redis", list[str]()
    program = redis_program(socket, folder, log=tmp_path / "log", env=dict(os.environ))
    with Supervisor([program]):
        wait_until_ready(socket)
        client = redis.Redis(unix_socket_path=str(socket))
        for number in range(200):
            client.lpush("bells", number)
        client.close()
    file = max(folder.rglob("appendonly*"), key=lambda path: path.stat().st_size)
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(64)
    file.write_bytes(data)
    with Supervisor([program], on_event=events.append):
        wait_until_ready(socket)
    assert f"what it kept is now in {folder / 'damaged'}" in events[0]
    assert (folder / "damaged" / file.relative_to(folder)).read_bytes() == data

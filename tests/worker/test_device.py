"""The process that looks for a device ends with whoever asked."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc"),
]


def children_of(pid: int) -> list[int]:
    try:
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except OSError:
        return []


def still(pids: list[int]) -> list[int]:
    """Those that run: one that has ended may have no parent that looks."""
    found = []
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z":
            found.append(pid)
    return found


def test_nothing_is_left_of_a_worker_that_is_killed_while_it_looks_for_its_device() -> None:
    asks = "from worker.device import find_class; find_class('cuda:7')"
    with subprocess.Popen([sys.executable, "-c", asks], stderr=subprocess.DEVNULL) as asking:
        deadline = time.monotonic() + 60
        while len(left := children_of(asking.pid)) < 2:  # the tracker of resources, and it
            assert time.monotonic() < deadline
            time.sleep(0.01)
        asking.kill()
    deadline = time.monotonic() + 20
    while still(left):
        assert time.monotonic() < deadline, "it was left behind"
        time.sleep(0.1)

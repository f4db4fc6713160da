"""Freed memory goes back to the system where it is asked for."""

import subprocess
import sys

import pytest

CODE = """
import psutil
from beholder.heap import give_back
held = lambda: psutil.Process().memory_info().rss
blocks = [bytes(100_000) for _ in range(600)]
del blocks[1:-1]  # what lies above keeps the rest from going by itself
before = held()
give_back()
print(before - held())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="of glibc's heap")
def test_what_was_freed_below_what_is_in_use_is_given_back():
    alone = {"MALLOC_MMAP_THRESHOLD_": str(1 << 25)}
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=alone, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) > 30 << 20

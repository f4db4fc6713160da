"""Why messages are only bells here: what late acknowledgement, a visibility timeout and no AOF do.

The figures are those of docs/decisions.md; they have no goal.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from benchmarks.harness import Row
from tests.faults.test_servers import without_aof

pytestmark = [pytest.mark.slow, pytest.mark.faults]
__all__ = ["without_aof"]
TASK_S = 22
MESSAGES = 100


@pytest.fixture
def log(without_aof: str, tmp_path: Path) -> Iterator[Path]:
    """What a Celery worker with four processes writes."""
    log = tmp_path / "log"
    log.touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "tests.faults.celery_alone", "worker", "-c", "4"],
        env={**os.environ, "ALONE_BROKER": without_aof, "ALONE_LOG": str(log)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield log
    process.kill()  # as a group it would end too; its children end with their pipe
    process.wait(10)


def test_celery_alone_repeats_and_loses(without_aof: str, log: Path, figures: Any) -> None:
    app = Celery(broker=without_aof)
    app.send_task("note", ("long", TASK_S))
    _wait(lambda: "long" in log.read_text(), 30)
    time.sleep(TASK_S + 2)
    runs = log.read_text().split().count("long")
    time.sleep(TASK_S)  # for the repetitions to end
    for number in range(MESSAGES):
        app.send_task("note", (f"short-{number}", 0.2))
    _wait(lambda: log.read_text().count("short") >= MESSAGES // 4, 30)
    client = redis.Redis(unix_socket_path=without_aof.removeprefix("redis+socket://"))
    os.kill(client.info("server")["process_id"], 9)
    time.sleep(20)
    begun = {line for line in log.read_text().split() if line.startswith("short")}
    lost = MESSAGES - len(begun)
    fault = "Celery alone, for comparison"
    how = f"a task of {TASK_S} s, visibility timeout 5 s"
    figures(fault, Row("times one message ran", runs, detail=how))
    how = f"of {MESSAGES}, when Redis without AOF was killed"
    figures(fault, Row("messages lost", lost, detail=how))
    assert runs > 1
    assert lost > 0


def _wait(condition: Any, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.2)

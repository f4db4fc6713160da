"""Why messages are only bells here: what late acknowledgement, a visibility timeout and no AOF do.

The figures are those of docs/decisions.md; they have no goal.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from benchmarks.harness import Row
from tests.faults.test_servers import without_aof

pytestmark = [pytest.mark.slow, pytest.mark.faults]
__all__ = ["without_aof"]
TASK_S = 12
MESSAGES = 100


@pytest.fixture
def start(without_aof: str, tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Starts a Celery worker with two processes, which write `tmp_path / "log"`."""
    log = tmp_path / "log"
    log.touch()
    started: list[subprocess.Popen[bytes]] = []

    def one() -> None:
        name = f"alone-{len(started)}@%h"
        command = [sys.executable, "-m", "celery", "-A", "tests.faults.celery_alone", "worker"]
        environment = {**os.environ, "ALONE_BROKER": without_aof, "ALONE_LOG": str(log)}
        process = subprocess.Popen(
            [*command, "-c", "2", "-n", name],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        started.append(process)

    yield one
    for process in started:
        process.terminate()
    for process in started:
        process.wait(60)


def test_celery_alone_repeats_and_loses(
    without_aof: str, start: Callable[[], None], tmp_path: Path, figures: Any
) -> None:
    log = tmp_path / "log"
    app = Celery(broker=without_aof)
    app.send_task("note", ("long", TASK_S))
    start()
    _wait(lambda: "long" in log.read_text(), 30)
    for _ in range(2):  # more join while it runs
        time.sleep(TASK_S / 3)
        start()
    time.sleep(TASK_S / 2)
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
    how = f"late acknowledgement, a task of {TASK_S} s, visibility timeout 5 s, workers that join"
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

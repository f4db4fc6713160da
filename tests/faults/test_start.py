"""What must not start, and what starts again: wrong databases, and `beholder up` after kill -9."""

import os
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest
from sqlalchemy import text

from beholder.private_redis import answers
from benchmarks.harness import Row
from tests.faults.bed import Bed

pytestmark = pytest.mark.slow
full = pytest.mark.faults
SLOW_S = 2.5  # longer than the next service takes to begin
WAY_OUT = {"0003": "`beholder db upgrade`", "9999": "install that version"}


def test_a_database_behind_or_ahead_of_the_code_is_refused(bed: Bed) -> None:
    bed.run("db", "upgrade")
    behind, ahead = WAY_OUT
    _set_revision(bed, behind)
    for command in ("worker", "api", "up", "jobs"):
        assert WAY_OUT[behind] in bed.run(command, code=2).stderr
    for module in ("worker", "api"):
        _refuses(bed, module, WAY_OUT[behind])
    _set_revision(bed, ahead)  # `worker` and `api` start the modules below
    for command in ("up", "jobs"):
        assert WAY_OUT[ahead] in bed.run(command, code=2).stderr
    for module in ("worker", "api"):
        _refuses(bed, module, WAY_OUT[ahead])


def _set_revision(bed: Bed, revision: str) -> None:
    with bed.db.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": revision})


def _refuses(bed: Bed, module: str, way_out: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", module],
        env=bed.env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert way_out in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("kills", [1, pytest.param(5, marks=full)])
def test_up_is_killed_and_started_again(bed: Bed, figures: Any, kills: int) -> None:
    count = 48 * kills
    process = bed.up(page=True)
    job = bed.dreams(count, steps=20)
    for kill in range(kills):
        bed.reaches(job, count * (kill + 0.3) / kills)
        (redis,) = bed.pids("redis-server")
        at_once = kill % 2 == 0  # while what it left is still ending, Redis last of all
        if at_once:
            os.kill(redis, signal.SIGSTOP)
            threading.Timer(SLOW_S, os.kill, (redis, signal.SIGCONT)).start()
        process.kill()
        process.wait(10)
        if not at_once:
            bed.until(lambda: not _programs(bed), timeout_s=15)
        process = bed.up(page=True)
        bed.until(lambda old=redis: old not in bed.pids("redis-server"), timeout_s=15)
        bed.until(lambda: answers(bed.settings.redis_socket), timeout_s=15)
    bed.end_of(job)
    programs = _programs(bed)
    orphans = len(programs) - len(set(programs))
    findings = bed.findings(job)
    fault = "`beholder up` killed and started again"
    figures(fault, Row("orphans", orphans, "", 0, "lower", f"{kills} times"))
    figures(fault, Row("lost or doubled", len(findings), "", 0, "lower"))
    assert sorted(programs) == ["-m api", "-m worker", "redis-server"]
    assert findings == []
    process.terminate()
    process.wait(30)
    assert not bed.settings.redis_socket.exists()
    assert _programs(bed) == []


def _programs(bed: Bed) -> list[str]:
    """What `up` has started and still runs, by name."""
    found = [(name, pid) for name in ("redis-server", "-m api") for pid in bed.pids(name)]
    return [name for name, _ in found] + ["-m worker" for _ in bed.parents()]

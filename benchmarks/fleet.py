"""A thousand workers and a billion items: what the database would have to do, and where it ends.

Measured: the CPU time, of Postgres and of the client, of the real claims, renewals, ends,
heartbeats and sweeps of `WORKERS` simulated workers, which do no arithmetic, one after the other,
in batches of 64 items, which are 8 chunks each, on one job of 360,000 items, or with `--full` of
900,000, where 32,000 chunks are held. CPU time, since a machine's load changes it least. Reckoned
from it: how many cores the workers would keep busy, and how many batches a second one job allows,
whose row each claim and each end locks.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import event, text, update

from beholder.jobs.claim import Claim
from beholder.jobs.claims import claim_next, renew_all
from beholder.jobs.database import Database
from beholder.jobs.finish import finish_dreams
from beholder.jobs.models import Job, utc_now
from beholder.jobs.silence import Silence
from beholder.jobs.sweep import sweep
from beholder.jobs.turns import waiting
from beholder.jobs.watch import WATCHERS, Watch
from beholder.jobs.workers import WorkerView, beat
from benchmarks.databases import CHUNK, Server, Size, fill, postgres
from benchmarks.harness import Options, Row, run
from benchmarks.scale import dreamt

WORKERS = 1_000
BATCH = 64  # items
IN_HAND = 4  # batches that a worker holds
# Taken for granted: a GPU's batch, the way to the server and back, and its flush at a commit.
BATCH_S, WAY_MS, FLUSH_MS = 4.0, 0.3, 1.0
BEAT_S, RENEWAL_S = 3.0, 1.5
SMALL, FULL = 360_000, 900_000  # items
BATCHES, LOOKS = 200, 20
LEASE_S, LOOK_S = 15.0, 6.0
_TICKS = 100  # of /proc, a second


@dataclass
class Cost:
    """Of one act, in CPU milliseconds; statements: that it asks one after the other."""

    server_ms: float
    client_ms: float
    statements: float


@dataclass
class Meter:
    """Measures acts on a database."""

    database: Database
    statements: int = 0
    costs: dict[str, Cost] = field(default_factory=dict)

    def __post_init__(self) -> None:
        event.listen(self.database.engine, "after_cursor_execute", self._note)
        with self.database.read() as session:
            backend = int(session.scalar(text("SELECT pg_backend_pid()")) or 0)
        self._server = int(_stat(backend)[1])  # which started the backend, and all others

    @contextmanager
    def measuring(self, name: str, times: int) -> Iterator[None]:
        """Around an act that is done so many times."""
        server, client, asked = self._server_s(), time.process_time(), self.statements
        yield
        self.costs[name] = Cost(
            1000 * (self._server_s() - server) / times,
            1000 * (time.process_time() - client) / times,
            (self.statements - asked) / times,
        )

    def _note(self, *_: Any) -> None:
        self.statements += 1

    def _server_s(self) -> float:
        """CPU seconds of the server's processes."""
        pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
        stats = [_stat(pid) for pid in pids]
        mine = [stat for stat in stats if stat and int(stat[1]) == self._server]
        return sum(int(stat[11]) + int(stat[12]) for stat in mine) / _TICKS


def figures(items: int, batches: int = BATCHES, server: Server = postgres) -> Iterator[Row]:
    """What was measured, then what is reckoned from it."""
    with server() as url:
        fill(url, Size(items=items, judged=60, jobs=100, studies=1))
        database = Database.open(url)
        _hold_many(database)
        _register(database)
        meter = Meter(database)
        _work(meter, batches)
        _watch(meter)
        database.dispose()
    how = f"{WORKERS:,} workers, {_held():,} chunks held, a job of {items:,} items"
    for name, cost in meter.costs.items():
        detail = f"and {cost.client_ms:.1f} of the client; {cost.statements:.0f} statements; {how}"
        yield Row(f"measured: {name}", cost.server_ms, "ms of Postgres", detail=detail)
    yield from _reckoned(meter.costs)


def _work(meter: Meter, batches: int) -> None:
    db, numbers = meter.database, count()
    held: list[tuple[Claim, ...]] = []
    with meter.measuring("claim", batches):
        for _ in range(batches):
            worker = f"host-{next(numbers) % WORKERS:04}"
            held.append(claim_next(db, worker=worker, lease_s=LEASE_S, room=BATCH))
    if not all(len(claims) == BATCH // CHUNK for claims in held):
        raise SystemExit("too few items are left for whole batches")
    with meter.measuring("renewal", batches):
        for claims in held:
            renew_all(db, claims, lease_s=LEASE_S)
    with meter.measuring("end", batches):
        for claims in held:
            finish_dreams(db, [(claim, dreamt(claim)) for claim in claims])


def _watch(meter: Meter) -> None:
    db = meter.database
    silence, name = Silence(LEASE_S, LOOK_S), _name(WORKERS // 2)
    sweeps, tidies = (Watch(name, LEASE_S, LOOK_S, watchers=some) for some in (WATCHERS, 1))
    with meter.measuring("heartbeat", LOOKS):
        for number in range(LOOKS):
            beat(db, _view(name))
            sweeps.is_mine(db, float(number))
            tidies.is_mine(db, float(number))
    with meter.measuring("sweep", LOOKS):
        for _ in range(LOOKS):
            sweep(db, silence, now=0.0)
            waiting(db, limit=32)


def _hold_many(database: Database) -> None:
    """As many chunks as a thousand workers hold are running, and the others may share batches."""
    held = text(
        "UPDATE chunks SET state = 'running', worker = 'w' || id % :workers, token = 'held', "
        "lease_until = id WHERE id IN "
        "(SELECT id FROM chunks WHERE state = 'queued' ORDER BY id DESC LIMIT :held)"
    )
    with database.write() as session:
        session.execute(update(Job).values(batch_key=Job.id))
        session.execute(held, {"workers": WORKERS, "held": _held()})


def _held() -> int:
    """Chunks of all batches in hand."""
    return WORKERS * IN_HAND * BATCH // CHUNK


def _register(database: Database) -> None:
    for number in range(WORKERS):
        beat(database, _view(_name(number)))


def _name(number: int) -> str:
    return f"host-{number:04}"


def _view(name: str) -> WorkerView:
    now = utc_now()
    return WorkerView(name, "host", 1, "cuda", now, now, None, 0, 0.0, None)


def _reckoned(costs: dict[str, Cost]) -> Iterator[Row]:
    """Cores of Postgres that a thousand workers keep busy, and what one job's row allows."""
    batches = WORKERS / BATCH_S
    a_second = {
        "claim": batches,
        "end": batches,
        "renewal": WORKERS * IN_HAND / RENEWAL_S,
        "heartbeat": WORKERS / BEAT_S,
        "sweep": WATCHERS / BEAT_S,
    }
    for name, rate in a_second.items():
        cores = rate * costs[name].server_ms / 1000
        yield Row(f"reckoned: {name}s", cores, "cores", detail=f"{rate:,.0f} a second")
    if_all = WORKERS / BEAT_S * costs["sweep"].server_ms / 1000
    yield Row("reckoned: sweeps, if every worker swept", if_all, "cores", detail="as before")
    locked_ms = sum(_locked_ms(costs[name]) for name in ("claim", "end"))
    detail = (
        f"{WAY_MS:g} ms to the server and back, {FLUSH_MS:g} ms a commit; wanted {batches:,.0f}"
    )
    yield Row("reckoned: batches of one job", 1000 / locked_ms, "a second", detail=detail)


def _locked_ms(cost: Cost) -> float:
    """For how long a claim or an end locks its job's row."""
    return cost.server_ms + cost.client_ms + cost.statements * WAY_MS + FLUSH_MS


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the program's name: state, parent, ...; [] if it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def main() -> None:
    """`python -m benchmarks.fleet [--full] [--json FILE]`."""
    full = "--full" in sys.argv
    if full:
        sys.argv.remove("--full")

    def rows_of(options: Options) -> Iterator[Row]:
        return figures(FULL if full else SMALL)

    run("fleet", rows_of, about=main.__doc__ or "", seconds=10.0)


if __name__ == "__main__":
    main()

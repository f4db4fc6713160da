"""What one item costs beside its arithmetic: statements, rows, bytes, store requests, messages.

Counted, not timed, on a real Postgres and over S3 (moto's server), with a real worker's runner:
dreams of 64 pixels, whose counts are those of any size (a picture's bytes are not). Reckoned from
that: what the workers of `benchmarks.fleet` and a billion items ask for.
"""

import logging
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import event, text

from beholder.jobs.claims import claim_next, renew_all
from beholder.jobs.database import Database
from beholder.jobs.models import utc_now
from beholder.jobs.schema import upgrade
from beholder.jobs.silence import Silence
from beholder.jobs.submit import create_job, noise_entries
from beholder.jobs.sweep import sweep
from beholder.jobs.turns import waiting
from beholder.jobs.watch import Watch
from beholder.jobs.workers import WorkerView, beat
from beholder.settings import Settings
from beholder.specs import DreamSpec
from beholder.store import Store
from benchmarks.databases import Server, postgres
from benchmarks.fleet import BATCH, BATCH_S, WORKERS
from benchmarks.harness import Options, Row, run
from worker.queue import MOST_BELLS
from worker.runner import Runner
from worker.tidying import Tidier

ITEMS = 128
MANY = 1_000_000_000  # items
PICTURE_BYTES = 100_000  # of 224 pixels, about
_WRITTEN = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables"


@dataclass
class Counted:
    """What was asked since the last `take()`."""

    statements: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)

    def take(self) -> "Counted":
        """What it is, and begin anew."""
        taken = Counted(self.statements, self.requests)
        self.statements, self.requests = Counter(), Counter()
        return taken


def figures(items: int = ITEMS, server: Server = postgres) -> Iterator[Row]:
    """The rows."""
    with _places(server) as (database, store, settings, counted):
        rows = [
            *_of_a_job(database, store, settings, counted, items),
            *_of_a_worker(database, store, settings, counted),
            _connections(database, store, settings, items),
        ]
        yield from rows
        costs = {row.name: float(row.value or 0) for row in rows}
        pool: Any = database.engine.pool
        most = pool.size() + pool._max_overflow
        yield from reckoned(costs, kept=_kept(database), api=most)


def _of_a_job(
    database: Database, store: Store, settings: Settings, counted: Counted, items: int
) -> Iterator[Row]:
    before, rows = _bytes(database), _written(database)
    spec = DreamSpec(network="specimens", size=64, layers=(5,), steps=1, noise=items)
    counted.take()
    job = create_job(database, spec, noise_entries(spec))
    submitted = counted.take()
    rung: list[int] = []
    runner = Runner(
        database, store, settings, "costs", ring=lambda count, device: rung.append(count)
    )
    runner.run()
    ran = counted.take()
    how = f"a dream job of {items} items in {job.chunks} chunks"
    yield Row("statements to submit", submitted.statements.total() / items, "an item", detail=how)
    yield Row("statements to run", ran.statements.total() / items, "an item", detail=_top(ran))
    written = (_written(database) - rows) / items
    yield Row("rows written", written, "an item", detail="inserted, changed or removed")
    grown = (_bytes(database) - before) / items
    yield Row("database", grown, "bytes an item", detail="tables and indexes, before any vacuum")
    asked = ", ".join(f"{n / items:.2f} {name}" for name, n in ran.requests.most_common())
    yield Row("store requests", ran.requests.total() / items, "an item", detail=asked)
    bells = min(MOST_BELLS, job.chunks) + sum(rung)
    yield Row("messages", bells / items, "an item", detail=f"at most {MOST_BELLS} bells a job")


def _of_a_worker(
    database: Database, store: Store, settings: Settings, counted: Counted
) -> Iterator[Row]:
    """What it asks all the time, however little it does."""
    spec = DreamSpec(network="specimens", size=64, layers=(5,), steps=1, noise=8)
    create_job(database, spec, noise_entries(spec))
    counted.take()
    (held,) = claim_next(database, worker="costs", lease_s=15)
    claimed = counted.take()
    yield Row("statements to claim", claimed.statements.total(), "a batch", detail=_top(claimed))
    renew_all(database, [held], lease_s=15)
    yield Row("statements to renew", counted.take().statements.total(), "each 1.5 s and batch")
    now, watch = utc_now(), Watch("costs", 15, 6)
    tidier = Tidier(database, store, settings, "tidier", threading.Event())  # not the first
    for _ in range(2):  # the first one makes its row
        counted.take()
        beat(database, WorkerView("costs", "host", 1, "cpu", now, now, None, 0, 0.0, None))
        watch.is_mine(database, 0.0)
        tidier.step()
    yield Row("statements of a heartbeat", counted.take().statements.total(), "each 3 s")
    sweep(database, Silence(15, 6), now=0.0)
    waiting(database, limit=MOST_BELLS)
    yield Row("statements of a sweep", counted.take().statements.total(), "each 3 s, of 8 workers")


def _connections(database: Database, store: Store, settings: Settings, items: int) -> Row:
    """Those that a worker's threads keep open: they claim, end, renew, sweep, and tidy up."""
    spec = DreamSpec(network="specimens", size=64, layers=(5,), steps=1, noise=items)
    create_job(database, spec, noise_entries(spec))
    over = threading.Event()
    tidier = Tidier(database, store, settings, "tidier", over)

    def forever(act: Callable[[], object]) -> None:
        while not over.is_set():
            act()

    with ThreadPoolExecutor(2) as others:
        acts = (lambda: sweep(database, Silence(15, 6), now=0.0), tidier.step)
        beside = [others.submit(forever, act) for act in acts]
        try:
            Runner(database, store, settings, "connections").run()
        finally:
            over.set()
    for one in beside:
        one.result()
    pool: Any = database.engine.pool
    open_ones = pool.checkedin() + pool.checkedout()
    how = "for claims, ends, renewals, sweeps and tidying; less where no two of them met"
    return Row("database connections", open_ones, "a worker", detail=how)


def reckoned(costs: Mapping[str, float], *, kept: int, api: int) -> Iterator[Row]:
    """What many workers and many items come to, and how many workers connections carry.

    costs: what was measured, by its rows' names. kept, api: connections that Postgres keeps for its
    administrators, and the most that one API opens.
    """
    rate = WORKERS * BATCH / BATCH_S
    how = f"{WORKERS:,} workers, {rate:,.0f} items a second"
    stored = costs["store requests"]
    yield Row("reckoned: PUTs", stored * rate, "a second", detail=how)
    yield Row("reckoned: rows", costs["rows written"] * rate, "a second", detail=how)
    how = f"{MANY:,} items"
    yield Row("reckoned: PUTs in all", stored * MANY, detail=how)
    yield Row("reckoned: database in all", costs["database"] * MANY / 1e12, "TB", detail=how)
    size = f"{how}, {PICTURE_BYTES // 1000} KB a picture"
    yield Row("reckoned: store in all", stored * MANY * PICTURE_BYTES / 1e12, "TB", detail=size)
    how = f"less {kept} that Postgres keeps and {api} of one API"
    for most in (100, 400):
        carried = (most - kept - api) // costs["database connections"]
        yield Row(f"reckoned: workers on {most} connections", carried, detail=how)


def _kept(database: Database) -> int:
    with database.read() as session:
        return int(session.scalar(text("SHOW superuser_reserved_connections")) or 0)


@contextmanager
def _places(server: Server) -> Iterator[tuple[Database, Store, Settings, Counted]]:
    with tempfile.TemporaryDirectory(prefix="beholder-costs-") as folder, server() as url:
        upgrade(url)
        database, counted = Database.open(url), Counted()

        def note(
            connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
        ) -> None:
            counted.statements[statement.split(maxsplit=1)[0].upper()] += 1

        event.listen(database.engine, "after_cursor_execute", note)
        with _bucket(counted) as bucket:
            settings = Settings(home=Path(folder), device="cpu", store_url=bucket)
            try:
                yield database, Store.open(bucket), settings, counted
            finally:
                database.dispose()


@contextmanager
def _bucket(counted: Counted) -> Iterator[str]:
    """A bucket on a server of our own, whose requests are counted."""
    import s3fs  # type: ignore[import-untyped]
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel("ERROR")  # else a line for each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    ask = s3fs.S3FileSystem._call_s3

    async def noted(self: Any, method: str, *arguments: Any, **options: Any) -> Any:
        counted.requests[method] += 1
        return await ask(self, method, *arguments, **options)

    access = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }
    before = {name: os.environ.get(name) for name in access}
    os.environ.update(access)
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem._call_s3 = noted
    try:
        s3fs.S3FileSystem().mkdir("costs")
        yield "s3://costs/store"
    finally:
        s3fs.S3FileSystem._call_s3 = ask
        s3fs.S3FileSystem.clear_instance_cache()
        server.stop()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _written(database: Database) -> int:
    """Rows that were written so far. A connection tells of its own when it ends."""
    database.dispose()
    time.sleep(0.5)
    with database.read() as session:
        return int(session.scalar(text(_WRITTEN)) or 0)


def _bytes(database: Database) -> int:
    with database.read() as session:
        return int(session.scalar(text("SELECT pg_database_size(current_database())")) or 0)


def _top(counted: Counted) -> str:
    return ", ".join(f"{count} {word}" for word, count in counted.statements.most_common(4))


def main() -> None:
    """`python -m benchmarks.costs [--json FILE]`."""

    def rows_of(options: Options) -> Iterator[Row]:
        return figures()

    run("costs", rows_of, about=main.__doc__ or "", seconds=10.0)


if __name__ == "__main__":
    main()

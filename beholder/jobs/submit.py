"""Submitting: `create_job(database, spec, entries)`. The entries may be read as they come.

They are spooled to a temporary file first, so that memory stays constant and the database is not
locked while pictures are read; one transaction then writes the whole job.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, func, insert, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from beholder.errors import NoPictures
from beholder.jobs.chunking import Ranges, chunk_size_of, insert_chunks
from beholder.jobs.database import Database
from beholder.jobs.hooks import Hook, add_hook
from beholder.jobs.models import Chunk, Item, Job, Picture
from beholder.jobs.repeats import Repeatable, earlier_job, fingerprint, remember
from beholder.jobs.sharing import batch_key
from beholder.jobs.spool import Entry, Spool, StoredPicture
from beholder.jobs.turns import latest_turn
from beholder.priorities import DEFAULT_PRIORITY, Priority
from beholder.specs import DreamSpec, JobKind, Spec

__all__ = ["CreatedJob", "Entry", "StoredPicture", "create_job", "noise_entries"]

_BATCH = 1_000  # rows handed to the database at a time
_ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: no i, l, o or u to misread
_ID_LENGTH = 10
_LONGEST_NAME = 200
_SUBMIT_LOCK = 0x6265686E  # any number that nothing else on the server locks

_Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class CreatedJob:
    """failed: items whose picture could not be read.

    repeated: the job was made before, by the same request.
    """

    id: str
    total: int
    failed: int
    chunks: int
    repeated: bool = False


def noise_entries(spec: DreamSpec) -> Iterator[Entry]:
    """The starts from noise that a dream asks for, to be added to its pictures."""
    for number in range(spec.noise):
        seed = spec.seed + number
        yield Entry(source=f"noise-{seed}", picture=None, seed=seed)


def create_job(
    database: Database,
    spec: Spec,
    entries: Iterable[Entry],
    *,
    name: str = "",
    priority: Priority = DEFAULT_PRIORITY,
    chunk_size: int | None = None,
    request: Repeatable | None = None,
    hook: Hook | None = None,
) -> CreatedJob:
    """Write a job with its items and chunks: all of it, or nothing if `entries` raises.

    A study's entries without a role are targets. request: if it made a job before, that job is
    the answer, and nothing is written. hook: told when the job ends. Raises NoPictures if there
    is nothing to run, and InvalidInput if the request's key was used for something else.
    """
    kind: JobKind = "dream" if isinstance(spec, DreamSpec) else "study"
    with Spool() as spool:
        for entry in entries:
            spool.add(entry, role=None if kind == "dream" else entry.role or "target")
        _insist_on_work(spool, kind)
        job = _new_job(kind, spec, spool, name, chunk_size)
        job.priority = priority
        asked = {
            "kind": kind,
            "spec": job.spec,
            "name": name,
            "priority": priority,
            "hook": hook and vars(hook),
        }
        content = fingerprint(asked, spool) if request else ""
        with database.write() as session:
            _lock_submissions(session)
            if request and (earlier := earlier_job(session, request, content)):
                return _again(session, earlier)
            chunks = _write(session, job, spec, spool)
            if request:
                remember(session, request, content, job.id)
            if hook:
                add_hook(session, job.id, hook)
        return CreatedJob(job.id, job.total, job.failed, chunks)


def _new_job(kind: JobKind, spec: Spec, spool: Spool, name: str, chunk_size: int | None) -> Job:
    passes = len(spec.layers) if isinstance(spec, DreamSpec) else 1
    return Job(
        id="".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH)),
        kind=kind,
        state="queued",
        name=" ".join(name.split())[:_LONGEST_NAME],
        spec=spec.model_dump(mode="json"),
        network=spec.network,
        stage="dream" if kind == "dream" else "measure",
        chunk_size=chunk_size or chunk_size_of(spec),
        batch_key=batch_key(spec),
        total=spool.total * passes,
        queued=(spool.total - spool.failed) * passes,
        failed=spool.failed * passes,
    )


def _again(session: Session, job: Job) -> CreatedJob:
    chunks = session.scalar(select(func.count()).where(Chunk.job_id == job.id)) or 0
    return CreatedJob(job.id, job.total, job.failed, chunks, repeated=True)


def _insist_on_work(spool: Spool, kind: str) -> None:
    wanted = "picture" if kind == "dream" else "target picture"
    total, usable, reason = spool.of("dream" if kind == "dream" else "target")
    if total == 0:
        raise NoPictures(f"no {wanted}s: name a picture file, or a folder that holds some.")
    if usable == 0:
        raise NoPictures(f"none of the {total} {wanted}s can be used: {reason}")


def _write(session: Session, job: Job, spec: Spec, spool: Spool) -> int:
    """Everything of a job, in the transaction of `session`. How many chunks it has."""
    job.turn = latest_turn(session) - 1  # before the job that was served last
    session.add(job)
    session.flush()
    in_batches(_picture_rows(spool), lambda rows: insert_pictures(session, rows))
    ranges = Ranges(job.chunk_size)

    def write_items(rows: _Rows) -> None:
        session.execute(insert(table_of(Item)), rows)
        insert_chunks(session, job, ranges.closed())

    in_batches(_item_rows(job.id, spec, spool, ranges), write_items)
    insert_chunks(session, job, ranges.finish())
    return ranges.count


def _lock_submissions(session: Session) -> None:
    """One submission writes at a time, on every database (SQLite has one writer anyway).

    Two that insert the same new pictures in different orders would deadlock, and two with the
    same key would each find it unused.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"SELECT pg_advisory_xact_lock({_SUBMIT_LOCK})"))


def _picture_rows(spool: Spool) -> Iterator[dict[str, Any]]:
    for entry in spool:
        if entry.picture:
            yield vars(entry.picture)


def insert_pictures(session: Session, rows: _Rows) -> None:
    """Note pictures, leaving those that are known as they are."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table_of(Picture)).on_conflict_do_nothing()
    session.execute(statement, rows)


def _item_rows(job_id: str, spec: Spec, spool: Spool, ranges: Ranges) -> Iterator[dict[str, Any]]:
    """Items in the order of their positions; `ranges` hears of each that is to be run."""
    for position, (layer, entry) in enumerate(_ordered(spec, spool)):
        if not entry.error:
            ranges.add(position, layer)
        yield {
            "job_id": job_id,
            "position": position,
            "picture_sha256": entry.picture.sha256 if entry.picture else None,
            "source": entry.source,
            "role": entry.role,
            "group": entry.group,
            "layer": layer,
            "seed": entry.seed,
            "state": "failed" if entry.error else "queued",
            "error": entry.error,
        }


def _ordered(spec: Spec, spool: Spool) -> Iterator[tuple[int | None, Entry]]:
    """A dream layer by layer; a study's targets, then its controls."""
    if isinstance(spec, DreamSpec):
        for layer in spec.layers:
            yield from ((layer, entry) for entry in spool)
    else:
        for role in ("target", "control"):
            yield from ((None, entry) for entry in spool if entry.role == role)


def in_batches(rows: Iterable[dict[str, Any]], write: Callable[[_Rows], object]) -> None:
    """Hand `rows` to `write`, a bounded number at a time."""
    batch: _Rows = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH:
            write(batch)
            batch = []
    if batch:
        write(batch)


def table_of(model: type[Any]) -> Table:
    """A model's table, for statements that go around the ORM because they are many."""
    table = model.__table__
    assert isinstance(table, Table)
    return table

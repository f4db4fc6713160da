"""Jobs on their way into the database: `write_job`, in short transactions.

A million items take half a minute to write, for which one transaction would keep every other
writer of SQLite waiting. So a job is written in many, and nobody looks at it before the last has
made it whole: until then its state is INCOMING, and it counts as finished for those who look for
work. Its `finished_at` changes as its rows come. Where it does not for long, by the clock of
whoever looks, the submitter is taken for dead: the job is given up, by a time before all others,
and what is there is removed (`beholder.jobs.removal`).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.orm import Session

from beholder.errors import BeholderError, ServiceUnavailable
from beholder.jobs.bulk import UNSYNCED, Rows, insert_pictures, table_of
from beholder.jobs.chunking import Range, insert_chunks
from beholder.jobs.database import Database
from beholder.jobs.models import INCOMING, Chunk, Item, Job, utc_now
from beholder.jobs.removal import ABANDONED_S, GIVEN_UP
from beholder.jobs.turns import latest_turn

_PATIENCE_S = (0.0, 0.5, 1.0, 2.0, 4.0)  # between questions to a database that did not answer
_SUBMIT_LOCK = 0x6265686E  # any number that nothing else on the server locks


@dataclass
class Batch:
    """What one transaction writes: pictures, items that may refer to them, and their chunks."""

    pictures: Rows = field(default_factory=list)
    items: Rows = field(default_factory=list)
    chunks: list[Range] = field(default_factory=list)
    last: bool = False


class Written(NamedTuple):
    """The job that there is in the end, and how many chunks it has."""

    job: Job
    chunks: int


def write_job(
    database: Database,
    job: Job,
    batches: Iterator[Batch],
    *,
    earlier: Callable[[Session], Job | None],
    seal: Callable[[Session], None],
) -> Written:
    """Write a job so that it appears whole or not at all.

    earlier: the job that stands for this one, if there is one; asked in every transaction, since
    the same request may be on its way twice. seal: called in the last.
    """
    begun = last = False
    chunks = 0
    try:
        for batch in batches:  # made ready before the lock is taken
            last = batch.last
            chunks += len(batch.chunks)
            with database.write(lasting=last) as session:
                lock_submissions(session)
                instead = earlier(session)
                if instead is None:
                    _touch(session, job, begun)
                    _write(session, job, batch)
                    if last:
                        _seal(session, job)
                        seal(session)
                else:
                    chunks = _chunks(session, instead)
            if instead:
                _abandon(database, job)
                return Written(instead, chunks)
            begun = True
    except BaseException as error:
        if last and isinstance(error, ServiceUnavailable) and _is_whole(database, job):
            return Written(job, chunks)
        _abandon(database, job)
        raise
    return Written(job, chunks)


def lock_submissions(session: Session) -> None:
    """One submission writes at a time, on every database (SQLite has one writer anyway).

    Two that insert the same new pictures in different orders would deadlock, and two with the
    same key would each find it unused.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"SELECT pg_advisory_xact_lock({_SUBMIT_LOCK})"))


def _touch(session: Session, job: Job, begun: bool) -> None:
    """Note that the job is still being written; the first time, that it is."""
    if not begun:
        job.state, job.finished_at = INCOMING, utc_now()
        session.add(job)
        session.flush()
    elif not _change(session, job, finished_at=utc_now()):
        raise ServiceUnavailable(
            f"writing the job rested for over {ABANDONED_S // 60:.0f} minutes, and what "
            "was there of it was removed: submit it again."
        )


def _write(session: Session, job: Job, batch: Batch) -> None:
    if batch.pictures:
        insert_pictures(session, batch.pictures)
    if batch.items:
        session.execute(insert(table_of(Item)), batch.items)
    insert_chunks(session, job, batch.chunks)


def _seal(session: Session, job: Job) -> None:
    """Show the job: as of now, and before the job that was served last."""
    turn = latest_turn(session) - 1
    _change(session, job, state="queued", finished_at=None, created_at=utc_now(), turn=turn)


def _change(session: Session, job: Job, **values: object) -> bool:
    """Whether the job was there to be changed, and not given up."""
    written = (Job.id == job.id, Job.state == INCOMING, Job.finished_at > GIVEN_UP)
    statement = update(Job).where(*written).values(**values)
    changed = session.execute(statement.returning(Job.id), execution_options=UNSYNCED)
    return changed.first() is not None


def _chunks(session: Session, job: Job) -> int:
    of_job = select(func.count()).select_from(Chunk).where(Chunk.job_id == job.id)
    return session.scalar(of_job) or 0


def _is_whole(database: Database, job: Job) -> bool:
    """Whether the job's last transaction was committed, and only the answer was lost.

    Raises ServiceUnavailable where that can't be told.
    """
    for pause_s in _PATIENCE_S:
        time.sleep(pause_s)
        with suppress(ServiceUnavailable), database.read() as session:
            lock_submissions(session)  # which it still has if it is being committed now
            return session.scalar(select(Job.state).where(Job.id == job.id)) not in (None, INCOMING)
    raise ServiceUnavailable(
        f"the database {database} does not answer, and may have taken job {job.id}: look for it "
        "with `beholder jobs`, and submit it again only if it is not there."
    ) from None


def _abandon(database: Database, job: Job) -> None:
    """Leave what has been written to be removed; where even that fails, time will tell."""
    with suppress(BeholderError), database.write() as session:
        _change(session, job, finished_at=GIVEN_UP)

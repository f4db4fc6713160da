"""Jobs on their way into the database, and the end of those that their submitters abandoned.

A million items take half a minute to write, for which one transaction would keep every other
writer of SQLite waiting. So a job is written in many, and nobody looks at it before the last has
made it whole: until then its state is INCOMING, and it counts as finished for those who look for
work. Its `finished_at` changes as its rows come. Where it does not for long, by the clock of
whoever looks, the submitter is taken for dead: the job is given up, by a time before all others,
and what is there is removed.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, delete, func, insert, select, text, update
from sqlalchemy.orm import Session

from beholder.errors import BeholderError, ServiceUnavailable
from beholder.jobs.bulk import Rows, insert_pictures, table_of
from beholder.jobs.chunking import Range, insert_chunks
from beholder.jobs.database import Database
from beholder.jobs.models import INCOMING, Chunk, Item, Job, utc_now
from beholder.jobs.rows import lock_job
from beholder.jobs.silence import Submission, Unchanged
from beholder.jobs.turns import latest_turn

ABANDONED_S = 600.0  # far longer than a writer may have to wait for its turn
_GIVEN_UP = datetime(1970, 1, 1, tzinfo=UTC)  # from then on nothing more is written of the job
_REMOVED_TOGETHER = 2_000  # rows; removing one costs about as much as writing one
_REMOVALS = 10  # such transactions at a time, so that those who sweep get on with the rest
_PATIENCE_S = (0.0, 0.5, 1.0, 2.0, 4.0)  # between questions to a database that did not answer
_SUBMIT_LOCK = 0x6265686E  # any number that nothing else on the server locks
_QUIET = {"synchronize_session": False}


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
            with database.write() as session:
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


def give_up_abandoned(database: Database, submissions: Unchanged[Submission], now: float) -> None:
    """Give up what nobody has written of for long, as far as this process has seen.

    now: as `submissions` takes it.
    """
    written = select(Job.id, Job.finished_at).where(_incoming(), Job.finished_at > _GIVEN_UP)
    with database.read() as session:
        found = [Submission(*row) for row in session.execute(written)]
    for one, silent_s in submissions.look(found, now).items():
        if silent_s >= ABANDONED_S:
            with database.write() as session:
                _give_up(session, one)


def remove_given_up(database: Database) -> None:
    """Remove some of what is there of jobs that were given up; the rest when called again."""
    given_up = select(Job.id).where(_incoming(), Job.finished_at <= _GIVEN_UP).limit(1)
    for _ in range(_REMOVALS):
        with database.read() as session:
            job_id = session.scalar(given_up)
        if job_id is None:
            return
        with database.write() as session:
            if lock_job(session, job_id) is None:
                continue
            if not any(_remove_some(session, model, job_id) for model in (Item, Chunk)):
                session.execute(delete(Job).where(Job.id == job_id), execution_options=_QUIET)


def lock_submissions(session: Session) -> None:
    """One submission writes at a time, on every database (SQLite has one writer anyway).

    Two that insert the same new pictures in different orders would deadlock, and two with the
    same key would each find it unused.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"SELECT pg_advisory_xact_lock({_SUBMIT_LOCK})"))


def _incoming() -> ColumnElement[bool]:
    return Job.state == INCOMING


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
    written = (Job.id == job.id, _incoming(), Job.finished_at > _GIVEN_UP)
    statement = update(Job).where(*written).values(**values)
    changed = session.execute(statement.returning(Job.id), execution_options=_QUIET)
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
        _change(session, job, finished_at=_GIVEN_UP)


def _give_up(session: Session, submission: Submission) -> None:
    """If it is still as it was seen, nobody writes of it from now on.

    Removing takes many transactions, and a submitter that only slept may wake between two.
    """
    as_seen = (Job.id == submission.job_id, Job.finished_at == submission.written_at)
    statement = update(Job).where(_incoming(), *as_seen).values(finished_at=_GIVEN_UP)
    session.execute(statement, execution_options=_QUIET)


def _remove_some(session: Session, model: type[Item] | type[Chunk], job_id: str) -> bool:
    """Remove a bounded number of rows; whether there were any."""
    some = select(model.id).where(model.job_id == job_id).limit(_REMOVED_TOGETHER)
    statement = delete(model).where(model.id.in_(some))
    removed = session.execute(statement.returning(model.id), execution_options=_QUIET)
    return len(removed.all()) > 0

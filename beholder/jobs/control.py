"""What people do to a job: `cancel` it, `retry` what failed, `delete` it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session

from beholder.errors import Conflict, NotFound
from beholder.jobs.clock import ago
from beholder.jobs.database import Database
from beholder.jobs.models import FINISHED, INCOMING, Job
from beholder.jobs.removal import hide, remove_rows
from beholder.jobs.reopen import Part, begin, can_reopen, reopen_part
from beholder.jobs.rows import cancel_everything, lock_job, settle
from beholder.jobs.views import JobView


@dataclass(frozen=True)
class Retried:
    """items: how many run again, in how many chunks."""

    items: int
    chunks: int


def cancel(database: Database, job_id: str) -> None:
    """End a job now. Workers that are at it hear of it when they renew their lease.

    Costs the same for any number of items: past some, their rows are left to the sweep.
    Raises NotFound, or Conflict when the job has already finished.
    """
    with database.write() as session:
        job = _job(session, job_id)
        if job.state in FINISHED:
            raise Conflict(f"job {job_id} is already {job.state}: there is nothing to cancel.")
        cancel_everything(session, job)


def retry(database: Database, job_id: str) -> Retried:
    """Run again what failed or was cancelled; what is done stays, except a study's verdicts.

    A study measures what it could not measure, then chooses and classifies everything again; if
    nothing is left to measure, it goes on where it stopped, even if only the conclusion is
    missing. Until all of it is queued, which takes many short parts, the job stays at its end.
    Raises NotFound, or Conflict when the job is still at work or nothing can be run again.
    """
    part: Part | None = _begin_again(database, job_id)
    items = chunks = 0
    while part is not None:
        items, chunks = items + part.items, chunks + part.chunks
        part = None if part.over else _next_part(database, job_id)
    return Retried(items, chunks)


def retryable(database: Database, jobs: Iterable[JobView]) -> frozenset[str]:
    """The ids of those that have ended and of which something can run again."""
    ended = [job.id for job in jobs if job.finished and (job.failed or job.cancelled)]
    if not ended:
        return frozenset()
    with database.read() as session:
        found = session.scalars(select(Job).where(Job.id.in_(ended)))
        return frozenset(job.id for job in found.all() if can_reopen(session, job))


def _begin_again(database: Database, job_id: str) -> Part:
    """The first part, once the job's rows have followed it to its end."""
    while True:
        with database.write() as session:
            job = _job(session, job_id)
            if job.state not in FINISHED:
                raise Conflict(f"job {job_id} is {job.state}: wait until it ends, or cancel it.")
            if job.unsettled:
                settle(session, job)
                continue
            if not begin(session, job):
                raise Conflict(_nothing_to_retry(job))
            return reopen_part(session, job)


def _next_part(database: Database, job_id: str) -> Part | None:
    """None where a sweep was quicker, or somebody has removed the job."""
    with database.write() as session:
        job = lock_job(session, job_id)
        return None if job is None or job.unsettled is not False else reopen_part(session, job)


def delete(database: Database, job_id: str, *, older_than: timedelta | None = None) -> None:
    """Remove a finished job's rows: at once for all who look, then in short parts.

    Its pictures stay, since other jobs may use them; so do its files, and for their sake its own
    row (`beholder.jobs.removal`). older_than: as for `put_away`. Raises NotFound or Conflict.
    """
    put_away(database, job_id, older_than=older_than)
    remove_rows(database, job_id)


def put_away(database: Database, job_id: str, *, older_than: timedelta | None = None) -> None:
    """Take a finished job out of sight for good, and leave the rest of its removal to the workers.

    older_than: only if it `is_expired`. Raises NotFound or Conflict.
    """
    with database.write(lasting=True) as session:  # before its files go
        job = _job(session, job_id)
        if job.state not in FINISHED:
            raise Conflict(f"job {job_id} is {job.state}: cancel it before you delete it.")
        if older_than is not None:
            _insist_on_age(session, job, older_than)
        hide(session, job)


def is_expired(older_than: timedelta) -> ColumnElement[bool]:
    """Whether a finished job ended longer ago than that, is not kept and not about to run again.

    By the database's clock, as its end was written: that of one machine may be years off.
    """
    ended = Job.finished_at < ago(older_than.total_seconds())
    return and_(ended, Job.kept.is_(None), Job.unsettled.is_not(False))


def _insist_on_age(session: Session, job: Job, older_than: timedelta) -> None:
    """Raise Conflict where somebody wants the locked job after all."""
    if job.kept:
        raise Conflict(f"job {job.id} is kept, whatever its age.")
    if session.scalar(select(Job.id).where(Job.id == job.id, is_expired(older_than))) is None:
        raise Conflict(f"job {job.id} is run again, or ended not long ago.")


def _job(session: Session, job_id: str) -> Job:
    job = lock_job(session, job_id)
    if job is None or job.state == INCOMING:
        raise NotFound(f"no job {job_id!r}: `beholder jobs` lists them.")
    return job


def _nothing_to_retry(job: Job) -> str:
    if job.failed:
        return (
            f"job {job.id} has nothing to retry: its {job.failed} failed pictures could not be "
            "read when they were submitted. Submit them again."
        )
    return f"job {job.id} has nothing to retry: no item failed."

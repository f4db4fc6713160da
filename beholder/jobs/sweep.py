"""What keeps jobs moving whatever dies: `sweep` runs every few seconds in a few workers."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import islice

from sqlalchemy import select
from sqlalchemy.orm import Session

from beholder.errors import BeholderError
from beholder.jobs.database import Database
from beholder.jobs.deaths import recover
from beholder.jobs.models import OPEN, Chunk, Job
from beholder.jobs.removal import give_up_abandoned, remove_some
from beholder.jobs.reopen import reopen_part
from beholder.jobs.rows import lock_job, settle
from beholder.jobs.silence import Running, Silence

log = logging.getLogger(__name__)
_SETTLED = 80  # transactions of a sweep that bring rows in line with a job


def sweep(database: Database, silence: Silence, *, now: float, limit: int = 500) -> None:
    """Put right what has no live worker.

    Abandoned chunks go on elsewhere, or are set aside (`beholder.jobs.deaths`); what a job
    that ended early has left open follows it, and what was begun to be run again is queued to the
    end. At most `limit` chunks and jobs are put right; one that can't be holds up no other.
    now: as `silence` takes it.
    """
    for job_id, chunks in _neglected(database, silence, now, limit).items():
        try:
            _put_right(database, job_id, chunks)
        except BeholderError:  # the database's, so that the next job would fare no better
            raise
        except Exception:
            log.exception("job %s is left as it is", job_id, extra={"job": job_id})
    give_up_abandoned(database, silence.submissions, now)
    remove_some(database)


def _put_right(database: Database, job_id: str, abandoned: Sequence[Running]) -> None:
    with database.write() as session:
        job = lock_job(session, job_id)
        unsettled = job is not None and job.unsettled is not None
        if job is not None and not unsettled:
            _recover_all(session, job, abandoned)
    if unsettled:
        _settle(database, job_id)


def _settle(database: Database, job_id: str) -> None:
    """Some of it, in transactions that keep nobody waiting; the rest is left to later sweeps."""
    for _ in range(_SETTLED):
        with database.write() as session:
            job = lock_job(session, job_id)
            if job is None or job.unsettled is None:
                return
            if job.unsettled:
                settle(session, job)
            else:
                reopen_part(session, job)


def _neglected(
    database: Database, silence: Silence, now: float, limit: int
) -> Mapping[str, Sequence[Running]]:
    """Abandoned chunks by job, and none for the jobs that are to be settled."""
    running = select(Chunk.id, Chunk.job_id, Chunk.worker, Chunk.token, Chunk.lease_until).where(
        Chunk.state == "running"
    )
    unsettled = select(Job.id).where(Job.unsettled.is_not(None)).limit(limit)
    found: defaultdict[str, list[Running]] = defaultdict(list)
    with database.read() as session:
        rows = [Running(*row) for row in session.execute(running)]
        for job_id in session.scalars(unsettled):
            found[job_id] += []
    for one in islice(silence.abandoned(rows, now), limit):
        found[one.job_id].append(one)
    return found


def _recover_all(session: Session, job: Job, abandoned: Sequence[Running]) -> None:
    """Those that show no sign of life since they were looked at."""
    seen = {one.chunk_id: one for one in abandoned}
    statement = select(Chunk).where(Chunk.id.in_(seen), Chunk.state == "running")
    for chunk in session.scalars(statement.order_by(Chunk.id).with_for_update()).all():
        alive = (chunk.token, chunk.lease_until) != seen[chunk.id].sign
        if job.state in OPEN and not alive:  # setting one aside may have ended the job
            recover(session, job, chunk)

"""What keeps jobs moving whatever dies: `sweep` runs every few seconds in every worker."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from beholder.jobs.advance import advance
from beholder.jobs.chunking import Range, insert_chunks
from beholder.jobs.database import Database
from beholder.jobs.incoming import remove_abandoned
from beholder.jobs.models import OPEN, Chunk, Item, Job, utc_now
from beholder.jobs.rows import (
    fail_everything,
    items_of,
    lock_job,
    requeue_chunk,
    requeue_items,
    settle,
    with_stale,
)
from beholder.jobs.turns import MAX_ATTEMPTS, worn_out

_SETTLED = 40  # transactions of a sweep that bring a cancelled job's rows in line with it
_DIED = f"its worker died {MAX_ATTEMPTS} times"


def sweep(database: Database, *, now: float, limit: int = 500) -> None:
    """Put right what has no live worker.

    Chunks whose lease ran out are queued again, or, after too many deaths, split into single
    items, or set aside; what a cancelled job has left open follows it. At most `limit` chunks and
    jobs are looked at. now: seconds since the epoch.
    """
    for job_id, chunk_ids in _neglected(database, now, limit).items():
        with database.write() as session:
            job = lock_job(session, job_id)
            cancelled = job is not None and job.state == "cancelled"
            if job is not None and not cancelled:
                _recover_all(session, job, chunk_ids, now)
        if cancelled:
            _settle(database, job_id)
    remove_abandoned(database)


def _settle(database: Database, job_id: str) -> None:
    """Some of it, in transactions that keep nobody waiting; the rest is left to later sweeps."""
    for _ in range(_SETTLED):
        with database.write() as session:
            job = lock_job(session, job_id)
            if job is None or not job.unsettled:
                return
            settle(session, job)


def _neglected(database: Database, now: float, limit: int) -> Mapping[str, Sequence[int]]:
    """Ids of abandoned chunks by job, and of none for the jobs that are to be settled."""
    abandoned = (
        select(Chunk.job_id, Chunk.id)
        .where(Chunk.state == "running", Chunk.lease_until < now)
        .order_by(Chunk.lease_until)
        .limit(limit)
    )
    unsettled = select(Job.id).where(Job.unsettled.is_not(None)).limit(limit)
    found: defaultdict[str, list[int]] = defaultdict(list)
    with database.read() as session:
        for job_id, chunk_id in session.execute(abandoned):
            found[job_id].append(chunk_id)
        for job_id in session.scalars(unsettled):
            found[job_id] += []
    return found


def _recover_all(session: Session, job: Job, chunk_ids: Sequence[int], now: float) -> None:
    expired = select(Chunk).where(
        Chunk.id.in_(chunk_ids), Chunk.state == "running", Chunk.lease_until < now
    )
    for chunk in session.scalars(expired.order_by(Chunk.id).with_for_update()).all():
        if job.state in OPEN:  # setting one aside may have ended the job
            _recover(session, job, chunk)


def _recover(session: Session, job: Job, chunk: Chunk) -> None:
    """A chunk whose worker is gone: again, in single items, or not again."""
    if not worn_out(chunk):
        requeue_chunk(session, job, chunk)
    elif chunk.last_position > chunk.first_position:
        _split(session, job, chunk)
    else:
        _set_aside(session, job, chunk)


def _split(session: Session, job: Job, chunk: Chunk) -> None:
    """Each item goes on alone, so that the one that kills its worker takes no other with it.

    What the chunk went through counts as one attempt of each: it may have been any of them.
    """
    positions = select(Item.position).where(items_of(chunk)).order_by(Item.position)
    ranges = [Range(at, at, chunk.layer) for at in session.scalars(positions)]
    requeue_items(session, job, chunk)
    stale = with_stale(chunk)
    _close(session, chunk, "cancelled")
    insert_chunks(session, job, ranges[:1], attempts=1, stale_tokens=stale)
    insert_chunks(session, job, ranges[1:], attempts=1)


def _set_aside(session: Session, job: Job, chunk: Chunk) -> None:
    """Three dead workers on one item: it fails, and the rest go on without it."""
    if chunk.stage == "choose":
        _close(session, chunk, "failed")
        died = f"{_DIED} while it chose channels: give it more memory."
        fail_everything(session, job, chunk.error or died)
        return
    reason = chunk.error or f"{_DIED} on this picture: leave it out, or make it smaller."
    for item in session.scalars(select(Item).where(items_of(chunk))).all():
        job.running -= item.state == "running"
        job.queued -= item.state == "queued"
        job.failed += 1
        item.state, item.error = "failed", reason
    _close(session, chunk, "failed")
    advance(session, job)


def _close(session: Session, chunk: Chunk, state: str) -> None:
    chunk.state, chunk.token, chunk.lease_until = state, None, None
    chunk.finished_at = utc_now()
    session.flush()

"""What keeps jobs moving whatever dies: chunks that nobody works on are queued again.

`sweep` runs every few seconds in every worker and says which chunk ids to send to the queue;
`unsent_chunks` and `mark_sent` are for whoever has just submitted or retried.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from sqlalchemy import and_, or_, select, update
from sqlalchemy.orm import Session

from beholder.jobs.advance import advance
from beholder.jobs.chunking import insert_chunks
from beholder.jobs.claims import MAX_ATTEMPTS, worn_out
from beholder.jobs.database import Database
from beholder.jobs.models import Chunk, Item, Job, utc_now
from beholder.jobs.rows import (
    fail_everything,
    items_of,
    lock_job,
    requeue_chunk,
    requeue_items,
    settle,
    with_stale,
)

_PAGE = 1_000
_DIED = f"its worker died {MAX_ATTEMPTS} times"


def sweep(
    database: Database, *, now: float, resend_after_s: float, limit: int = 500
) -> tuple[int, ...]:
    """Put right what has no live worker; the ids to send now, already marked as sent.

    Chunks whose lease ran out are queued again, or, after too many deaths, split into single
    items, or set aside. Queued chunks that were never sent, or last more than `resend_after_s`
    ago, are to be sent again. At most `limit` chunks of each sort are looked at. now: epoch s.
    """
    found = _neglected(database, now, now - resend_after_s, limit)
    send: list[int] = []
    for job_id, chunk_ids in found.items():
        with database.write() as session:
            send.extend(_sweep_job(session, job_id, chunk_ids, now, now - resend_after_s))
    return tuple(send)


def unsent_chunks(database: Database, job_id: str) -> Iterator[int]:
    """The ids of a job's queued chunks that were never sent, in order, a page at a time."""
    last = 0
    while True:
        statement = (
            select(Chunk.id)
            .where(
                Chunk.job_id == job_id,
                Chunk.state == "queued",
                Chunk.sent_at.is_(None),
                Chunk.id > last,
            )
            .order_by(Chunk.id)
            .limit(_PAGE)
        )
        with database.read() as session:
            page = list(session.scalars(statement))
        yield from page
        if len(page) < _PAGE:
            return
        last = page[-1]


def mark_sent(database: Database, chunk_ids: Iterable[int], *, now: float) -> None:
    """Note that these chunks' ids were sent to the queue. now: seconds since the epoch."""
    ids = list(chunk_ids)
    for start in range(0, len(ids), _PAGE):
        page = ids[start : start + _PAGE]
        with database.write() as session:
            session.execute(update(Chunk).where(Chunk.id.in_(page)).values(sent_at=now))


def _neglected(
    database: Database, now: float, sent_before: float, limit: int
) -> dict[str, list[int]]:
    """Chunk ids by job. Reads the ends of two indexes, however many chunks have finished."""
    chunk = select(Chunk.job_id, Chunk.id).limit(limit)
    queued = chunk.where(Chunk.state == "queued")
    searches = (
        chunk.where(Chunk.state == "running", Chunk.lease_until < now).order_by(Chunk.lease_until),
        queued.where(Chunk.sent_at.is_(None)),
        queued.where(Chunk.sent_at < sent_before).order_by(Chunk.sent_at),
    )
    found: defaultdict[str, list[int]] = defaultdict(list)
    with database.read() as session:
        for search in searches:
            for job_id, chunk_id in session.execute(search):
                found[job_id].append(chunk_id)
    return found


def _sweep_job(
    session: Session, job_id: str, chunk_ids: list[int], now: float, sent_before: float
) -> list[int]:
    job = lock_job(session, job_id)
    if job is None:
        return []
    if job.state == "cancelled":
        settle(session, job_id)
        return []
    send: list[int] = []
    expired = select(Chunk).where(
        Chunk.id.in_(chunk_ids), Chunk.state == "running", Chunk.lease_until < now
    )
    for chunk in session.scalars(expired.execution_options(populate_existing=True)).all():
        if job.state in ("queued", "running"):  # setting one aside may have ended the job
            send.extend(_recover(session, job, chunk))
    session.flush()
    send.extend(_resend(session, chunk_ids, sent_before))
    session.execute(update(Chunk).where(Chunk.id.in_(send)).values(sent_at=now))
    return list(dict.fromkeys(send))


def _resend(session: Session, chunk_ids: list[int], sent_before: float) -> list[int]:
    """Those still queued and unsent: another worker's sweep may have been quicker."""
    unsent = or_(Chunk.sent_at.is_(None), Chunk.sent_at < sent_before)
    statement = select(Chunk.id).where(
        and_(Chunk.id.in_(chunk_ids), Chunk.state == "queued", unsent)
    )
    return list(session.scalars(statement.order_by(Chunk.id)))


def _recover(session: Session, job: Job, chunk: Chunk) -> tuple[int, ...]:
    """A chunk whose worker is gone: again, in single items, or not again. Ids to send."""
    if not worn_out(chunk):
        requeue_chunk(session, job, chunk)
        return (chunk.id,)
    if chunk.last_position > chunk.first_position:
        return _split(session, job, chunk)
    return _set_aside(session, job, chunk)


def _split(session: Session, job: Job, chunk: Chunk) -> tuple[int, ...]:
    """Each item goes on alone, so that the one that kills its worker takes no other with it.

    What the chunk went through counts as one attempt of each: it may have been any of them.
    """
    positions = select(Item.position).where(items_of(chunk)).order_by(Item.position)
    ranges = [(position, position) for position in session.scalars(positions)]
    requeue_items(session, job, chunk)
    stale = with_stale(chunk)
    _close(session, chunk, "cancelled")
    first = insert_chunks(session, job, ranges[:1], attempts=1, stale_tokens=stale)
    return first + insert_chunks(session, job, ranges[1:], attempts=1)


def _set_aside(session: Session, job: Job, chunk: Chunk) -> tuple[int, ...]:
    """Three dead workers on one item: it fails, and the rest go on without it."""
    if chunk.stage == "choose":
        _close(session, chunk, "failed")
        died = f"{_DIED} while it chose channels: give it more memory."
        fail_everything(session, job, chunk.error or died)
        return ()
    reason = chunk.error or f"{_DIED} on this picture: leave it out, or make it smaller."
    for item in session.scalars(select(Item).where(items_of(chunk))).all():
        job.running -= item.state == "running"
        job.queued -= item.state == "queued"
        job.failed += 1
        item.state, item.error = "failed", reason
    _close(session, chunk, "failed")
    return advance(session, job)


def _close(session: Session, chunk: Chunk, state: str) -> None:
    chunk.state, chunk.token, chunk.lease_until = state, None, None
    chunk.finished_at = utc_now()
    session.flush()

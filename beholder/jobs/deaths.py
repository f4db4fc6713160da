"""What follows for a chunk whose worker died on it: `recover`.

Several chunks are in a worker's hands when it dies, being decoded, computed or stored, and any of
their items may be to blame. So each goes on with nothing beside it in its next worker's hands
(`claim_next`), and after a second death in single items. Then only one can be to blame for the
third, and those who were near it have gone on.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from beholder.jobs.advance import advance
from beholder.jobs.chunking import Range, insert_chunks
from beholder.jobs.models import Chunk, Item, Job, utc_now
from beholder.jobs.rows import (
    fail_everything,
    items_of,
    requeue_chunk,
    requeue_items,
    with_stale,
)
from beholder.jobs.stages import WHOLE

MAX_ATTEMPTS = 3  # of one item; after that its worker's deaths are taken to be its doing
SPLIT_AFTER = 2  # attempts of a chunk of several
_DIED = f"its worker died {MAX_ATTEMPTS} times"


def recover(session: Session, job: Job, chunk: Chunk) -> None:
    """Let a running chunk of a locked, open job go on without its worker, or set it aside."""
    if chunk.attempts >= MAX_ATTEMPTS:
        _set_aside(session, job, chunk)
    elif chunk.last_position > chunk.first_position and chunk.attempts >= SPLIT_AFTER:
        _split(session, job, chunk)
    else:
        requeue_chunk(session, job, chunk)


def _split(session: Session, job: Job, chunk: Chunk) -> None:
    """A chunk for each item. What the chunk went through counts as an attempt of each."""
    positions = select(Item.position).where(items_of(chunk)).order_by(Item.position)
    ranges = [Range(at, at, chunk.layer) for at in session.scalars(positions)]
    requeue_items(session, job, chunk)
    stale, attempts = with_stale(chunk), chunk.attempts
    _close(session, chunk, "cancelled")
    # One of them is enough to remove what the dead worker left.
    insert_chunks(session, job, ranges[:1], attempts=attempts, stale_tokens=stale)
    insert_chunks(session, job, ranges[1:], attempts=attempts)


def _set_aside(session: Session, job: Job, chunk: Chunk) -> None:
    """The item fails, and the rest go on without it. What its workers left waits for upkeep."""
    chunk.stale_tokens = with_stale(chunk)
    if chunk.stage in WHOLE:
        _close(session, chunk, "failed")
        doing = "chose channels" if chunk.stage == "choose" else "drew conclusions"
        died = f"{_DIED} while it {doing}: give it more memory."
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

"""What every change to a job's rows shares: locking the job, its chunk's items, cancelling rows.

Whoever changes a job's rows locks the job first (`lock_job`), so that two workers that finish the
last two chunks see each other, and the job's counters stay in step with the items.
"""

from collections.abc import Collection, Iterable

from sqlalchemy import ColumnElement, and_, exists, select, update
from sqlalchemy.orm import Session

from beholder.jobs.models import OPEN, Chunk, Item, Job, utc_now

SETTLE_LIMIT = 100  # chunks of a cancelled job that are changed at a time, or items


def lock_job(session: Session, job_id: str) -> Job | None:
    """The job, ours alone until the transaction ends (SQLite has locked everything by then)."""
    statement = select(Job).where(Job.id == job_id).with_for_update()
    return session.scalar(statement.execution_options(populate_existing=True))


def items_of(chunk: Chunk | type[Chunk]) -> ColumnElement[bool]:
    """The open items that a chunk stands for. Blinding wants measured ones, the rest unmeasured.

    With the class it is the condition to join the two tables on.
    """
    return and_(
        Item.job_id == chunk.job_id,
        Item.position.between(chunk.first_position, chunk.last_position),
        Item.state.in_(OPEN),
        Item.measured == (chunk.stage == "classify"),
    )


def requeue_items(session: Session, job: Job, chunk: Chunk) -> None:
    """The chunk's running items wait again."""
    statement = update(Item).where(items_of(chunk), Item.state == "running").values(state="queued")
    moved = session.execute(statement, execution_options={"synchronize_session": False})
    job.running -= moved.rowcount  # type: ignore[attr-defined]
    job.queued += moved.rowcount  # type: ignore[attr-defined]


def requeue_chunk(session: Session, job: Job, chunk: Chunk) -> None:
    """Take a chunk from its worker; its token is remembered for the files it may have left."""
    requeue_items(session, job, chunk)
    chunk.stale_tokens = with_stale(chunk)
    chunk.state, chunk.token, chunk.lease_until = "queued", None, None
    session.flush()
    if not with_open_chunks(session, [job.id], ("running",)):
        job.state = "queued"


def with_stale(chunk: Chunk) -> list[str]:
    """The chunk's stale tokens, and the one it has now."""
    return [*chunk.stale_tokens, chunk.token] if chunk.token else list(chunk.stale_tokens)


def with_open_chunks(
    session: Session, job_ids: Collection[str], states: tuple[str, ...] = OPEN
) -> set[str]:
    """Those of the jobs that have a chunk in one of these states."""
    found = exists().where(Chunk.job_id == Job.id, Chunk.state.in_(states))
    return set(session.scalars(select(Job.id).where(Job.id.in_(job_ids), found)))


def fail_everything(session: Session, job: Job, reason: str) -> None:
    """The whole job fails: its open chunks are cancelled, its open items fail with the reason."""
    _end_chunks(session, job.id)
    statement = update(Item).where(Item.job_id == job.id, Item.state.in_(OPEN))
    session.execute(
        statement.values(state="failed", error=reason),
        execution_options={"synchronize_session": False},
    )
    job.failed += job.queued + job.running
    job.queued = job.running = 0
    job.state, job.error, job.stage, job.finished_at = "failed", reason, None, utc_now()


def settle(session: Session, job: Job, *, limit: int | None = SETTLE_LIMIT) -> None:
    """Bring rows of a cancelled job in line with it: at most `limit` chunks, or all of them."""
    chunks = _open_chunks(session, job.id, limit)
    items = update(Item).where(Item.job_id == job.id, Item.state.in_(OPEN))
    job.unsettled = True if limit is not None and len(chunks) == limit else None
    if job.unsettled:
        first, last = min(first for _, first, _ in chunks), max(last for _, _, last in chunks)
        items = items.where(Item.position.between(first, last))
        _end_chunks(session, job.id, [number for number, _, _ in chunks])
    else:
        _end_chunks(session, job.id)
    session.execute(
        items.values(state="cancelled"), execution_options={"synchronize_session": False}
    )


def _open_chunks(session: Session, job_id: str, limit: int | None) -> list[tuple[int, int, int]]:
    if limit is None:
        return []
    statement = (
        select(Chunk.id, Chunk.first_position, Chunk.last_position)
        .where(Chunk.job_id == job_id, Chunk.state.in_(OPEN))
        .limit(limit)
    )
    return [(row.id, row.first_position, row.last_position) for row in session.execute(statement)]


def _end_chunks(session: Session, job_id: str, ids: Iterable[int] | None = None) -> None:
    statement = update(Chunk).where(Chunk.job_id == job_id, Chunk.state.in_(OPEN))
    if ids is not None:
        statement = statement.where(Chunk.id.in_(list(ids)))
    session.execute(
        statement.values(state="cancelled", token=None, lease_until=None, finished_at=utc_now()),
        execution_options={"synchronize_session": False},
    )


def has_measured_target(session: Session, job_id: str) -> bool:
    """Whether a study has anything to choose channels by."""
    found = exists().where(Item.job_id == job_id, Item.role == "target", Item.measured)
    return bool(session.scalar(select(found)))

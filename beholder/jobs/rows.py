"""What every change to a job's rows shares: locking the job, its chunk's items, ending it early.

Whoever changes a job's rows locks the job first (`lock_job`), so that two workers that finish the
last two chunks see each other, and the job's counters stay in step with the items.
"""

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, and_, case, exists, func, select, update
from sqlalchemy.orm import Session

from beholder.jobs.bulk import UNSYNCED
from beholder.jobs.clock import ago
from beholder.jobs.models import ITEM_STATES, OPEN, Chunk, Item, Job, utc_now

SETTLE_LIMIT = 500  # chunks, and items, of a job that ended early that follow it at a time
MOST_STALE = 32  # tokens that a chunk remembers: of claims in a long outage, each for nothing


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
    moved = session.execute(statement, execution_options=UNSYNCED)
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
    """The chunk's latest stale tokens, and the one it has now. What older ones left is `gc`'s."""
    tokens = [*chunk.stale_tokens, chunk.token] if chunk.token else list(chunk.stale_tokens)
    return tokens[-MOST_STALE:]


def with_open_chunks(
    session: Session, job_ids: Collection[str], states: tuple[str, ...] = OPEN
) -> set[str]:
    """Those of the jobs that have a chunk in one of these states."""
    found = exists().where(Chunk.job_id == Job.id, Chunk.state.in_(states))
    return set(session.scalars(select(Job.id).where(Job.id.in_(job_ids), found)))


def cancel_everything(session: Session, job: Job) -> None:
    """The whole job is cancelled, with every open item."""
    _end_early(session, job, "cancelled", None)


def fail_everything(session: Session, job: Job, reason: str) -> None:
    """The whole job fails: its open items fail with the reason, its open chunks are cancelled."""
    _end_early(session, job, "failed", reason)


def settle(session: Session, job: Job, *, limit: int | None = SETTLE_LIMIT) -> None:
    """Bring rows of a job that ended early in line with it: some chunks and items, or all."""
    ended = {"state": "cancelled", "token": None, "lease_until": None, "finished_at": utc_now()}
    chunks = _change_open(session, Chunk, job, ended, limit)
    items = _change_open(session, Item, job, {"state": job.state, "error": job.error}, limit)
    job.unsettled = True if limit is not None and max(chunks, items) == limit else None


def _end_early(session: Session, job: Job, state: str, error: str | None) -> None:
    """Costs the same for any number of items: past some, their rows are left to the sweep."""
    still_open = job.queued + job.running
    setattr(job, state, getattr(job, state) + still_open)
    job.queued = job.running = 0
    job.state, job.error, job.stage, job.finished_at = state, error, None, ago(0)
    job.unsettled = True
    session.flush()
    if still_open <= SETTLE_LIMIT:
        settle(session, job)


def _change_open(
    session: Session,
    model: type[Chunk] | type[Item],
    job: Job,
    values: dict[str, Any],
    limit: int | None,
) -> int:
    """Give up to `limit` open rows of the job these values; how many there were."""
    some = select(model.id).where(model.job_id == job.id, model.state.in_(OPEN)).limit(limit)
    changed = session.execute(
        update(model).where(model.id.in_(some)).values(values),
        execution_options=UNSYNCED,
    )
    return int(changed.rowcount)  # type: ignore[attr-defined]


def item_counts(session: Session, job_id: str) -> dict[str, int]:
    """How many items of a job are in each state, and measured: its counters, from its rows."""
    measured = func.sum(case((Item.measured, 1), else_=0))
    statement = select(Item.state, func.count(), measured).where(Item.job_id == job_id)
    rows = session.execute(statement.group_by(Item.state)).all()
    counts = dict.fromkeys(ITEM_STATES, 0) | {state: count for state, count, _ in rows}
    return counts | {"measured": sum(int(part) for *_, part in rows)}


def has_measured_target(session: Session, job_id: str) -> bool:
    """Whether a study has anything to choose channels by."""
    found = exists().where(Item.job_id == job_id, Item.role == "target", Item.measured)
    return bool(session.scalar(select(found)))

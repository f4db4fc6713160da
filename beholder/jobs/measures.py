"""The numbers that operators watch, read in one go: `measures(database)`."""

import time
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from beholder.devices import DEVICES, Device
from beholder.jobs.database import Database
from beholder.jobs.models import ITEM_STATES, Chunk, Job
from beholder.jobs.workers import IsDead, WorkerView, workers_heard_of

MOST_COUNTED = 100_000  # chunks: counting a hundred million takes many seconds


@dataclass(frozen=True)
class Pending:
    """items: that no worker has begun. oldest_s: how long the first of them has waited, or 0.

    running: items that workers have in hand.
    """

    items: int = 0
    running: int = 0
    oldest_s: float = 0.0


@dataclass(frozen=True)
class Measures:
    """jobs, items: how many in each state. queued_chunks: how many wait, up to MOST_COUNTED.

    queue_age_s: for how long the oldest queued chunk has waited; 0 when none does.
    pending: the same by the device that jobs ask for.
    """

    jobs: dict[str, int]
    items: dict[str, int]
    queued_chunks: int
    queue_age_s: float
    pending: dict[Device, Pending]
    workers: tuple[WorkerView, ...]


def measures(
    database: Database, *, workers_within_s: float, is_dead: IsDead = lambda name: False
) -> Measures:
    """As of now. Reads the jobs' counters, and of each open job the chunk that is next.

    workers_within_s, is_dead: which workers to count, as for `live_workers`.
    """
    sums = [func.coalesce(func.sum(getattr(Job, state)), 0) for state in ITEM_STATES]
    with database.read() as session:
        jobs = select(Job.state, func.count(), *sums).where(Job.state.in_(ITEM_STATES))
        rows = session.execute(jobs.group_by(Job.state)).all()
        some = select(Chunk.id).where(Chunk.state == "queued").limit(MOST_COUNTED).subquery()
        queued = session.scalar(select(func.count()).select_from(some)) or 0
        pending = _pending(session)
        workers = workers_heard_of(session, workers_within_s, is_dead)
    return Measures(
        jobs=dict.fromkeys(ITEM_STATES, 0) | {row[0]: row[1] for row in rows},
        items={
            state: sum(int(row[2 + number]) for row in rows)
            for number, state in enumerate(ITEM_STATES)
        },
        queued_chunks=queued,
        queue_age_s=max(one.oldest_s for one in pending.values()),
        pending=pending,
        workers=tuple(workers),
    )


def _pending(session: Session) -> dict[Device, Pending]:
    """By the device that jobs ask for. A job's next chunk stands for all of its chunks."""
    following = select(Chunk.created_at).where(Chunk.job_id == Job.id, Chunk.state == "queued")
    first = following.order_by(Chunk.first_position).limit(1).scalar_subquery()
    statement = (
        select(Job.device, func.sum(Job.queued), func.sum(Job.running), func.min(first))
        .where(Job.finished_at.is_(None))
        .group_by(Job.device)
    )
    found = dict.fromkeys(DEVICES, Pending())
    for device, items, running, oldest in session.execute(statement):
        age_s = max(0.0, time.time() - oldest.timestamp()) if oldest else 0.0
        found[device] = Pending(int(items), int(running), age_s)
    return found

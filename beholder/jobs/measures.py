"""The numbers that operators watch, read in one go: `measures(database)`."""

import time
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select

from beholder.jobs.database import Database
from beholder.jobs.models import ITEM_STATES, Chunk, Job, utc_now
from beholder.jobs.workers import IsDead, WorkerView, workers_since


@dataclass(frozen=True)
class Measures:
    """jobs, items: how many in each state. queued_chunks: how many wait.

    queue_age_s: for how long the oldest queued chunk has waited; 0 when none does.
    """

    jobs: dict[str, int]
    items: dict[str, int]
    queued_chunks: int
    queue_age_s: float
    workers: tuple[WorkerView, ...]


def measures(
    database: Database, *, workers_within_s: float, is_dead: IsDead = lambda name: False
) -> Measures:
    """As of now. Reads the jobs' counters and the queued chunks; never the items.

    workers_within_s, is_dead: which workers to count, as for `live_workers`.
    """
    sums = [func.coalesce(func.sum(getattr(Job, state)), 0) for state in ITEM_STATES]
    with database.read() as session:
        jobs = select(Job.state, func.count(), *sums).where(Job.state.in_(ITEM_STATES))
        rows = session.execute(jobs.group_by(Job.state)).all()
        waiting = select(func.count(), func.min(Chunk.created_at)).where(Chunk.state == "queued")
        queued, oldest = session.execute(waiting).one()
        since = utc_now() - timedelta(seconds=workers_within_s)
        workers = workers_since(session, since, is_dead)
    return Measures(
        jobs=dict.fromkeys(ITEM_STATES, 0) | {row[0]: row[1] for row in rows},
        items={
            state: sum(int(row[2 + number]) for row in rows)
            for number, state in enumerate(ITEM_STATES)
        },
        queued_chunks=queued,
        queue_age_s=max(0.0, time.time() - oldest.timestamp()) if oldest else 0.0,
        workers=tuple(workers),
    )

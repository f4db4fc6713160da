"""Whose turn it is: the highest priority first, and in it the job that was served longest ago.

Every claim has a number, one more than the latest, and writes it on the job as its `turn`. A new
job begins with the number before the latest: in front of the job that was served last, and behind
those that have waited since before.
"""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from beholder.jobs.database import Database
from beholder.jobs.models import Chunk, Job


@dataclass(frozen=True)
class Turn:
    """The job to be served next, and when it was served last, as of a moment ago."""

    job_id: str
    number: int


def whose_turn(database: Database, without: Collection[str] = ()) -> Turn | None:
    """The job whose chunk is to be claimed next, not of these; None if there is nothing to do."""
    # For one job after the other: asked whether such a chunk exists, Postgres reads all chunks.
    chunk = select(Chunk.id).where(Chunk.job_id == Job.id, Chunk.state == "queued")
    first = chunk.order_by(Chunk.first_position).limit(1)
    waits = first.scalar_subquery().is_not(None)
    statement = (
        select(Job.id, Job.turn)
        .where(Job.finished_at.is_(None), waits)
        .order_by(Job.finished_at, Job.priority, Job.turn, Job.created_at)  # as in the index
        .limit(1)
    )
    if without:
        statement = statement.where(Job.id.not_in(without))
    with database.read() as session:
        row = session.execute(statement).first()
    return Turn(*row) if row else None


def waiting(database: Database, *, limit: int) -> int:
    """How many chunks wait for a worker; `limit` stands for that many or more."""
    some = (
        select(Chunk.id)
        .join(Job, Job.id == Chunk.job_id)
        .where(Job.finished_at.is_(None), Chunk.state == "queued")
        .limit(limit)
    )
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(some.subquery())) or 0


def latest_turn(session: Session) -> int:
    """The number of the latest claim; 0 before the first."""
    return max(0, session.scalar(select(func.max(Job.turn))) or 0)

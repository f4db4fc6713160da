"""Whose turn it is: the highest priority first, and in it the job that was served longest ago.

Every claim has a number, one more than the latest that it sees, and writes it on the job as its
`turn`; of two at the same moment, which only Postgres lets happen, both may have the same. A new
job begins with the number before the latest: in front of the job that was served last, and behind
those that have waited since before.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from beholder.devices import Device, DeviceClass, open_to
from beholder.jobs.database import Database
from beholder.jobs.models import Chunk, Job
from beholder.priorities import PRIORITIES, Priority


@dataclass(frozen=True)
class Turn:
    """The job to be served next, as of a moment ago.

    number: of the claim that served it last. new: whether none has.
    """

    job_id: str
    number: int
    priority: Priority
    new: bool


def whose_turn(
    database: Database, without: Collection[str] = (), device: DeviceClass | None = None
) -> Turn | None:
    """The job whose chunk is to be claimed next; None if there is nothing to do.

    without, device: not of these; of those that a worker of this class may run.
    """
    statement = (
        select(Job.id, Job.turn, Job.priority, Job.started_at.is_(None))
        .where(Job.finished_at.is_(None), _has_queued(), *may_run(without, device))
        .order_by(Job.finished_at, Job.priority, Job.turn, Job.created_at)  # as in the index
        .limit(1)
    )
    with database.read() as session:
        row = session.execute(statement).first()
    return Turn(*row) if row else None


def passes(priority: Priority, new: bool, other: Priority, *, let_new: bool) -> bool:
    """Whether work of a priority goes before what is in hand of an `other`.

    As a higher one does, and, where that is let, the first work of a new job.
    """
    higher = PRIORITIES.index(priority) < PRIORITIES.index(other)
    return higher or (priority == other and new and let_new)


def waiting(database: Database, *, limit: int) -> Counter[Device]:
    """How many chunks wait for a worker, by the device that their jobs ask for.

    At most `limit` are counted, but one at least of each of the first `limit` jobs.
    """
    jobs = (
        select(Job.id, Job.device)
        .where(Job.finished_at.is_(None), _has_queued())
        .order_by(Job.finished_at, Job.priority, Job.turn, Job.created_at)
        .limit(limit)
    )
    with database.read() as session:
        devices = dict(session.execute(jobs).all())
        of_these = select(Chunk.job_id).where(Chunk.job_id.in_(devices), Chunk.state == "queued")
        chunks = session.scalars(of_these.limit(limit)).all() if devices else []
    counted = Counter(devices[job_id] for job_id in chunks)
    return counted | Counter(devices.values())


def may_run(without: Collection[str], device: DeviceClass | None) -> list[ColumnElement[bool]]:
    """Conditions on jobs: none of these, and none that asks for another class of workers."""
    conditions: list[ColumnElement[bool]] = []
    if without:
        conditions.append(Job.id.not_in(without))
    if device is not None:
        conditions.append(Job.device.in_(open_to(device)))
    return conditions


def _has_queued() -> ColumnElement[bool]:
    """Whether a job has a chunk that waits.

    For one job after the other: asked whether such a chunk exists, Postgres reads all chunks.
    """
    chunk = select(Chunk.id).where(Chunk.job_id == Job.id, Chunk.state == "queued")
    return chunk.order_by(Chunk.first_position).limit(1).scalar_subquery().is_not(None)


def latest_turn(session: Session) -> int:
    """The number of the latest claim; 0 before the first."""
    return max(0, session.scalar(select(func.max(Job.turn))) or 0)

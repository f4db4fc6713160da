"""What live progress shows, of many jobs in few queries: `looks` and `latest_pictures`."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select

from beholder.jobs.completion import shares_done, through
from beholder.jobs.database import Database
from beholder.jobs.models import INCOMING, Chunk, File, Item, Job
from beholder.jobs.pauses import Remarks
from beholder.jobs.views import Progress, columns_of

_COUNTS = [getattr(Job, name) for name in columns_of(Progress)]


@dataclass(frozen=True)
class Look:
    """A job at one moment. through: items done, and parts of items, as `completed` has them.

    paused, waits: as of `JobView`.
    """

    job_id: str
    kind: str
    progress: Progress
    through: float
    error: str | None
    started_at: datetime | None
    finished_at: datetime | None
    paused: str | None = None
    waits: str | None = None


@dataclass(frozen=True)
class LatestPicture:
    """A dream that was done lately. step: the last that was kept."""

    position: int
    source: str
    layer: int | None
    step: int
    sha256: str


def looks(database: Database, job_ids: Collection[str]) -> dict[str, Look]:
    """These jobs as they are now, in a few queries; those that are gone are left out."""
    heads = (Job.id, Job.kind, Job.error, Job.started_at, Job.finished_at, Job.device)
    with database.read() as session:
        shares = dict(session.execute(shares_done().where(Chunk.job_id.in_(job_ids))).all())
        found = select(*heads, *_COUNTS).where(Job.id.in_(job_ids), Job.state != INCOMING)
        rows = session.execute(found).all()
        remarks = Remarks(session)
        return {row.id: _look(remarks, row, shares.get(row.id, 0.0)) for row in rows}


def _look(remarks: Remarks, row: Row[Any], share: float) -> Look:
    job_id, kind, error, started_at, finished_at, device, *counts = tuple(row)
    progress = Progress(*counts)
    said = remarks.of(job_id, device, progress.state)
    done = through(kind, progress, share)
    return Look(job_id, kind, progress, done, error, started_at, finished_at, *said)


def latest_pictures(database: Database, job_id: str, *, limit: int = 8) -> list[LatestPicture]:
    """The dreams furthest along in a job, the last first; read off the end of an index."""
    items = (
        select(Item.id, Item.position, Item.source, Item.layer)
        .where(Item.job_id == job_id, Item.state == "done")
        .order_by(Item.position.desc())
        .limit(limit)
        .subquery()
    )
    statement = (
        select(items.c.position, items.c.source, items.c.layer, File.step, File.sha256)
        .join(File, File.item_id == items.c.id)
        .order_by(items.c.position.desc(), File.step)
    )
    with database.read() as session:
        # The last step of each: a later row of the same position takes its place.
        found = {row.position: LatestPicture(*row) for row in session.execute(statement)}
    return list(found.values())

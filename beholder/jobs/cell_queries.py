"""A few of a job's items for a picture of it: `cells` by position, without their curves."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import and_, select

from beholder.jobs.database import Database
from beholder.jobs.models import OPEN, File, Item
from beholder.jobs.views import JobView


@dataclass(frozen=True)
class CellView:
    """An item in brief. file_sha256, width, height: of its result after the step asked for."""

    position: int
    state: str
    source: str
    role: str | None
    layer: int | None
    seed: int | None
    error: str | None
    picture_sha256: str | None
    file_sha256: str | None
    width: int | None
    height: int | None


def cells(
    database: Database, job: JobView, positions: Sequence[int], *, step: int = 0
) -> list[CellView]:
    """The items at these positions that exist, ascending, with their results after `step`."""
    statement = (
        select(
            Item.position,
            Item.state,
            Item.source,
            Item.role,
            Item.layer,
            Item.seed,
            Item.error,
            Item.picture_sha256,
            File.sha256.label("file_sha256"),
            File.width,
            File.height,
        )
        .outerjoin(File, and_(File.item_id == Item.id, File.step == step))
        .where(Item.job_id == job.id, Item.position.in_(positions))
        .order_by(Item.position)
    )
    with database.read() as session:
        rows = session.execute(statement).all()
    return [CellView(**{**row._mapping, "state": _shown(job, row.state)}) for row in rows]


def _shown(job: JobView, state: str) -> str:
    """In a cancelled job, what is still open in its rows counts as cancelled."""
    return "cancelled" if job.state == "cancelled" and state in OPEN else state

"""Films: dreams whose frames start from the one before, so that one is queued at a time.

`Frames.of(job)` says which items follow one another; `due` is what can run now; `before` finds the
dreams that frames start from. A film's frames of one number run together, whatever pictures and
layers they are of.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select, true
from sqlalchemy.orm import Session

from beholder.jobs.models import OPEN, File, Item, Job
from beholder.jobs.outcomes import StoredFile
from beholder.jobs.views import JobView, columns_of

Before = dict[int, StoredFile | None]


@dataclass(frozen=True)
class Frames:
    """How a film's items are laid out: layer by layer, frame by frame, start by start.

    a_layer: items of one layer. abreast: how many films of one layer there are.
    """

    a_layer: int
    abreast: int

    @classmethod
    def of(cls, job: Job | JobView) -> "Frames | None":
        """None for a job that is no film."""
        if job.kind != "dream":
            return None
        a_layer = max(1, job.total // len(job.spec["layers"]))
        if job.spec.get("zoom"):
            return cls(a_layer, max(1, a_layer // job.spec["frames"]))
        return cls(a_layer, 1) if job.spec.get("carry") else None

    def number(self, position: int) -> int:
        """Which frame of its film an item is, from 0."""
        return position % self.a_layer // self.abreast

    def before(self, position: int) -> int | None:
        """The position of the frame before; None for a first one."""
        return position - self.abreast if self.number(position) else None

    def film(self, position: int) -> range:
        """The positions of the film that an item belongs to."""
        first = position - self.number(position) * self.abreast
        return range(first, first - first % self.a_layer + self.a_layer, self.abreast)

    @property
    def column(self) -> ColumnElement[int]:
        """`number` of an item in SQL."""
        return Item.position % self.a_layer // self.abreast


def due(session: Session, job: Job) -> ColumnElement[bool]:
    """Which of a job's open items can run: all, or a film's earliest frames."""
    frames = Frames.of(job)
    if frames is None:
        return true()
    still_open = Item.job_id == job.id, Item.state.in_(OPEN)
    return frames.column == session.scalar(select(func.min(frames.column)).where(*still_open))


def before(session: Session, job: Job, positions: Collection[int]) -> Before:
    """The dream before each of these that is no first frame; None where that one failed."""
    frames = Frames.of(job)
    if frames is None:
        return {}
    wanted: dict[int, int] = {}
    for position in positions:
        earlier = frames.before(position)
        if earlier is not None:
            wanted[earlier] = position
    columns: list[Any] = [getattr(File, name) for name in columns_of(StoredFile)]
    statement = (
        select(Item.position, *columns)
        .join(File, File.item_id == Item.id)
        .where(
            Item.job_id == job.id,
            Item.position.in_(wanted),
            Item.state == "done",
            File.step == job.spec["steps"],
        )
    )
    found: Before = dict.fromkeys(wanted.values())
    for position, *values in session.execute(statement):
        found[wanted[position]] = StoredFile(*values)
    return found

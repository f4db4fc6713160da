"""What the later stages of a study take from the earlier ones: `handed_on`, `chosen`, `made_by`."""

from typing import Literal

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from beholder.jobs.channel_models import Channel
from beholder.jobs.chunking import Range
from beholder.jobs.models import Chunk

Stage = Literal["dream", "measure", "choose", "classify", "conclude"]
WHOLE: tuple[Stage, ...] = ("choose", "conclude")  # of one chunk, which works on the whole study
NO_ITEMS = Range(0, -1)  # the range of that chunk


def partials(session: Session, job_id: str, stage: Stage) -> tuple[str, ...]:
    """The folders in which a stage's chunks have left what they hand on, by first position."""
    statement = _partials(job_id, stage)
    rows = session.scalars(statement.order_by(Chunk.first_position, Chunk.id))
    return tuple(path for path in rows if path)


def chosen(session: Session, job_id: str) -> dict[int, tuple[int, ...]]:
    """The channels to blind of each layer, most common first."""
    statement = (
        select(Channel.layer, Channel.channel)
        .where(Channel.job_id == job_id, Channel.chosen)
        .order_by(Channel.layer, Channel.count.desc(), Channel.mean.desc(), Channel.channel)
    )
    found: dict[int, tuple[int, ...]] = {}
    for layer, channel in session.execute(statement):
        found[layer] = (*found.get(layer, ()), channel)
    return found


def handed_on(session: Session, job_id: str, to: Stage) -> tuple[str, ...]:
    """The folders that the stage before has left for one that works on the whole study."""
    if to not in WHOLE:
        return ()
    return partials(session, job_id, "measure" if to == "choose" else "classify")


def made_by(session: Session, job_id: str, stage: Stage) -> str | None:
    """The folder of what a stage of one chunk has made last; None if it has not ended."""
    # Of the chunks that are done, a study has thousands: no index has their stage, but this.
    few = _partials(job_id, stage).where(Chunk.first_position == NO_ITEMS.first)
    return next(reversed(session.scalars(few.order_by(Chunk.id)).all()), None)


def _partials(job_id: str, stage: Stage) -> Select[str | None]:
    return select(Chunk.partial).where(
        Chunk.job_id == job_id,
        Chunk.stage == stage,
        Chunk.state == "done",
        Chunk.partial.is_not(None),
    )

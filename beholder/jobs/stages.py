"""What the later stages of a study take from the earlier ones: `partials`, then `chosen`."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from beholder.jobs.channel_models import Channel
from beholder.jobs.models import Chunk


def partials(session: Session, job_id: str) -> tuple[str, ...]:
    """Where the statistics of a study's measured chunks are, by first position."""
    statement = select(Chunk.partial).where(
        Chunk.job_id == job_id, Chunk.state == "done", Chunk.partial.is_not(None)
    )
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

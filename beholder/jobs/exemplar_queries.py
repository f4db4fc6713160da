"""Which pictures drive a channel most: `exemplars`, `strongest_of` many channels, `companions`.

`exemplars` also knows the weakest, and some at random.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import aliased

from beholder.jobs.channel_models import Exemplar
from beholder.jobs.database import Database
from beholder.jobs.models import Item
from beholder.layers import LAYERS

_READ = 200  # studies often share pictures, so more is read than shown


@dataclass(frozen=True)
class ExemplarView:
    """A picture that drives a channel. strength: the L2 norm of the channel's map for it."""

    study: str
    position: int
    picture_sha256: str
    source: str
    role: str | None
    group: str | None
    strength: float


def kept_layer(layer: int) -> int:
    """The layer whose rows stand for this one: a convolution is read after its ReLU."""
    return layer + 1 if LAYERS[layer].kind == "conv" else layer


def exemplars(
    database: Database, *, layer: int, channel: int, studies: Sequence[str], limit: int = 9
) -> list[ExemplarView]:
    """The pictures of these studies that drive a channel most, each picture once."""
    statement = (
        select(Exemplar, Item)
        .join(Item, (Item.job_id == Exemplar.job_id) & (Item.position == Exemplar.position))
        .where(
            Exemplar.job_id.in_(studies),
            Exemplar.layer == kept_layer(layer),
            Exemplar.channel == channel,
        )
        .order_by(Exemplar.strength.desc(), Exemplar.job_id, Exemplar.rank)
        .limit(_READ)
    )
    found: dict[str, ExemplarView] = {}
    with database.read() as session:
        for row, item in session.execute(statement):
            if item.picture_sha256:
                found.setdefault(
                    item.picture_sha256,
                    ExemplarView(
                        row.job_id,
                        row.position,
                        item.picture_sha256,
                        item.source,
                        item.role,
                        item.group,
                        row.strength,
                    ),
                )
    return list(found.values())[:limit]


def companions(
    database: Database, *, layer: int, channel: int, studies: Sequence[str], limit: int = 8
) -> list[tuple[int, int]]:
    """Channels of the same layer that share most of its strongest pictures, and how many."""
    other = aliased(Exemplar)
    shared = func.count().label("shared")
    statement = (
        select(other.channel, shared)
        .join(
            Exemplar,
            (Exemplar.job_id == other.job_id)
            & (Exemplar.layer == other.layer)
            & (Exemplar.position == other.position),
        )
        .where(
            Exemplar.job_id.in_(studies),
            Exemplar.layer == kept_layer(layer),
            Exemplar.channel == channel,
            other.channel != channel,
        )
        .group_by(other.channel)
        .order_by(shared.desc(), other.channel)
        .limit(limit)
    )
    with database.read() as session:
        return [(row.channel, row.shared) for row in session.execute(statement)]


def strongest_of(
    database: Database, study: str, wanted: Collection[tuple[int, int]]
) -> dict[tuple[int, int], str]:
    """For channels (layer, channel) of a study, the hash of the picture that drives each most."""
    kept = {(kept_layer(layer), channel) for layer, channel in wanted}
    statement = (
        select(Exemplar.layer, Exemplar.channel, Item.picture_sha256)
        .join(Item, (Item.job_id == Exemplar.job_id) & (Item.position == Exemplar.position))
        .where(
            Exemplar.job_id == study,
            Exemplar.rank == 0,
            Exemplar.layer.in_({layer for layer, _ in kept}),
            Exemplar.channel.in_({channel for _, channel in kept}),
        )
    )
    with database.read() as session:
        found = {(layer, channel): sha for layer, channel, sha in session.execute(statement)}
    named = {(layer, channel): found.get((kept_layer(layer), channel)) for layer, channel in wanted}
    return {channel: sha for channel, sha in named.items() if sha}

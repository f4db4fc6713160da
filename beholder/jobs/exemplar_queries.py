"""Which pictures drive a channel most: `exemplars`, `strongest_of` many channels, `companions`.

`exemplars` also knows the weakest, and some at random.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import aliased

from beholder.jobs.channel_models import Exemplar
from beholder.jobs.database import Database
from beholder.jobs.models import Item
from beholder.jobs.outcomes import ExemplarKind
from beholder.jobs.views import View
from beholder.layers import LAYERS

_READ = 200  # studies often share pictures, so more is read than shown


@dataclass(frozen=True)
class ExemplarView(View):
    """A picture that drives a channel. strength: the L2 norm of the channel's map for it.

    kind: "strongest", "weakest", or "random" among all that were measured. region: left, top, right
    and bottom of what in it drives the channel, from 0 to 1 of what the network saw.
    """

    study: str
    position: int
    picture_sha256: str
    source: str
    role: str | None
    group: str | None
    strength: float
    kind: ExemplarKind = "strongest"
    region: tuple[float, float, float, float] | None = None


def kept_layer(layer: int) -> int:
    """The layer whose rows stand for this one: a convolution is read after its ReLU."""
    return layer + 1 if LAYERS[layer].kind == "conv" else layer


def exemplars(
    database: Database,
    *,
    layer: int,
    channel: int,
    studies: Sequence[str],
    kind: ExemplarKind = "strongest",
    limit: int = 9,
) -> list[ExemplarView]:
    """The pictures of these studies that drive a channel most, or least, each picture once."""
    order: dict[ExemplarKind, ColumnElement[Any]] = {
        "strongest": Exemplar.strength.desc(),
        "weakest": Exemplar.strength.asc(),
        "random": Exemplar.rank.asc(),
    }
    statement = (
        select(Exemplar, Item)
        .join(Item, (Item.job_id == Exemplar.job_id) & (Item.position == Exemplar.position))
        .where(
            Exemplar.job_id.in_(studies),
            Exemplar.layer == kept_layer(layer),
            Exemplar.channel == channel,
            Exemplar.kind == kind,
            Item.picture_sha256.is_not(None),
        )
        .order_by(order[kind], Exemplar.job_id, Exemplar.rank)
        .limit(_READ)
    )
    found: dict[str, ExemplarView] = {}
    with database.read() as session:
        for row, item in session.execute(statement):
            view = _view(row, item)
            found.setdefault(view.picture_sha256, view)
    return list(found.values())[:limit]


def _view(row: Exemplar, item: Item) -> ExemplarView:
    region = (row.left, row.top, row.right, row.bottom)
    return ExemplarView(
        row.job_id,
        row.position,
        item.picture_sha256 or "",
        item.source,
        item.role,
        item.group,
        row.strength,
        cast(ExemplarKind, row.kind),
        cast(tuple[float, float, float, float], region) if None not in region else None,
    )


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
            Exemplar.kind == "strongest",
            other.kind == "strongest",
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

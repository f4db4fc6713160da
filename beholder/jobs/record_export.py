"""Everything that channel records are made of, for other programs: `export_rows`.

A row is one channel over one class of one study, with the sums as they are kept and what the study
made of the channel. Read class by class, so that memory stays the same for any number of studies.
"""

from collections.abc import Collection, Iterator
from typing import Any

from sqlalchemy import ColumnElement, Row, select

from beholder.jobs.channel_models import Channel, ChannelClass, ChannelEffect
from beholder.jobs.database import Database
from beholder.jobs.record_queries import MeasuredClass, measured_classes
from beholder.jobs.record_views import Strengths
from beholder.jobs.views import layer_name

EFFECTS = (
    "target",
    "method",
    "rank",
    "score",
    "effect",
    "effect_low",
    "effect_high",
    "control_effect",
    "control_effect_low",
    "control_effect_high",
)
# By column, the type of its values; those after "chosen" may be None.
COLUMNS: dict[str, type] = {
    "network": str,
    "network_sha256": str,
    "size": str,
    "normalize": bool,
    "study": str,
    "layer": int,
    "layer_name": str,
    "channel": int,
    "class": str,
    "role": str,
    "n": int,
    "active": int,
    "fraction_active": float,
    "sum": float,
    "squares": float,
    "mean": float,
    "deviation": float,
    "maximum": float,
    "chosen": bool,
    "target": str,
    "method": str,
    "rank": int,
    **dict.fromkeys(EFFECTS[3:], float),
}


def export_rows(
    database: Database,
    *,
    study: str | None = None,
    network: str | None = None,
    layers: Collection[int] | None = None,
    channels: Collection[int] | None = None,
    chosen: bool = False,
) -> Iterator[dict[str, Any]]:
    """Rows of COLUMNS, newest study first. layers: indices of ReLU layers; None for all.

    network: a name, or the beginning of its weights' hash. chosen: only what its study ablated.
    """
    for one in measured_classes(database, network=network, study=study):
        conditions: list[ColumnElement[bool]] = [
            ChannelClass.job_id == one.study,
            ChannelClass.number == one.number,
        ]
        if layers is not None:
            conditions.append(ChannelClass.layer.in_(layers))
        if channels is not None:
            conditions.append(ChannelClass.channel.in_(channels))
        if chosen:
            conditions.append(Channel.chosen.is_(True))
        with database.read() as session:
            rows = session.execute(_SELECT.where(*conditions)).all()
        for row in rows:
            yield _row(one, row)


_SELECT = (
    select(
        ChannelClass.layer,
        ChannelClass.channel,
        ChannelClass.active,
        ChannelClass.sum,
        ChannelClass.squares,
        ChannelClass.maximum,
        Channel.chosen,
        *(getattr(ChannelEffect, name) for name in EFFECTS),
    )
    .outerjoin(
        Channel,
        (Channel.job_id == ChannelClass.job_id)
        & (Channel.layer == ChannelClass.layer)
        & (Channel.channel == ChannelClass.channel),
    )
    .outerjoin(
        ChannelEffect,
        (ChannelEffect.job_id == ChannelClass.job_id)
        & (ChannelEffect.layer == ChannelClass.layer)
        & (ChannelEffect.channel == ChannelClass.channel),
    )
    .order_by(ChannelClass.layer, ChannelClass.channel)
)


def _row(one: MeasuredClass, row: Row[*tuple[Any, ...]]) -> dict[str, Any]:
    layer, channel, active, total, squares, maximum, chosen, *effects = row
    strengths = Strengths(one.n, active, total, squares, maximum)
    return {
        **one.inputs._asdict(),
        "study": one.study,
        "layer": layer,
        "layer_name": layer_name(layer),
        "channel": channel,
        "class": one.label,
        "role": one.role,
        **strengths.row(),
        "sum": total,
        "squares": squares,
        "chosen": bool(chosen),
        **dict(zip(EFFECTS, effects, strict=True)),
    }

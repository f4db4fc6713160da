"""Questions about channels: the top ones of a layer, and one channel across studies."""

from collections.abc import Iterator
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, Select, and_, false, func, literal, select, tuple_

from beholder.errors import InvalidInput, NotFound
from beholder.jobs.channel_models import Channel, ChannelEffect
from beholder.jobs.database import Database
from beholder.jobs.models import Job
from beholder.jobs.views import ChannelView, columns_of, layer_name

Sort = Literal["layer", "count", "controls", "mean", "deviation", "maximum", "contrast"]

_KEY = (Channel.job_id, Channel.layer, Channel.channel)
# Within a layer. Among equal counts the blinded ones first: the published rule chose those whose
# picture came first, which rows of figures do not show.
_RANK = (Channel.count.desc(), Channel.chosen.desc(), Channel.mean.desc(), Channel.channel)
_NEWEST = (Job.created_at.desc(), Job.id.desc())
# The order of a list that is sorted by layer, as columns; those that ascend.
_SORTED_BY: tuple[tuple[Any, bool], ...] = (
    (Job.created_at, False),
    (Job.id, False),
    (Channel.layer, True),
    (Channel.count, False),
    (Channel.chosen, False),
    (Channel.mean, False),
    (Channel.channel, True),
)
# How far apart targets and controls are, in deviations; the sum keeps it to plain arithmetic.
_CONTRAST = (Channel.mean - Channel.control_mean) / (
    Channel.deviation + Channel.control_deviation + 1e-12
)
_COLUMNS = (
    Channel.job_id,
    *(getattr(Channel, name) for name in columns_of(ChannelView)[1:-2] if name != "layer_name"),
    ChannelEffect.rank,
    ChannelEffect.score,
)
# A set is a few channels of a study: most have no row there.
_OF_SET = and_(
    ChannelEffect.job_id == Channel.job_id,
    ChannelEffect.layer == Channel.layer,
    ChannelEffect.channel == Channel.channel,
)
_PAGE = 1_000


def channels(
    database: Database,
    *,
    study: str | None = None,
    layer: int | None = None,
    channel: int | None = None,
    top: int | None = None,
    chosen: bool | None = None,
    network_sha256: str | None = None,
    sort: Sort = "layer",
    after: str | None = None,
    limit: int | None = None,
) -> Iterator[ChannelView]:
    """Channels of a study (a full id), or of every study, newest first.

    top: only so many of each layer and study, by count, then what was chosen, then mean.
    network_sha256: only studies on these weights. sort: "layer" keeps layers together, ranked
    as for `top`; the others put the largest first. after: with "layer", the `place_of` the last
    channel of the page before. Raises InvalidInput at the call.
    """
    if study is None and layer is None:
        raise InvalidInput("name a study or a layer: `beholder jobs --kind study` lists studies.")
    if channel is not None and layer is None:
        raise InvalidInput(f"in which layer is channel {channel}? `beholder layers` lists them.")
    if sort not in get_args(Sort):
        raise InvalidInput(f"can't sort by {sort!r}: sort by {', '.join(get_args(Sort))}.")
    wanted = _conditions(study, layer, channel, chosen, network_sha256)
    if top is not None:
        wanted = [_among_top(wanted, top, one_layer=None not in (study, layer))]
    if after is not None:
        wanted.append(_behind(database, after, sort))
    statement = select(*_COLUMNS).join(Job, Job.id == Channel.job_id)
    statement = statement.outerjoin(ChannelEffect, _OF_SET).where(*wanted)
    return _stream(database, statement.order_by(*_order(sort)).limit(limit), limit)


def _conditions(
    study: str | None,
    layer: int | None,
    channel: int | None,
    chosen: bool | None,
    network_sha256: str | None,
) -> list[ColumnElement[bool]]:
    every: tuple[tuple[object, Any], ...] = (
        (study, Channel.job_id == study),
        (layer, Channel.layer == layer),
        (channel, Channel.channel == channel),
        (chosen, Channel.chosen if chosen else ~Channel.chosen),
        (network_sha256, Job.network_sha256 == network_sha256),
    )
    return [condition for given, condition in every if given is not None]


def _among_top(
    wanted: list[ColumnElement[bool]], top: int, *, one_layer: bool
) -> ColumnElement[bool]:
    """That a channel is one of the first `top` of its study and layer.

    One layer of one study is read off the end of its index; otherwise the database ranks them.
    """
    keys = select(*_KEY).join(Job, Job.id == Channel.job_id).where(*wanted)
    if one_layer:
        best = keys.order_by(*_RANK).limit(top).subquery()
    else:
        layers = (Channel.job_id, Channel.layer)
        place = func.row_number().over(partition_by=layers, order_by=_RANK).label("place")
        ranked = keys.add_columns(place).subquery()
        best = select(ranked).where(ranked.c.place <= top).subquery()
    return tuple_(*_KEY).in_(select(best.c.job_id, best.c.layer, best.c.channel))


def place_of(channel: ChannelView) -> str:
    """Where a channel stands in a list that is sorted by layer, for `after`."""
    return f"{channel.study}-{channel.layer}-{channel.channel}"


def _behind(database: Database, place: str, sort: Sort) -> ColumnElement[bool]:
    """What comes behind the channel at this place, by the keys that it is sorted by."""
    study, layer, channel = _parsed(place)
    if sort != "layer":
        raise InvalidInput("only lists that are sorted by layer have more than one page.")
    columns = (column for column, _ in _SORTED_BY)
    statement = select(*columns).join(Job, Job.id == Channel.job_id)
    with database.read() as session:
        row = session.execute(statement.where(tuple_(*_KEY) == (study, layer, channel))).first()
    if row is None:
        raise NotFound(f"the channel {place!r} is gone: begin with the first page.")
    behind: ColumnElement[bool] = false()
    for (column, ascending), value in reversed(list(zip(_SORTED_BY, row, strict=True))):
        same = literal(value, column.type)  # of a bare True there is no smaller
        further = column > same if ascending else column < same
        behind = further | ((column == same) & behind)
    return behind


def _parsed(place: str) -> tuple[str, int, int]:
    try:
        study, layer, channel = place.split("-")
        return study, int(layer), int(channel)
    except ValueError:
        raise InvalidInput(
            f"{place!r} is no place in the list of channels: leave it out to start with the first."
        ) from None


def _order(sort: Sort) -> list[Any]:
    if sort == "layer":
        return [*_NEWEST, Channel.layer, *_RANK]
    by = _CONTRAST if sort == "contrast" else getattr(Channel, sort)
    return [by.desc().nulls_last(), *_NEWEST, Channel.layer, Channel.channel]


def _stream(
    database: Database, statement: Select[*tuple[Any, ...]], limit: int | None
) -> Iterator[ChannelView]:
    whole = limit is not None and limit <= _PAGE  # then in parts would only take more messages
    options = {} if whole else {"yield_per": _PAGE}
    with database.read() if whole else database.snapshot() as session:
        for study, layer, *values in session.execute(statement, execution_options=options):
            yield ChannelView(study, layer, layer_name(layer), *values)

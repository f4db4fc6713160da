"""Channels for one class and not for another: `contrasts`, over all studies or in one.

The rule: for each class asked for and each it is held against, the difference of mean strengths
in pooled standard deviations (Cohen's d); a channel counts by the smallest of them, and is listed
where that is above 0. So it is stronger for every class asked for than for every other one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import sqrt
from typing import Any

from sqlalchemy import func, select, tuple_

from beholder.errors import InvalidInput, NotFound
from beholder.jobs.channel_models import ChannelClass
from beholder.jobs.database import Database
from beholder.jobs.record_queries import MeasuredClass, measured_classes
from beholder.jobs.record_views import Inputs, Strengths
from beholder.jobs.views import View, layer_name

ALL_OTHERS = "all others"
_LEAST = 2  # pictures: a deviation of fewer says nothing
_SHOWN_LABELS = 20

_Channel = tuple[int, int]


@dataclass(frozen=True)
class ContrastView(View):
    """A channel that is stronger for `label` than for `other` by `difference` deviations.

    They are the pair of classes of which that is least. means: of strengths; active: shares of
    pictures that drive it at all.
    """

    layer: int
    layer_name: str
    channel: int
    difference: float
    label: str
    mean: float
    active: float
    other: str
    other_mean: float
    other_active: float


@dataclass(frozen=True)
class Contrast:
    """The channels, most different first, and what they were looked for in.

    labels, others: pictures of each class. elsewhere: other networks and inputs that have them.
    """

    inputs: Inputs
    labels: dict[str, int]
    others: dict[str, int]
    elsewhere: tuple[Inputs, ...]
    channels: tuple[ContrastView, ...]

    def row(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "inputs": self.inputs._asdict(),
            "labels": self.labels,
            "others": self.others,
            "elsewhere": [inputs._asdict() for inputs in self.elsewhere],
            "channels": [channel.row() for channel in self.channels],
        }


@dataclass(frozen=True)
class _Side:
    """A class, or several taken together, with every channel's strengths."""

    label: str
    n: int
    channels: dict[_Channel, Strengths]


def contrasts(
    database: Database,
    wanted: Sequence[str],
    others: Sequence[str] = (),
    *,
    network: str | None = None,
    study: str | None = None,
    layers: Sequence[int] | None = None,
    limit: int = 20,
) -> Contrast:
    """ReLU channels that are stronger for all of `wanted` than for any of `others`.

    No others: all other classes, taken together. layers: indices of ReLU layers; None for all. Of
    several networks and kinds of input, the newest that has the classes. Raises NotFound or
    InvalidInput, saying which classes there are.
    """
    every = measured_classes(database, network=network, study=study)
    inputs, elsewhere = _with_labels(every, [*wanted, *others])
    here = [one for one in every if one.inputs == inputs]
    sides = _sides(database, here, wanted, layers)
    against = _sides(database, here, others, layers)
    if not others:
        rest = [one for one in here if not any(_same(one.label, label) for label in wanted)]
        if not rest:
            raise InvalidInput(
                "no study has another class to hold this against: give studies controls."
            )
        against = [_side(database, ALL_OTHERS, rest, layers)]
    found = sorted(_compare(sides, against), key=lambda row: -row.difference)
    return Contrast(
        inputs,
        {side.label: side.n for side in sides},
        {side.label: side.n for side in against},
        tuple(elsewhere),
        tuple(found[:limit]),
    )


def _with_labels(
    every: Sequence[MeasuredClass], labels: Sequence[str]
) -> tuple[Inputs, list[Inputs]]:
    """The newest inputs of which all the classes were measured, and the others that have them."""
    able = [
        inputs
        for inputs in dict.fromkeys(one.inputs for one in every)
        if all(_called([one for one in every if one.inputs == inputs], label) for label in labels)
    ]
    if able:
        return able[0], able[1:]
    if not every:
        raise NotFound(
            "no study has measured strengths by class there: `beholder study --dir DIR --control "
            "DIR` does."
        )
    there = list(dict.fromkeys(one.label for one in every))
    missing = [label for label in labels if not _called(every, label)]
    some = ", ".join(there[:_SHOWN_LABELS])
    more = f" and {len(there) - _SHOWN_LABELS} more" if len(there) > _SHOWN_LABELS else ""
    if missing:
        raise InvalidInput(
            f"no study has a class {missing[0]!r}: classes are {some}{more}, as folders of their "
            "pictures are called."
        )
    raise InvalidInput(
        f"{' and '.join(labels)} were never measured on one network with like inputs: their "
        "strengths can't be compared. Put them into one study."
    )


def _same(label: str, wanted: str) -> bool:
    return label.casefold() == wanted.casefold()


def _called(classes: Sequence[MeasuredClass], label: str) -> list[MeasuredClass]:
    return [one for one in classes if _same(one.label, label)]


def _sides(
    database: Database,
    classes: Sequence[MeasuredClass],
    labels: Sequence[str],
    layers: Sequence[int] | None,
) -> list[_Side]:
    """Each of the classes by itself, under its own spelling."""
    named = {label.casefold(): _called(classes, label) for label in labels}
    return [_side(database, found[0].label, found, layers) for found in named.values()]


def _side(
    database: Database, label: str, classes: Sequence[MeasuredClass], layers: Sequence[int] | None
) -> _Side:
    """The classes' channels, summed by the database; each set of pictures once."""
    once = list({one.pictures: one for one in reversed(classes)}.values())
    n = sum(one.n for one in once)
    if n < _LEAST:
        raise InvalidInput(f"class {label} has {n} picture: {_LEAST} at least can be compared.")
    statement = select(
        ChannelClass.layer,
        ChannelClass.channel,
        func.sum(ChannelClass.active),
        func.sum(ChannelClass.sum),
        func.sum(ChannelClass.squares),
        func.max(ChannelClass.maximum),
    ).where(
        # By the beginning of the key, which SQLite does not see in pairs of its columns.
        ChannelClass.job_id.in_([one.study for one in once]),
        ChannelClass.number.in_({one.number for one in once}),
        tuple_(ChannelClass.job_id, ChannelClass.number).in_(
            [(one.study, one.number) for one in once]
        ),
    )
    if layers is not None:
        statement = statement.where(ChannelClass.layer.in_(layers))
    with database.read() as session:
        rows = session.execute(statement.group_by(ChannelClass.layer, ChannelClass.channel))
        channels = {(row[0], row[1]): Strengths(n, int(row[2]), *row[3:]) for row in rows}
    return _Side(label, n, channels)


def _compare(sides: Sequence[_Side], against: Sequence[_Side]) -> Iterator[ContrastView]:
    """Each channel with its least difference, where all of them are above 0."""
    shared = set.intersection(*(set(side.channels) for side in (*sides, *against)))
    for place in sorted(shared):
        pairs = [
            (difference(one.channels[place], other.channels[place]), one, other)
            for one, other in product(sides, against)
        ]
        least, one, other = min(pairs, key=lambda pair: pair[0])
        if least > 0:
            yield _view(place, least, one, other)


def difference(one: Strengths, other: Strengths) -> float:
    """Of the means, in pooled standard deviations: Cohen's d, with variances divided by n.

    0 where neither varies: of such pictures there are too few to say anything.
    """
    pooled = (one.n * one.variance + other.n * other.variance) / max(one.n + other.n, 1)
    return (one.mean - other.mean) / sqrt(pooled) if pooled > 0 else 0.0


def _view(place: _Channel, least: float, one: _Side, other: _Side) -> ContrastView:
    ours, theirs = one.channels[place], other.channels[place]
    return ContrastView(
        place[0],
        layer_name(place[0]),
        place[1],
        least,
        one.label,
        ours.mean,
        ours.fraction_active,
        other.label,
        theirs.mean,
        theirs.fraction_active,
    )

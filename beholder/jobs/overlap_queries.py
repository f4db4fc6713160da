"""Which of the channels that two studies chose are the same: `overlap`, beside what chance gives.

Of ReLU layers alone: a convolution's entry repeats its ReLU's, and a pool is a function of one.
Chance is that of sets of the same sizes drawn from each layer, so the number shared is a sum of
hypergeometric ones, whose distribution is worked out exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

from sqlalchemy import func, select

from beholder.errors import Conflict, InvalidInput
from beholder.jobs.channel_models import Channel
from beholder.jobs.database import Database
from beholder.jobs.views import JobView, View, layer_name
from beholder.layers import LAYERS

_RELUS = tuple(layer.index for layer in LAYERS if layer.kind == "relu")


@dataclass(frozen=True)
class LayerOverlap(View):
    """Of one layer: its channels, how many each study chose, and both. expected: by chance."""

    layer: int
    layer_name: str
    width: int
    first: int
    second: int
    shared: int
    expected: float


@dataclass(frozen=True)
class Overlap(View):
    """Channels as (layer, channel). jaccard: shared of all that either chose.

    expected: how many sets of these sizes would share by chance; p: the probability that they
    share as many or more. alike: whether both studies' pictures reached the network alike.
    """

    first: str
    second: str
    alike: bool
    jaccard: float
    expected: float
    p: float
    shared: tuple[tuple[int, int], ...]
    only_first: tuple[tuple[int, int], ...]
    only_second: tuple[tuple[int, int], ...]
    layers: tuple[LayerOverlap, ...]


def overlap(database: Database, first: JobView, second: JobView) -> Overlap:
    """Of two studies on the same weights that have chosen. Raises InvalidInput or Conflict."""
    _insist(first, second)
    ones, others = _chosen(database, first.id), _chosen(database, second.id)
    widths = _widths(database, first.id)
    layers = [_layer(layer, widths[layer], ones, others) for layer in _RELUS if layer in widths]
    layers = [layer for layer in layers if layer.first or layer.second]
    shared, every = ones & others, ones | others
    return Overlap(
        first.id,
        second.id,
        all(first.spec.get(key) == second.spec.get(key) for key in ("size", "normalize")),
        len(shared) / len(every),
        sum(layer.expected for layer in layers),
        chance(layers, len(shared)),
        tuple(sorted(shared)),
        tuple(sorted(ones - others)),
        tuple(sorted(others - ones)),
        tuple(layers),
    )


def chance(layers: Sequence[LayerOverlap], shared: int) -> float:
    """That sets drawn from each layer, of the sizes that they have there, share so many or more."""
    sums = [1.0]
    for layer in layers:
        sums = _convolved(sums, _hypergeometric(layer.width, layer.first, layer.second))
    return min(1.0, sum(sums[shared:]))


def _hypergeometric(width: int, first: int, second: int) -> list[float]:
    """Probability that two sets of these sizes, of `width` channels, share 0, 1, 2, ..."""
    every = comb(width, second)
    return [
        comb(first, both) * comb(width - first, second - both) / every
        for both in range(min(first, second) + 1)
    ]


def _convolved(one: Sequence[float], other: Sequence[float]) -> list[float]:
    """The distribution of the sum of two numbers."""
    found = [0.0] * (len(one) + len(other) - 1)
    for at, p in enumerate(one):
        for further, q in enumerate(other):
            found[at + further] += p * q
    return found


def _insist(first: JobView, second: JobView) -> None:
    for study in (first, second):
        if study.kind != "study":
            raise InvalidInput(
                f"job {study.id} is a dream: `beholder jobs --kind study` lists studies."
            )
        if study.target_pictures is None:
            raise Conflict(
                f"study {study.id} has chosen no channels yet ({study.state}): `beholder watch "
                f"{study.id}`."
            )
    if (first.network, first.network_sha256) != (second.network, second.network_sha256):
        raise InvalidInput(
            f"study {first.id} is on {first.network}, {second.id} on {second.network} or other "
            "weights: channels of two networks have nothing in common."
        )


def _chosen(database: Database, study: str) -> set[tuple[int, int]]:
    statement = select(Channel.layer, Channel.channel).where(
        Channel.job_id == study, Channel.chosen, Channel.layer.in_(_RELUS)
    )
    with database.read() as session:
        found = {(layer, channel) for layer, channel in session.execute(statement)}
    if not found:
        raise Conflict(
            f"study {study} chose no channel of a ReLU layer: there is nothing to share."
        )
    return found


def _widths(database: Database, study: str) -> dict[int, int]:
    """How many channels each ReLU layer has."""
    statement = (
        select(Channel.layer, func.count())
        .where(Channel.job_id == study, Channel.layer.in_(_RELUS))
        .group_by(Channel.layer)
    )
    with database.read() as session:
        return {row[0]: row[1] for row in session.execute(statement)}


def _layer(
    layer: int, width: int, ones: set[tuple[int, int]], others: set[tuple[int, int]]
) -> LayerOverlap:
    first = {place for place in ones if place[0] == layer}
    second = {place for place in others if place[0] == layer}
    expected = len(first) * len(second) / width
    return LayerOverlap(
        layer, layer_name(layer), width, len(first), len(second), len(first & second), expected
    )

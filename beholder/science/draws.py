"""Random channel sets to hold a chosen one against: `layer_matched`, and `norm_matched`.

A set's draw depends on the seed and its number alone: the first 19 of 199 are the 19.
A convolution's channels are its ReLU's, and count once.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from beholder.errors import InvalidChannel, InvalidInput
from beholder.layers import find_layer, relu_of

Channels = Mapping[int, Sequence[int]]
Drawn = dict[int, tuple[int, ...]]
_NEAREST = 10


def layer_matched(
    channels: Channels,
    widths: Sequence[int] | Mapping[int, int],
    *,
    count: int,
    seed: int,
    exclude: Channels | None = None,
) -> tuple[Drawn, ...]:
    """`count` sets with as many channels a layer as `channels`, drawn evenly without replacement.

    widths: how many channels a layer has, by the ReLU's index. exclude: channels to leave out, such
    as the set's own; None leaves out none, as a permutation test wants it. A set is never smaller
    than the one it stands for: where a layer has too few others, as few as needed of the excluded
    are drawn as well. Raises InvalidChannel where the layer does not have that many.
    """
    shunned = _by_relu(exclude or {})
    return tuple(
        {
            layer: _drawn(generator, layer, len(picked), widths[layer], shunned.get(layer, []))
            for layer, picked in _by_relu(channels).items()
        }
        for generator in _generators(count, seed)
    )


def norm_matched(
    channels: Channels,
    strengths: Mapping[int, Sequence[float] | NDArray[np.floating]],
    *,
    count: int,
    seed: int,
    nearest: int = _NEAREST,
) -> tuple[Drawn, ...]:
    """`count` sets that are matched in strength too, with none of `channels` among them.

    strengths: (C,) mean strengths on the targets, by ReLU layer. For each channel one is drawn of
    the `nearest` in strength rank that are still free, in the same layer, so that dead channels
    stand for dead ones only. Where a layer has too few others, its set is filled up with the
    channels' own, so that no set is smaller. Raises InvalidChannel for one that the layer lacks.
    """
    return tuple(
        {
            layer: _near(generator, layer, picked, strengths[layer], nearest)
            for layer, picked in _by_relu(channels).items()
        }
        for generator in _generators(count, seed)
    )


def _by_relu(channels: Channels) -> dict[int, list[int]]:
    """The channels at the layers where they are ablated, each once, ascending."""
    found: dict[int, set[int]] = {}
    for layer, picked in channels.items():
        found.setdefault(relu_of(layer), set()).update(picked)
    return {layer: sorted(found[layer]) for layer in sorted(found) if found[layer]}


def _generators(count: int, seed: int) -> list[np.random.Generator]:
    if count < 0:
        raise InvalidInput(f"count: 0 draws at least; got {count}.")
    return [np.random.default_rng((seed, draw)) for draw in range(count)]


def _drawn(
    generator: np.random.Generator, layer: int, size: int, width: int, shunned: Sequence[int]
) -> tuple[int, ...]:
    """`size` of a layer's channels; of those to be shunned only what is lacking else."""
    if size > width:
        raise InvalidChannel(f"{find_layer(layer).name} has {width} channels; got {size} to match.")
    free = np.setdiff1d(np.arange(width), np.asarray(shunned, dtype=np.int64))
    taken = generator.choice(free, min(size, len(free)), replace=False)
    others = np.setdiff1d(np.arange(width), free)
    spare = generator.choice(others, size - len(taken), replace=False)
    return tuple(sorted(map(int, (*taken, *spare))))


def _near(
    generator: np.random.Generator,
    layer: int,
    picked: list[int],
    strengths: Sequence[float] | NDArray[np.floating],
    nearest: int,
) -> tuple[int, ...]:
    """One channel for each of `picked`, in an order of chance, near it in strength rank."""
    order = np.argsort(np.asarray(strengths, dtype=np.float64), kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    if picked[0] < 0 or picked[-1] >= len(order):
        wrong = picked[0] if picked[0] < 0 else picked[-1]
        raise InvalidChannel(
            f"{find_layer(layer).name} has channels 0-{len(order) - 1}; got {wrong}."
        )
    free = np.setdiff1d(np.arange(len(order)), picked)
    found: list[int] = []
    for channel in generator.permutation(picked)[: len(free)]:
        near = np.lexsort((rank[free], np.abs(rank[free] - rank[channel])))[:nearest]
        place = generator.choice(near)
        found.append(int(free[place]))
        free = np.delete(free, place)
    own = generator.permutation(picked)[: len(picked) - len(found)]
    return tuple(sorted(map(int, (*found, *own))))

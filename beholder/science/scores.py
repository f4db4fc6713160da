"""How much each channel is the target class's: scores by strengths, and `best`, which ranks them.

`effect_size`, `auroc` and `counts` read strengths that `measure` gave, of pictures of the target
and of others. `attribution`, `greedy` and `single` ask what later layers do with a channel.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from beholder.errors import InvalidInput
from beholder.layers import LAYERS, find_layer
from beholder.science.measure import ranked

Strengths = NDArray[np.floating]
Scores = dict[int, NDArray[np.float64]]  # by ReLU layer (C,), higher is better
Picked = tuple[int, int, float]  # layer, channel, score


def candidates(min_layer: int = 20) -> tuple[int, ...]:
    """The ReLU layers from `min_layer` on, where channels are scored and ablated."""
    first = find_layer(min_layer).index
    return tuple(layer.index for layer in LAYERS[first:] if layer.kind == "relu")


def effect_size(targets: Strengths, others: Strengths) -> NDArray[np.float64]:
    """Cohen's d (C,) of strengths (n, C) of targets and (m, C) of others.

    The difference of means by the pooled deviation, with n + m - 2 degrees of freedom (Cohen 1988).
    0 where neither varies. Raises InvalidInput for one of each, of which none could.
    """
    _check(targets, others)
    if len(targets) + len(others) < 3:
        raise InvalidInput(
            "effect_size: three pictures at least, since one of each do not vary; got 1 and 1."
        )
    ours, theirs = (np.asarray(rows, np.float64) for rows in (targets, others))
    squares = sum(((rows - rows.mean(axis=0)) ** 2).sum(axis=0) for rows in (ours, theirs))
    pooled = np.sqrt(squares / (len(ours) + len(theirs) - 2))
    apart = ours.mean(axis=0) - theirs.mean(axis=0)
    found: NDArray[np.float64] = np.zeros_like(apart)
    np.divide(apart, pooled, out=found, where=pooled > 0)
    return found


def auroc(targets: Strengths, others: Strengths) -> NDArray[np.float64]:
    """The probability (C,) that a target's strength is above another's; a tie counts half.

    targets: (n, C). others: (m, C). Mann and Whitney's U / (n m), from mid-ranks.
    """
    _check(targets, others)
    rows = np.concatenate([targets, others])
    ranks = np.stack([_mid_ranks(column) for column in rows.T], axis=1)  # (n + m, C)
    n, m = len(targets), len(others)
    wins: NDArray[np.float64] = ranks[:n].sum(axis=0) - n * (n + 1) / 2
    return wins / (n * m)


def counts(strengths: Strengths, *, top: int = 10, threshold: float = 0.0) -> NDArray[np.float64]:
    """In how many of the pictures (C,) each channel is among the `top` strongest of its layer.

    strengths: (B, C) of one layer. threshold: a top channel is stronger than this. As published.
    """
    order, above = ranked(torch.from_numpy(np.ascontiguousarray(strengths)), top, threshold)
    found = np.zeros(strengths.shape[1])
    np.add.at(found, order[above].numpy(), 1.0)
    return found


def best(
    scores: Mapping[int, NDArray[np.floating]],
    most: int,
    *,
    alive: Mapping[int, NDArray[np.bool_]] | None = None,
) -> list[Picked]:
    """The `most` best (layer, channel, score) over all layers, best first.

    alive: by layer (C,), channels that some target activates; the others come after all of these.
    Among equals the lower layer comes first, then the lower channel.
    """
    every = [
        (alive is not None and not alive[layer][channel], -float(score), layer, channel)
        for layer, row in scores.items()
        for channel, score in enumerate(row)
    ]
    return [(layer, channel, -less) for _, less, layer, channel in sorted(every)[:most]]


def _mid_ranks(values: Strengths) -> NDArray[np.float64]:
    """Ranks (N,) from 1 on; equal values share the mean of theirs."""
    _, places, sizes = np.unique(values, return_inverse=True, return_counts=True)
    ends = sizes.cumsum()
    ranks: NDArray[np.float64] = (ends - (sizes - 1) / 2)[places]
    return ranks


def _check(targets: Strengths, others: Strengths) -> None:
    shapes = np.shape(targets), np.shape(others)
    alike = all(len(shape) == 2 and shape[0] for shape in shapes) and shapes[0][1] == shapes[1][1]
    if not alike:
        raise InvalidInput(
            "scores compare strengths (n, C) of targets with (m, C) of others, one picture of "
            f"each at least; got {shapes[0]} and {shapes[1]}."
        )

"""Channels that a class needs and others do not: `contrastive` at once, `iterative` step by step.

`needed_by` is what controls' own classes need, which both of them spare.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from beholder.errors import InvalidInput
from beholder.science.attribution import Attribution, Attributor
from beholder.science.scores import Picked, Scores, best

WEIGHT = 2.5  # nats of the target's margin for the whole of another class's
AT_ONCE = 2  # channels cut between two looks
_NOTHING = 1e-4  # nats: less may be rounding
_SMALL = 1.0  # nats: smaller margins count as this


def gradient(targets: Attribution) -> Scores:
    """The mean over targets of gradient x activation."""
    return {layer: rows.mean(axis=0) for layer, rows in targets.parts.items()}


def needed_by(controls: Attribution, classes: Sequence[int], *, target: int) -> Scores:
    """What the controls' classes need of each channel: the sum of their means, where above 0.

    Of each picture it is the share of its margin that the channel makes: who is sure can lose more.
    classes: (B,) that the attribution is for; pictures of the target's are left out. Each class
    counts for itself: in a mean over all pictures what one sibling needs is lost among the many
    that do without, or made up for by what is in another's way.
    """
    labels = np.asarray(classes)
    margin = np.maximum(controls.margin, _SMALL)[:, None]
    found: Scores = {}
    for layer, rows in controls.parts.items():
        found[layer] = np.zeros(rows.shape[1])
        for label in sorted(set(classes) - {target}):
            shares = (rows / margin)[labels == label]
            found[layer] += np.maximum(shares.mean(axis=0), 0.0)
    return found


def contrastive(
    targets: Mapping[int, NDArray[np.float64]],
    needed: Mapping[int, NDArray[np.float64]],
    *,
    weight: float = WEIGHT,
) -> Scores:
    """What the targets need less `weight` times what the controls do, both by layer (C,).

    weight: what the whole margin of another class is worth, in nats of the target's.
    """
    return {layer: row - weight * needed[layer] for layer, row in targets.items()}


def iterative(
    targets: Attributor,
    needed: Mapping[int, NDArray[np.float64]],
    *,
    most: int,
    of_each: int | None = None,
    at_once: int = AT_ONCE,
    weight: float = WEIGHT,
    on_part: Callable[[float], None] | None = None,
) -> list[Picked]:
    """Up to `most` channels, best first, each with the contrastive score it was taken for.

    Whenever `at_once` channels are taken, and later a quarter of those that are, the targets'
    attributions are found again with those zeroed: what stands in for a channel shows when that is
    gone, and what it fed shows no more.
    of_each: at most so many of a layer, so that those which crowd in one leave room for others'.
    needed: as of `needed_by`, on the intact network. Channels that do nothing for the target, or
    work against it, are not taken, so that there may be fewer than `most`.
    on_part: called with the fraction that is done; what it raises ends the choice.
    """
    of_each = most if of_each is None else of_each
    if min(most, of_each, at_once) < 1:
        raise InvalidInput(
            f"most, of_each, at_once: 1 at least; got {most}, {of_each} and {at_once}."
        )
    taken: list[Picked] = []
    while len(taken) < most:
        found = gradient(targets.attribution(_channels(taken)))
        scores = contrastive(found, needed, weight=weight)
        room = dict.fromkeys(found, of_each)
        for layer, _, _ in taken:
            room[layer] -= 1
        free = {layer: (row > _NOTHING) & (room[layer] > 0) for layer, row in found.items()}
        for layer, channel, _ in taken:
            free[layer][channel] = False
        few = max(at_once, len(taken) // 4)  # a large set changes little by a few more
        left = sum(int(row.sum()) for row in free.values())
        if not left:
            break
        ordered = best(scores, left, alive=free)
        taken += _with_room(ordered, room, min(few, most - len(taken)))
        if on_part is not None:
            on_part(len(taken) / most)
    return taken


def _with_room(ordered: Sequence[Picked], room: Mapping[int, int], size: int) -> Sequence[Picked]:
    """The first `size` of them that find room in their layer."""
    left = dict(room)
    found: list[Picked] = []
    for one in ordered:
        if len(found) < size and left[one[0]]:
            left[one[0]] -= 1
            found.append(one)
    return found


def _channels(taken: Sequence[Picked]) -> dict[int, tuple[int, ...]]:
    found: dict[int, tuple[int, ...]] = {}
    for layer, channel, _ in taken:
        found[layer] = (*found.get(layer, ()), channel)
    return found

"""What a class's margin loses without each channel alone: `single`, by ablation."""

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from beholder.errors import InvalidInput
from beholder.layers import relu_of
from beholder.science.ablation import Ablation
from beholder.science.measure import measure
from beholder.science.networks import Network
from beholder.science.prefix import Precision
from beholder.science.scores import Scores
from beholder.science.sweep import sweep

_LOT = 256  # channels of one sweep
_PICTURES = 16  # whose strengths are measured together


def single(
    network: Network,
    targets: Tensor,
    target: int,
    *,
    layers: Sequence[int],
    normalize: bool = False,
    precision: Precision = "float32",
    on_part: Callable[[float], None] | None = None,
) -> Scores:
    """The mean over pictures (B, 3, H, W) of margin less margin with a channel zeroed, in nats.

    target: the class index. layers: as for `Attributor`. Channels that no picture activates are 0,
    and are not run. on_part: called with the fraction that is done; what it raises ends it.
    Raises InvalidInput, InvalidLayer, InvalidSpec, PictureError.
    """
    if not len(targets):
        raise InvalidInput("single: pass one picture at least.")
    places = sorted({relu_of(layer) for layer in layers})
    scores: Scores = {layer: np.zeros(network.widths[layer]) for layer in places}
    alive = _alive(network, targets, places, normalize, precision)
    for first in range(0, len(alive), _LOT):
        lot = alive[first : first + _LOT]

        def tell(done: float, before: int = first, size: int = len(lot)) -> None:
            if on_part is not None:
                on_part((before + done * size) / len(alive))

        found = sweep(
            network,
            targets,
            [Ablation({layer: (channel,)}) for layer, channel in lot],
            target=target,
            kept=(),
            normalize=normalize,
            precision=precision,
            on_part=tell,
        )
        lost = (found.margin[0] - found.margin[1:]).mean(axis=1)
        for (layer, channel), loss in zip(lot, lost, strict=True):
            scores[layer][channel] = loss
    return scores


def _alive(
    network: Network,
    targets: Tensor,
    layers: Sequence[int],
    normalize: bool,
    precision: Precision,
) -> list[tuple[int, int]]:
    """The channels that some picture activates, by layer."""
    found = {layer: np.zeros(network.widths[layer], bool) for layer in layers}
    for first in range(0, len(targets), _PICTURES):
        part = targets[first : first + _PICTURES]
        strengths = measure(network, part, normalize=normalize, precision=precision).strengths
        for layer in layers:
            found[layer] |= (strengths[layer] > 0).any(dim=0).numpy()
    return [(layer, int(channel)) for layer in layers for channel in np.flatnonzero(found[layer])]

"""Blinding: `blinded` zeroes channels for as long as a `with` lasts; `classify` and `verdicts` tell
what the network sees, `classify_onward` too, `before_and_after` both at once.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from beholder.errors import InvalidInput
from beholder.layers import LAST_LAYER, LAYERS, find_layer
from beholder.science.measure import check_sides, logits_of, walks, walks_onward
from beholder.science.networks import Network, channel_index
from beholder.science.prefix import Precision, Zeroing

_TOP = 5


@dataclass(frozen=True)
class Verdict:
    """A classification. Confidences are softmax probabilities in [0, 1].

    top5: the five likeliest labels with their confidences, likeliest first; fewer if the network
    has fewer classes.
    """

    label: str
    index: int
    confidence: float
    top5: tuple[tuple[str, float], ...]


@contextmanager
def blinded(network: Network, channels: Mapping[int, Sequence[int]]) -> Iterator[Network]:
    """The same network, with `channels` (by layer index) zero at those layers' outputs.

    The hooks are in place inside the `with` only, for every use of this network, dreams included.
    Raises InvalidLayer or InvalidChannel before any is.
    """
    cuts = [
        (layer, channel_index(network, find_layer(layer), picked))
        for layer, picked in channels.items()
        if picked
    ]
    handles: list[RemovableHandle] = []
    try:
        for layer, index in cuts:
            handles.append(network.module.features[layer].register_forward_hook(Zeroing(index)))
        yield network
    finally:
        for handle in handles:
            handle.remove()


def classify(
    network: Network,
    pictures: Tensor,
    *,
    normalize: bool = False,
    precision: Precision = "float32",
) -> Tensor:
    """The logits (B, classes), on the CPU, of `pictures` (B, 3, H, W).

    precision: as for `dream`. Raises InvalidInput, InvalidSpec, and PictureError for a side under
    32 pixels.
    """
    check_sides(pictures)
    return _at_the_end(network, walks(network, pictures, normalize=normalize, precision=precision))


def classify_onward(
    network: Network, layer: int, maps: Tensor, *, precision: Precision = "float32"
) -> Tensor:
    """`classify`, from the pictures' maps (B, C, h, w) of `layer`, a pool, as `measure` shows them.

    Layers up to there don't run, and what is blinded in them counts for nothing. Raises
    InvalidInput for another layer, the last one too, for a network's other maps, and for none.
    """
    if not (0 <= layer < LAST_LAYER and LAYERS[layer].kind == "pool"):
        raise InvalidInput(f"layer {layer} is no pool that others follow.")
    width, least = network.widths[layer], LAYERS[LAST_LAYER].stride // LAYERS[layer].stride
    if maps.ndim != 4 or maps.shape[1] != width or not len(maps) or min(maps.shape[2:]) < least:
        raise InvalidInput(
            f"maps of {LAYERS[layer].name} are (B, {width}, h, w), B from 1, h and w from {least}; "
            f"got {tuple(maps.shape)}."
        )
    return _at_the_end(network, walks_onward(network, layer, maps, precision=precision))


def verdicts(network: Network, logits: Tensor) -> list[Verdict]:
    """What the network says of each picture, from its logits (B, classes)."""
    if logits.ndim != 2 or logits.shape[1] != len(network.labels):
        raise InvalidInput(
            f"logits of {network.name} are (B, {len(network.labels)}); got {tuple(logits.shape)}."
        )
    confidences = logits.detach().cpu().softmax(dim=1)  # (B, classes)
    values, order = confidences.sort(dim=1, descending=True, stable=True)
    return [
        _verdict(network, row, indices)
        for row, indices in zip(values[:, :_TOP].tolist(), order[:, :_TOP].tolist(), strict=True)
    ]


def before_and_after(
    network: Network,
    pictures: Tensor,
    channels: Mapping[int, Sequence[int]],
    *,
    normalize: bool = False,
) -> list[tuple[Verdict, Verdict]]:
    """Each picture's verdict of the intact network, and of the one blinded to `channels`."""
    intact = classify(network, pictures, normalize=normalize)
    with blinded(network, channels):
        blind = classify(network, pictures, normalize=normalize)
    return list(zip(verdicts(network, intact), verdicts(network, blind), strict=True))


def _at_the_end(network: Network, ways: Iterable[Iterator[tuple[int, Tensor]]]) -> Tensor:
    """The logits (B, classes), on the CPU, of pictures that go these ways."""
    last_maps: list[Tensor] = []
    for walk in ways:
        ((_, maps),) = deque(walk, maxlen=1)
        last_maps.append(maps)
    return logits_of(network, torch.cat(last_maps)).cpu()


def _verdict(network: Network, values: list[float], indices: list[int]) -> Verdict:
    top = tuple((network.labels[i], value) for i, value in zip(indices, values, strict=True))
    return Verdict(top[0][0], indices[0], top[0][1], top)

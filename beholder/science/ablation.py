"""Ablations other than blinding: `Ablation` says which channels become what, `ablated` does it.

For as long as a `with` lasts, as `blinded` does. `fills` makes what mean and resample put in, and
`sweep` runs many ablations at once.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from beholder.errors import InvalidInput
from beholder.layers import find_layer, relu_of
from beholder.science.fills import Fills
from beholder.science.networks import Network, channel_index
from beholder.science.prefix import Zeroing

Mode = Literal["zero", "mean", "resample", "scale"]


@dataclass(frozen=True)
class Ablation:
    """Channels, and what their activations are replaced by.

    channels: by layer index. A convolution's are those of the ReLU after it.
    mode: "zero"; "mean", the controls' mean activation; "resample", the map that a control picture
    has there; "scale", `alpha` times the channel's own.
    keep: `channels` are what is left, and all else in the layers `candidates` is ablated.
    """

    channels: Mapping[int, tuple[int, ...]]
    mode: Mode = "zero"
    alpha: float = 0.0
    keep: bool = False
    candidates: tuple[int, ...] = ()


@dataclass(frozen=True)
class Cut:
    """What an ablation does at one ReLU or pool. Equal cuts do the same.

    channels: ascending, each once; index: the same as int64 on the network's device.
    """

    layer: int
    channels: tuple[int, ...]
    mode: Mode
    alpha: float
    index: Tensor = field(compare=False, repr=False)

    def taken(self, maps: Tensor) -> Tensor:
        """These channels (B, c, h, w) of maps (B, C, h, w)."""
        # In the order of channels_last, or the whole of the maps would be copied first.
        return maps.permute(0, 2, 3, 1).index_select(3, self.index).permute(0, 3, 1, 2)

    def replaced(self, maps: Tensor, fills: Fills | None, positions: Sequence[int]) -> Tensor:
        """What maps (B, c, h, w) of these channels become; it broadcasts to their shape.

        positions: (B,) of the pictures, which decide what donor each has.
        """
        if self.mode == "zero":
            return maps.new_zeros(())
        if self.mode == "scale":
            return maps * self.alpha
        assert fills is not None  # `cuts_of` has looked
        if self.mode == "mean":
            return fills.mean(self.layer, self.index).to(maps).view(1, -1, 1, 1)
        return fills.donated(self.layer, self.index, positions, maps.shape[2:]).to(maps)

    def apply_(self, maps: Tensor, fills: Fills | None, positions: Sequence[int]) -> None:
        """Ablate maps (B, C, h, w) in place."""
        if self.mode == "zero":
            maps.index_fill_(1, self.index, 0.0)
            return
        old = self.taken(maps)
        maps.index_copy_(1, self.index, self.replaced(old, fills, positions).expand_as(old))


def cuts_of(network: Network, ablation: Ablation, fills: Fills | None) -> dict[int, Cut]:
    """An ablation's cuts by layer, which are ReLUs and pools, from the lowest on.

    Raises InvalidLayer, InvalidChannel, and InvalidInput where what it needs is not in `fills`.
    """
    found: dict[int, Cut] = {}
    for layer, channels in sorted(_channels(network, ablation).items()):
        if not channels:
            continue
        index = channel_index(network, find_layer(layer), sorted(channels))
        found[layer] = Cut(layer, tuple(index.tolist()), ablation.mode, ablation.alpha, index)
        if ablation.mode in ("mean", "resample"):
            if fills is None:
                raise InvalidInput(f'mode "{ablation.mode}" needs fills: see find_fills.')
            fills.check(find_layer(layer), index, ablation.mode)
    return found


@contextmanager
def ablated(
    network: Network,
    ablation: Ablation,
    fills: Fills | None = None,
    *,
    positions: Sequence[int] | None = None,
) -> Iterator[Network]:
    """The same network, ablated at its layers' outputs, for every use of it inside the `with`.

    fills: what "mean" and "resample" put in. positions: of the pictures that will be passed, all
    together, which decide what donor each has; None counts them from 0.
    Raises InvalidLayer, InvalidChannel or InvalidInput before any hook is in place.
    """
    cuts = cuts_of(network, ablation, fills)
    handles: list[RemovableHandle] = []
    try:
        for layer, cut in cuts.items():
            # Zeroing is a hook that the prepared layers know how to do without their modules.
            hook = Zeroing(cut.index) if cut.mode == "zero" else _Replacing(cut, fills, positions)
            handles.append(network.module.features[layer].register_forward_hook(hook))
        yield network
    finally:
        for handle in handles:
            handle.remove()


class _Replacing:
    """A forward hook that ablates maps (B, C, h, w)."""

    def __init__(self, cut: Cut, fills: Fills | None, positions: Sequence[int] | None) -> None:
        self._cut = cut
        self._fills = fills
        self._positions = positions

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], maps: Tensor) -> Tensor:
        positions = range(len(maps)) if self._positions is None else self._positions
        if len(positions) != len(maps) and self._cut.mode == "resample":
            raise InvalidInput(
                f"ablated for {len(positions)} positions, but {len(maps)} pictures came: "
                "pass one position a picture."
            )
        if torch.is_grad_enabled():  # a ReLU's stored output must not change before backward
            maps = maps.clone()
        self._cut.apply_(maps, self._fills, positions)
        return maps


def _channels(network: Network, ablation: Ablation) -> dict[int, set[int]]:
    """The channels that are ablated, by the layer at whose output they are."""
    named: dict[int, set[int]] = {}
    for layer, channels in ablation.channels.items():
        place = relu_of(layer)
        if channels:
            channel_index(network, find_layer(place), channels)
        named.setdefault(place, set()).update(channels)
    if not ablation.keep:
        return named
    candidates = {relu_of(layer) for layer in ablation.candidates}
    strangers = sorted(layer for layer in named if named[layer] and layer not in candidates)
    if strangers or not candidates:
        missing = find_layer(strangers[0]).name if strangers else "none"
        raise InvalidInput(f"keep: name every layer of the channels in candidates; got {missing}.")
    return {
        layer: set(range(network.widths[layer])) - named.get(layer, set()) for layer in candidates
    }

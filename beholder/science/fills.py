"""What "mean" and "resample" ablations put in a channel's place: `find_fills` makes `Fills`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from beholder.errors import InvalidInput
from beholder.layers import Layer, find_layer, relu_of
from beholder.science.measure import check_sides, walks
from beholder.science.networks import Network
from beholder.science.prefix import Precision

_PICTURES = 16  # of which at most the maps are looked at together


@dataclass(frozen=True)
class Fills:
    """Means and maps of intact control pictures, by the index of a ReLU or pool.

    means: (C,) mean activation over pictures and places; NaN where it is not known. donors:
    (D, C, h, w) maps of the same D pictures at every layer. seed: decides on each picture's donor.
    """

    means: Mapping[int, Tensor] = field(default_factory=dict)
    donors: Mapping[int, Tensor] = field(default_factory=dict)
    seed: int = 0

    @classmethod
    def known(
        cls,
        network: Network,
        means: Mapping[int, Mapping[int, float]],
        donors: Mapping[int, Tensor] | None = None,
        *,
        seed: int = 0,
    ) -> "Fills":
        """Those of means by layer and channel, as a record keeps them."""
        rows: dict[int, Tensor] = {}
        for layer, values in means.items():
            row = rows.setdefault(relu_of(layer), torch.full((network.widths[layer],), torch.nan))
            row[list(values)] = torch.tensor(list(values.values()), dtype=row.dtype)
        return cls(rows, donors or {}, seed)

    def mean(self, layer: int, channels: Tensor) -> Tensor:
        """The means (c,) of `channels` (c,) int64."""
        return self.means[layer].to(channels.device)[channels]

    def donor(self, position: int) -> int:
        """Which donor the picture at `position` has: the same at every layer, in any batch."""
        count = len(next(iter(self.donors.values())))
        return int(np.random.default_rng((self.seed, position)).integers(count))

    def donated(
        self, layer: int, channels: Tensor, positions: Sequence[int], sides: Sequence[int]
    ) -> Tensor:
        """The maps (B, c, h, w) that pictures at `positions` (B,) get in those of `channels`.

        Raises InvalidInput unless they have `sides` (h, w).
        """
        maps = self.donors[layer]
        if tuple(maps.shape[2:]) != tuple(sides):
            raise InvalidInput(
                f"resample: donors' maps at {find_layer(layer).name} are {tuple(maps.shape[2:])}, "
                f"the pictures' {tuple(sides)}: take donors of the pictures' size."
            )
        chosen = torch.tensor([self.donor(position) for position in positions], device=maps.device)
        return maps[chosen].index_select(1, channels.to(maps.device))

    def check(self, layer: Layer, channels: Tensor, mode: str) -> None:
        """Raise InvalidInput where what `mode` puts into `channels` is not here."""
        held = self.means if mode == "mean" else self.donors
        known = layer.index in held and len(held[layer.index])
        if not known or (mode == "mean" and self.mean(layer.index, channels).isnan().any()):
            raise InvalidInput(
                f'mode "{mode}": the fills lack {layer.name}; name it to find_fills.'
            )


def find_fills(
    network: Network,
    controls: Tensor,
    *,
    means: Iterable[int] = (),
    donors: Iterable[int] = (),
    most_donors: int = 16,
    seed: int = 0,
    normalize: bool = False,
    precision: Precision = "float32",
) -> Fills:
    """Fills from control pictures (N, 3, H, W), of the layers named in `means` and in `donors`.

    Means are over all controls, donors are `most_donors` of them at most, drawn by `seed`: a
    VGG19's maps from relu4_1 on take 8 MB a donor at 224 pixels.
    Raises InvalidInput, InvalidLayer, InvalidSpec, PictureError.
    """
    check_sides(controls)
    if not len(controls):
        raise InvalidInput("fills come from control pictures: pass one at least.")
    averaged = {relu_of(layer) for layer in means}
    found = _means(network, controls, averaged, normalize, precision) if averaged else {}
    lent = {relu_of(layer) for layer in donors}
    order = np.random.default_rng(seed).permutation(len(controls))[:most_donors]
    chosen = controls[torch.from_numpy(np.sort(order)).to(controls.device)]
    return Fills(found, _maps(network, chosen, lent, normalize, precision) if lent else {}, seed)


def _means(
    network: Network,
    controls: Tensor,
    layers: set[int],
    normalize: bool,
    precision: Precision,
) -> dict[int, Tensor]:
    """(C,) float32 means over pictures and places, by layer."""
    sums = {layer: torch.zeros(network.widths[layer], dtype=torch.float64) for layer in layers}
    for part in torch.split(controls, _PICTURES):
        for walk in walks(network, part, normalize=normalize, precision=precision):
            for layer, maps in walk:
                if layer in sums:
                    sums[layer] += maps.mean(dim=(2, 3), dtype=torch.float64).sum(dim=0).cpu()
    return {layer: (total / len(controls)).float() for layer, total in sums.items()}


def _maps(
    network: Network,
    donors: Tensor,
    layers: set[int],
    normalize: bool,
    precision: Precision,
) -> dict[int, Tensor]:
    """(D, C, h, w) maps on the network's device, by layer."""
    found: dict[int, list[Tensor]] = {layer: [] for layer in layers}
    for walk in walks(network, donors, normalize=normalize, precision=precision):
        for layer, maps in walk:
            if layer in found:
                found[layer].append(maps.clone())
    return {layer: torch.cat(parts) for layer, parts in found.items()}

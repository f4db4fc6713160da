"""Many ablations of the same pictures: `sweep` gives the readings of all of them.

Activations below the first ablated layer are made once (`descent`), and logits are read and let go
as they come, so that memory does not grow with the number of ablations.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from beholder.errors import InvalidInput
from beholder.science.ablation import Ablation, Cut, ablated, cuts_of
from beholder.science.descent import Descent, Groups
from beholder.science.fills import Fills
from beholder.science.inputs import input_step
from beholder.science.measure import check_sides, logits_of
from beholder.science.networks import Network, at_rest
from beholder.science.prefix import Precision, prefix_of
from beholder.science.readings import Reading, read

# Pictures under conditions that the classifier is asked for together: VGG19's has 494 MB of weights
# to read for any number.
_ROWS = 256
_GPU_BYTES = 2**30  # of a GPU's widest maps
_BY_MODULES = 16  # pictures at a time, where the network's own modules are run


@dataclass(frozen=True)
class Sweep(Reading):
    """Readings of B pictures under A conditions: 0 is the intact network, then the ablations.

    logits: (K, B, classes) float32, of the K conditions that were to be kept. features: (K, B, C)
    float32, the means of the last layer's maps under them.
    """

    logits: NDArray[np.float32]
    features: NDArray[np.float32]

    def among(self, count: int, places: Sequence[int]) -> "Sweep":
        """The same in a table of `count` conditions, this one's at `places`.

        The others are NaN, and -1 in whole numbers: conditions that these were not run under.
        """
        spread: dict[str, Any] = {}
        for field in fields(Reading):
            own = getattr(self, field.name)
            missing = -1 if own.dtype.kind == "i" else np.nan
            spread[field.name] = np.full((count, own.shape[1]), missing, dtype=own.dtype)
            spread[field.name][list(places)] = own
        return Sweep(**spread, logits=self.logits, features=self.features)


def sweep(
    network: Network,
    pictures: Tensor,
    ablations: Sequence[Ablation],
    *,
    target: int,
    own: Sequence[int] | None = None,
    kept: Sequence[int] = (0,),
    fills: Fills | None = None,
    positions: Sequence[int] | None = None,
    normalize: bool = False,
    precision: Precision = "float32",
    on_part: Callable[[float], None] | None = None,
) -> Sweep:
    """Readings of pictures (B, 3, H, W) of the intact network, and under each of the ablations.

    target: a class index. own: (B,) the pictures' own class indices; None takes what the intact
    network sees. kept: conditions whose logits and features are wanted, 0 for the intact one.
    fills: what "mean" and "resample" put in. positions: (B,) numbers of the pictures, which decide
    what donor each has; None counts from 0. on_part: called with the fraction that is done; what
    it raises ends the sweep. Raises InvalidLayer, InvalidChannel, InvalidInput, InvalidSpec, and
    PictureError.
    """
    check_sides(pictures)
    _check(network, pictures, target, own, kept, len(ablations), positions)
    cuts = [cuts_of(network, ablation, fills) for ablation in (Ablation({}), *ablations)]
    places = list(range(len(pictures)) if positions is None else positions)
    run = _Run(network, (Ablation({}), *ablations), cuts, fills, normalize, precision)
    found = _Collected(network, len(cuts), len(pictures), target, own, list(kept), on_part)
    for first, groups, maps in run.parts(pictures, places):
        found.add(first, groups, maps)
    return found.finish()


@dataclass(frozen=True)
class _Run:
    """How the last layer's maps come to be."""

    network: Network
    ablations: Sequence[Ablation]
    cuts: Sequence[Mapping[int, Cut]]
    fills: Fills | None
    normalize: bool
    precision: Precision

    def parts(self, pictures: Tensor, positions: list[int]) -> Iterator[tuple[int, Groups, Tensor]]:
        """The number of a part's first picture, groups of conditions, and maps under them.

        The first condition is in the first group of each first picture's first part.
        """
        device = self.network.device
        prefix = prefix_of(self.network.module, device, self.precision)
        ready = input_step(self.normalize, device)
        if prefix is None:
            pieces = torch.split(pictures, _BY_MODULES)
        elif device.type == "cpu":
            pieces = prefix.pieces(pictures)
        else:
            values = self.network.widths[0] * pictures.shape[2:].numel()
            pieces = torch.split(pictures, max(1, _GPU_BYTES // (4 * values)))
        first = 0
        for piece in pieces:
            own = positions[first : first + len(piece)]
            shown = ready(piece.to(device))
            if prefix is None:
                ways = self._by_modules(shown, own)
            else:
                ways = Descent(self.network, prefix, self.cuts, self.fills, own).ways(shown)
            for groups, maps in ways:
                yield first, groups, maps
            first += len(piece)

    def _by_modules(
        self, pictures: Tensor, positions: list[int]
    ) -> Iterator[tuple[Groups, Tensor]]:
        """What `Descent.ways` gives, one condition after another."""
        for number, ablation in enumerate(self.ablations):
            blind = ablated(self.network, ablation, self.fills, positions=positions)
            with blind, torch.no_grad(), at_rest(self.network.module):
                maps = self.network.module.features(pictures)
            yield [[number]], maps


@dataclass(frozen=True)
class _Part:
    """What the classifier is to be asked for: pooled (G * B, C, h, w), and means (G * B, C)."""

    first: int
    groups: Groups
    pooled: Tensor
    means: Tensor


class _Collected:
    """Readings as they come."""

    def __init__(
        self,
        network: Network,
        conditions: int,
        pictures: int,
        target: int,
        own: Sequence[int] | None,
        kept: list[int],
        on_part: Callable[[float], None] | None,
    ) -> None:
        shape = (conditions, pictures)
        kinds = {"label": np.int64, "rank": np.int64, "top5": np.int64}
        self._arrays: dict[str, Any] = {
            field.name: np.empty(shape, kinds.get(field.name, np.float64))
            for field in fields(Reading)
        }
        self._logits = np.empty((len(kept), pictures, len(network.labels)), np.float32)
        self._features = np.empty((len(kept), pictures, network.widths[-1]), np.float32)
        self._network = network
        self._target = target
        self._own = None if own is None else torch.tensor(own, dtype=torch.int64)
        self._kept = kept
        self._on_part = on_part
        self._waiting: list[_Part] = []
        self._intact = torch.empty(0)
        self._done = 0

    def add(self, first: int, groups: Groups, maps: Tensor) -> None:
        """Take the maps (G * B, C, h, w) of pictures from the `first` on."""
        pooled = self._network.module.avgpool(maps.float())
        self._waiting.append(_Part(first, groups, pooled, maps.float().mean(dim=(2, 3)).cpu()))
        if sum(len(part.pooled) for part in self._waiting) >= _ROWS:
            self._flush()
        self._done += len(maps) // len(groups) * sum(map(len, groups))
        if self._on_part is not None:
            self._on_part(self._done / self._arrays["label"].size)

    def finish(self) -> Sweep:
        """All of it."""
        self._flush()
        return Sweep(**self._arrays, logits=self._logits, features=self._features)

    def _flush(self) -> None:
        """Ask the classifier for all that waits, and read what it says."""
        if not self._waiting:
            return
        # Pooled again, which changes nothing: each place is the mean of itself.
        logits = logits_of(self._network, torch.cat([part.pooled for part in self._waiting])).cpu()
        sizes = [len(part.pooled) for part in self._waiting]
        for part, rows in zip(self._waiting, torch.split(logits, sizes), strict=True):
            self._read(part, rows.view(len(part.groups), -1, rows.shape[1]))
        self._waiting.clear()

    def _read(self, part: _Part, logits: Tensor) -> None:
        """Put a part's logits (G, B, classes) where they belong."""
        if 0 in part.groups[0]:
            self._intact = logits[0]
        where = slice(part.first, part.first + logits.shape[1])
        own = self._intact.argmax(dim=1) if self._own is None else self._own[where]
        reading = read(logits, self._intact, target=self._target, own=own)
        features = part.means.view(*logits.shape[:2], -1)
        for place, conditions in enumerate(part.groups):
            for name, array in self._arrays.items():
                array[conditions, where] = getattr(reading, name)[place]
            for number, condition in enumerate(self._kept):
                if condition in conditions:
                    self._logits[number, where] = logits[place].numpy()
                    self._features[number, where] = features[place].numpy()


def _check(
    network: Network,
    pictures: Tensor,
    target: int,
    own: Sequence[int] | None,
    kept: Sequence[int],
    ablations: int,
    positions: Sequence[int] | None,
) -> None:
    if not len(pictures):
        raise InvalidInput("a sweep is over pictures: pass one at least.")
    classes = len(network.labels)
    for index in (target, *(() if own is None else own)):
        if not 0 <= index < classes:
            raise InvalidInput(f"{network.name} has classes 0-{classes - 1}; got {index}.")
    for condition in kept:
        if not 0 <= condition <= ablations:
            raise InvalidInput(f"kept: conditions are 0-{ablations}; got {condition}.")
    for name, given in (("own", own), ("positions", positions)):
        if given is not None and len(given) != len(pictures):
            raise InvalidInput(f"{name}: one a picture; got {len(given)} for {len(pictures)}.")

"""What each channel does for a picture's class, by gradient: `Attributor`, again as more are cut.

Gradient x activation (Molchanov et al. 2019, arXiv 1906.10771, without the square): the sum over a
channel's map of activation times the gradient of the class's margin, which is to first order what
the margin loses where the channel is zeroed. All layers come from one backward pass.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from beholder.errors import InvalidInput
from beholder.layers import LAYERS, find_layer, relu_of
from beholder.science.ablation import Ablation, ablated
from beholder.science.inputs import input_step
from beholder.science.measure import check_sides
from beholder.science.networks import Network, at_rest
from beholder.science.prefix import Precision, Prefix, prefix_of

Channels = Mapping[int, Sequence[int]]

MEMORY = 2**30  # bytes of maps that are kept
# Maps of a batch at the first layer, of a dozen that the way back needs.
_CPU_BYTES = 8 * 2**20
_GPU_BYTES = 2**28


@dataclass(frozen=True)
class Attribution:
    """Of B pictures, under the channels that were cut.

    parts: by layer index (B, C) float64, what each channel does for the margin, in nats.
    margin: (B,) float64, the class's logit less the logsumexp of the others'.
    """

    parts: dict[int, NDArray[np.float64]]
    margin: NDArray[np.float64]


class Attributor:
    """The same pictures' attributions, under one set of cut channels after another.

    Maps below the first of `layers` are made once, and kept as far as `memory` goes: nothing below
    it may change meanwhile.
    """

    def __init__(
        self,
        network: Network,
        pictures: Tensor,
        classes: Sequence[int],
        *,
        layers: Sequence[int],
        normalize: bool = False,
        precision: Precision = "float32",
        memory: int = MEMORY,
        on_part: Callable[[], None] | None = None,
    ) -> None:
        """pictures: (B, 3, H, W). classes: (B,) indices. layers: a convolution stands for its ReLU.

        memory: bytes. on_part: called after each batch; what it raises ends the work.
        Raises InvalidInput, InvalidLayer, InvalidSpec, PictureError.
        """
        _check(network, pictures, classes, layers)
        self._network = network
        self._layers = sorted({relu_of(layer) for layer in layers})
        self._classes = torch.tensor(list(classes), device=network.device)
        self._precision: Precision = precision
        self._ready = input_step(normalize, network.device)
        self._on_part = on_part
        first = min(relu_of(layer) for layer in layers)
        self._first = first - (LAYERS[first].kind == "relu")  # the first module that is run again
        self._pictures = torch.split(pictures, self._batch(pictures))
        self._kept: list[Tensor] = []
        for batch in self._pictures:
            if sum(maps.nbytes for maps in self._kept) >= memory:
                break
            self._kept.append(self._below(batch))
            self._tell()

    def attribution(self, without: Channels | None = None) -> Attribution:
        """What the channels do where those of `without` (by layer index) are zeroed.

        Raises InvalidInput where that would change what is kept; InvalidLayer, InvalidChannel.
        """
        cut = {layer: tuple(channels) for layer, channels in (without or {}).items()}
        lowest = min(map(relu_of, cut), default=self._first)
        if lowest < self._first:
            raise InvalidInput(
                f"without: {find_layer(lowest).name} is below the first layer that is scored, "
                f"{find_layer(self._layers[0]).name}."
            )
        found = []
        with ablated(self._network, Ablation(cut)):
            for maps, classes in self._batches():
                found.append(self._attributed(maps, classes))
                self._tell()
        joined = {layer: torch.cat([parts[layer] for parts, _ in found]) for layer in self._layers}
        return Attribution(
            {layer: rows.cpu().numpy() for layer, rows in joined.items()},
            torch.cat([margin for _, margin in found]).cpu().numpy(),
        )

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The maps before the first layer that is run again, and the classes, of each batch."""
        start = 0
        for number, batch in enumerate(self._pictures):
            known = number < len(self._kept)
            maps = self._kept[number] if known else self._below(batch)
            yield maps, self._classes[start : start + len(batch)]
            start += len(batch)

    def _below(self, pictures: Tensor) -> Tensor:
        """The maps before the first layer that is run again."""
        shown = self._ready(pictures.to(self._network.device))
        prefix = self._prefix()
        if prefix is None:
            with torch.no_grad(), at_rest(self._network.module):
                maps: Tensor = self._network.module.features[: self._first](shown.clone())
            return maps
        return torch.cat([_through(prefix, piece, self._first) for piece in prefix.pieces(shown)])

    def _attributed(self, maps: Tensor, classes: Tensor) -> tuple[dict[int, Tensor], Tensor]:
        """Each layer's (B, C), and margins (B,), of maps that come before `_first`."""
        prefix = self._prefix()
        if prefix is None:
            return self._by_modules(maps, classes)
        stages = [stage for stage in prefix.stages() if stage.last >= self._first]
        kept: list[Tensor] = []
        outputs: list[Tensor] = []
        for stage in stages:
            maps = prefix.through(stage, maps, kept)
            outputs.append(maps)
        margin, gradient = self._margin(maps, classes)
        gradient = gradient * (maps > 0)  # as the stages want it
        found: dict[int, Tensor] = {}
        for stage, maps in zip(reversed(stages), reversed(outputs), strict=True):
            if stage.last in self._layers:
                found[stage.last] = _products(maps, gradient)
            if len(found) == len(self._layers):
                break
            gradient = prefix.back(stage, gradient, kept)
        return found, margin

    def _by_modules(self, maps: Tensor, classes: Tensor) -> tuple[dict[int, Tensor], Tensor]:
        """The same by the network's own modules, with whatever hooks they have, and autograd."""
        module = self._network.module
        outputs: dict[int, Tensor] = {}
        with torch.enable_grad(), at_rest(module):
            maps = maps.clone().requires_grad_()
            for index in range(self._first, len(LAYERS)):
                maps = module.features[index](maps)
                if index in self._layers:
                    outputs[index] = maps
            logits = module.classifier(module.avgpool(maps).flatten(1))
            margin = margins(logits, classes)
            gradients = torch.autograd.grad(margin.sum(), list(outputs.values()))
        products = map(_products, outputs.values(), gradients)
        return dict(zip(outputs, products, strict=True)), margin.detach()

    def _margin(self, maps: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Margins (B,), and their gradient for the last layer's maps (B, C, h, w)."""
        module = self._network.module
        with torch.enable_grad(), at_rest(module):
            last = maps.detach().requires_grad_()
            logits = module.classifier(module.avgpool(last.float()).flatten(1))
            margin = margins(logits, classes)
            (gradient,) = torch.autograd.grad(margin.sum(), [last])
        return margin.detach(), gradient

    def _prefix(self) -> Prefix | None:
        return prefix_of(self._network.module, self._network.device, self._precision)

    def _batch(self, pictures: Tensor) -> int:
        """How many pictures go together."""
        most = _CPU_BYTES if self._network.device.type == "cpu" else _GPU_BYTES
        places = pictures.shape[2] * pictures.shape[3] // LAYERS[self._first].stride ** 2
        return max(1, most // (4 * self._network.widths[self._first] * max(1, places)))

    def _tell(self) -> None:
        if self._on_part is not None:
            self._on_part()


def attribution(
    network: Network,
    pictures: Tensor,
    classes: Sequence[int],
    *,
    layers: Sequence[int],
    without: Channels | None = None,
    normalize: bool = False,
    precision: Precision = "float32",
) -> Attribution:
    """What each channel of `layers` does for each picture's class, once; see `Attributor`."""
    found = Attributor(
        network,
        pictures,
        classes,
        layers=layers,
        normalize=normalize,
        precision=precision,
        memory=0,
    )
    return found.attribution(without)


def margins(logits: Tensor, classes: Tensor) -> Tensor:
    """Log-odds (B,) float64 of `classes` (B,) by logits (B, classes).

    A class's logit less the logsumexp of the others'.
    """
    logits = logits.double()
    places = classes[:, None]
    others = logits.scatter(1, places, -torch.inf)
    return logits.gather(1, places)[:, 0] - others.logsumexp(dim=1)


def _through(prefix: Prefix, pictures: Tensor, end: int) -> Tensor:
    """The maps of pictures before module `end`."""
    maps = prefix.entry(pictures)
    for stage in prefix.stages():
        if stage.last >= end:
            break
        maps = prefix.through(stage, maps)
    return maps


def _products(maps: Tensor, gradient: Tensor) -> Tensor:
    """(B, C) float64 sums over places of maps times gradient, both (B, C, h, w)."""
    return (maps.detach() * gradient).sum(dim=(2, 3), dtype=torch.float64)


def _check(
    network: Network, pictures: Tensor, classes: Sequence[int], layers: Sequence[int]
) -> None:
    check_sides(pictures)
    count = len(network.labels)
    if not len(pictures) or len(classes) != len(pictures):
        raise InvalidInput(
            f"attributions want one class a picture, and one picture at least; got "
            f"{len(classes)} for {len(pictures)}."
        )
    for index in classes:
        if not 0 <= index < count:
            raise InvalidInput(f"{network.name} has classes 0-{count - 1}; got {index}.")
    if not layers:
        raise InvalidInput("layers: name one at least.")

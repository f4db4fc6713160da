"""How pictures answer: `Response`, an objective of a layer's maps and its gradient for pictures.

An `Objective` is asked about one picture's maps at a time, so that none knows its neighbours.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from beholder.errors import InvalidChannel, InvalidInput
from beholder.layers import find_layer
from beholder.science.inputs import input_step
from beholder.science.networks import Network, depth_of
from beholder.science.prefix import Precision, Prefix, arithmetic, prefix_of

Objective = Callable[[Tensor], Tensor]  # a picture's maps (C, h, w) to a number, differentiable


def channel(number: int) -> Objective:
    """A channel's mean: what feature pictures usually make large."""
    return lambda maps: _map(maps, number).mean()


def neuron(number: int) -> Objective:
    """A channel's value in the middle of its map."""
    return lambda maps: _map(maps, number)[maps.shape[1] // 2, maps.shape[2] // 2]


def _map(maps: Tensor, number: int) -> Tensor:
    if not 0 <= number < len(maps):
        raise InvalidChannel(f"the layer has channels 0-{len(maps) - 1}; got {number}.")
    return maps[number]


def strength(maps: Tensor) -> Tensor:
    """The L2 norm of all maps: what `dream` makes large."""
    norm: Tensor = torch.linalg.vector_norm(maps)
    return norm


@dataclass(frozen=True)
class Response:
    """The way from pictures to objectives of a layer's maps, and back.

    Where an objective asks only for what is silent, its gradient is that without the layer's ReLU,
    as lucid has it: else nothing would ever wake a silent channel.
    """

    network: Network
    depth: int  # how many modules lead to the layer
    rectified: bool  # whether the layer is read behind a ReLU
    normalize: bool
    precision: Precision
    prefix: Prefix | None  # None where the modules themselves are to be run

    @classmethod
    def of(
        cls,
        network: Network,
        layer: int | str,
        *,
        normalize: bool = False,
        pre_relu: bool = False,
        precision: Precision = "float32",
    ) -> "Response":
        """That of a layer, read as `dream` reads it. Raises InvalidLayer, InvalidSpec."""
        row = find_layer(layer)
        return cls(
            network,
            depth_of(row, pre_relu=pre_relu),
            not (pre_relu and row.kind == "conv"),
            normalize,
            precision,
            prefix_of(network.module, network.device, precision),
        )

    def maps(self, pictures: Tensor) -> Tensor:
        """What the layer makes of `pictures` (B, 3, H, W): (B, C, h, w)."""
        ready = input_step(self.normalize, self.network.device)(pictures.detach())
        if self.prefix is None:
            with arithmetic(self.network.device, "float32"):
                return self._modules(ready)
        return torch.cat(
            [_maps(self.prefix, piece, self.depth) for piece in self.prefix.pieces(ready)]
        )

    def __call__(self, pictures: Tensor, objectives: Sequence[Objective]) -> tuple[Tensor, Tensor]:
        """Each picture's objective (B,), and its gradient (B, 3, H, W).

        A value is NaN where a picture holds an infinity or NaN.
        """
        prepare = input_step(self.normalize, self.network.device)
        with torch.enable_grad():
            pictures = pictures.detach().requires_grad_()
            ready = prepare(pictures)
        values, gradient = self._of_ready(ready.detach(), objectives)
        if ready is not pictures:
            (gradient,) = torch.autograd.grad(ready, pictures, gradient)
        sound = pictures.detach().isfinite().flatten(1).all(dim=1)
        return torch.where(sound, values, torch.nan), gradient

    def _of_ready(self, pictures: Tensor, objectives: Sequence[Objective]) -> tuple[Tensor, Tensor]:
        if self.prefix is None:
            return self._by_autograd(pictures, objectives)
        found: list[tuple[Tensor, Tensor]] = []
        for piece in self.prefix.pieces(pictures):
            first = sum(len(values) for values, _ in found)
            kept: list[Tensor] = []
            maps = _maps(self.prefix, piece, self.depth, kept)
            values, gradient = self._at_maps(maps, objectives[first : first + len(piece)])
            for stage in reversed(self.prefix.stages(self.depth)):
                gradient = self.prefix.back(stage, gradient, kept)
            found.append((values, gradient.to(values.dtype)))
        values, gradient = (torch.cat(parts) for parts in zip(*found, strict=True))
        return values, gradient

    def _by_autograd(
        self, pictures: Tensor, objectives: Sequence[Objective]
    ) -> tuple[Tensor, Tensor]:
        with arithmetic(self.network.device, "float32"), torch.enable_grad():
            pictures.requires_grad_()
            maps = self._modules(pictures)
            values, gradient = _by_picture(maps, objectives)
            (found,) = torch.autograd.grad(maps, pictures, gradient)
        return values, found

    def _modules(self, pictures: Tensor) -> Tensor:
        maps: Tensor = self.network.module.features[: self.depth](pictures)
        return maps

    def _at_maps(self, maps: Tensor, objectives: Sequence[Objective]) -> tuple[Tensor, Tensor]:
        """The objectives, and their gradient for `maps`, stopped as `Prefix.back` wants it."""
        values, gradient = _by_picture(maps, objectives)
        if self.rectified:
            stopped = torch.where(maps > 0, gradient, 0.0)
            silent = ~stopped.flatten(1).any(dim=1)
            gradient = torch.where(silent[:, None, None, None], gradient, stopped)
        # As the stages behind go through memory.
        return values, gradient.contiguous(memory_format=torch.channels_last)


def _maps(prefix: Prefix, pictures: Tensor, depth: int, kept: list[Tensor] | None = None) -> Tensor:
    """The maps behind `depth` modules. kept: see `Prefix.through`."""
    maps = prefix.entry(pictures)
    for stage in prefix.stages(depth):
        maps = prefix.through(stage, maps, kept)
    return maps


def _by_picture(maps: Tensor, objectives: Sequence[Objective]) -> tuple[Tensor, Tensor]:
    """Each picture's objective (B,), and its gradient for its own maps (B, C, h, w)."""
    kind = torch.promote_types(maps.dtype, torch.float32)
    values, gradients = [], []
    for row, objective in zip(maps, objectives, strict=True):
        with torch.enable_grad():
            one = row.detach().requires_grad_()
            value = objective(one.to(kind))
            if value.ndim:
                raise InvalidInput(
                    "an objective gives one number for a picture's maps (C, h, w); "
                    f"got one of shape {tuple(value.shape)}."
                )
            (gradient,) = torch.autograd.grad(value, one)
        values.append(value.detach())
        gradients.append(gradient)
    return torch.stack(values), torch.stack(gradients)

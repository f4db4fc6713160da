"""`Answers`: the way from pictures to what is asked of layers' maps, and the gradient back.

An `Ask` is asked about one picture's maps at a time, so that none knows its neighbours. `Response`
asks one layer what you like, `Aim` several of them for an objective's terms.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from beholder.errors import InvalidInput
from beholder.layers import LAYERS
from beholder.science.inputs import input_step
from beholder.science.networks import Network
from beholder.science.prefix import Precision, Prefix, arithmetic, prefix_of

# A picture's place in the batch, and its maps (C, h, w), to a number; differentiable.
Ask = Callable[[int, Tensor], Tensor]


@dataclass(frozen=True)
class Answers:
    """Make it with `Answers.of`.

    wakes: where all that is asked for at a layer is silent, its gradient is that without the
    layer's ReLU, but for what pushes down, as lucid has it: else nothing would ever wake a silent
    channel. Each layer by itself.
    """

    network: Network
    normalize: bool
    precision: Precision
    wakes: bool
    prefix: Prefix | None  # None where the modules themselves are to be run

    @classmethod
    def of(
        cls, network: Network, *, normalize: bool, precision: Precision, wakes: bool
    ) -> "Answers":
        """Those of a network. Raises NoSuchPrecision for one that the device does not have."""
        prefix = prefix_of(network.module, network.device, precision)
        return cls(network, normalize, precision, wakes, prefix)

    def maps(self, pictures: Tensor, depths: Collection[int]) -> dict[int, Tensor]:
        """What is behind so many modules, for each of `depths`: (B, C, h, w) of (B, 3, H, W)."""
        ready = input_step(self.normalize, self.network.device)(pictures.detach())
        if self.prefix is None:
            with arithmetic(self.network.device, "float32"):
                return self._modules(ready, depths)
        found = [dict(self.prefix.at(piece, depths)) for piece in self.prefix.pieces(ready)]
        return {depth: torch.cat([piece[depth] for piece in found]) for depth in depths}

    def __call__(self, pictures: Tensor, asked: Mapping[int, Ask]) -> tuple[Tensor, Tensor]:
        """Each picture's sum (B,) of what is asked, by depth, and its gradient (B, 3, H, W).

        A value is NaN where a picture holds an infinity or NaN.
        """
        prepare = input_step(self.normalize, self.network.device)
        with torch.enable_grad():
            pictures = pictures.detach().requires_grad_()
            ready = prepare(pictures)
        values, gradient = self._of_ready(ready.detach(), asked)
        if ready is not pictures:
            (gradient,) = torch.autograd.grad(ready, pictures, gradient)
        sound = pictures.detach().isfinite().flatten(1).all(dim=1)
        return torch.where(sound, values, torch.nan), gradient

    def _of_ready(self, pictures: Tensor, asked: Mapping[int, Ask]) -> tuple[Tensor, Tensor]:
        if self.prefix is None:
            return self._by_autograd(pictures, asked)
        found: list[tuple[Tensor, Tensor]] = []
        first = 0
        for piece in self.prefix.pieces(pictures):
            of_piece = {
                depth: partial(self._answer, depth, ask, first) for depth, ask in asked.items()
            }
            found.append(self.prefix.answers(piece, of_piece))
            first += len(piece)
        values, gradient = (torch.cat(parts) for parts in zip(*found, strict=True))
        return values, gradient

    def _by_autograd(self, pictures: Tensor, asked: Mapping[int, Ask]) -> tuple[Tensor, Tensor]:
        with arithmetic(self.network.device, "float32"), torch.enable_grad():
            pictures.requires_grad_()
            maps = self._modules(pictures, asked)
            found = [
                self._answer(depth, asked[depth], 0, one.detach()) for depth, one in maps.items()
            ]
            gradients = [gradient for _, gradient in found]
            (gradient,) = torch.autograd.grad(list(maps.values()), pictures, gradients)
        return torch.stack([value for value, _ in found]).sum(dim=0), gradient

    def _modules(self, pictures: Tensor, depths: Collection[int]) -> dict[int, Tensor]:
        """The modules' own maps behind so many of them."""
        found: dict[int, Tensor] = {}
        maps = pictures
        for depth, module in enumerate(self.network.module.features[: max(depths)], 1):
            maps = module(maps)
            if depth in depths:
                found[depth] = maps.clone()  # a ReLU works in place
        return found

    def _answer(self, depth: int, ask: Ask, first: int, maps: Tensor) -> tuple[Tensor, Tensor]:
        """What is asked at these maps (B, C, h, w), whose row 0 is the picture at `first`.

        The gradient is zero where the maps' ReLU lets none through.
        """
        asks = [partial(ask, first + row) for row in range(len(maps))]
        values, gradient = by_picture(maps, asks)
        if LAYERS[depth - 1].kind == "conv":
            return values, gradient
        stopped = torch.where(maps > 0, gradient, 0.0)
        if self.wakes:
            silent = ~stopped.flatten(1).any(dim=1)
            stopped = torch.where(silent.view(-1, 1, 1, 1), gradient.clamp_min(0), stopped)
        return values, stopped


def by_picture(
    inputs: Tensor, functions: Sequence[Callable[[Tensor], Tensor]]
) -> tuple[Tensor, Tensor]:
    """Each function's value (B,) of its own row of `inputs` (B, ...), and its gradient for it.

    Raises InvalidInput for a function that gives more than a number.
    """
    kind = torch.promote_types(inputs.dtype, torch.float32)
    values, gradients = [], []
    for row, function in zip(inputs, functions, strict=True):
        with torch.enable_grad():
            one = row.detach().requires_grad_()
            value = function(one.to(kind, memory_format=torch.contiguous_format))
            if value.ndim:
                raise InvalidInput(
                    "an objective gives one number for a picture's maps (C, h, w); "
                    f"got one of shape {tuple(value.shape)}."
                )
            (gradient,) = torch.autograd.grad(value, one)
        values.append(value.detach())
        gradients.append(gradient)
    return torch.stack(values), torch.stack(gradients)

"""The article's way, written plainly from its description: the yardstick of `science`.

What is kept is what it costs. One picture at a time goes through the whole network and its
classifier, whatever the layer; a hook on every layer keeps its output; gradients are computed for
all weights and never used; activations are copied; channels are ranked by Python's sort over tensor
scalars; several layers, or several depths, are several runs.
"""

import copy
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from beholder.science.vgg import VGG

LAYERS = 37

Activations = dict[int, Tensor]


class Article:
    """A network with a hook on each of its 37 layers. Pictures are (3, H, W) in [0, 1]."""

    def __init__(self, module: VGG) -> None:
        """`module` is copied: the copy gets the hooks, and weights that want gradients."""
        self.module = copy.deepcopy(module).requires_grad_(True)
        self.outputs: Activations = {}
        for index, layer in enumerate(self.module.features):
            layer.register_forward_hook(_keep_in(self.outputs, index))

    def dream(
        self, start: Tensor, *, layer: int, steps: int, learning_rate: float = 0.01
    ) -> Tensor:
        """Ascend from `start` on the norm of `layer`; what it became."""
        picture = start[None].clone()
        for _ in range(steps):
            picture.requires_grad_(True)
            self.module(picture)
            self.outputs[layer].norm().backward()
            with torch.no_grad():
                picture = torch.clip(picture + learning_rate * _gradient(picture), 0.0, 1.0)
        return picture[0]

    def dream_layers(
        self, start: Tensor, *, steps: int, learning_rate: float = 0.01
    ) -> list[Tensor]:
        """One dream after another, for each of the 37 layers."""
        return [
            self.dream(start, layer=layer, steps=steps, learning_rate=learning_rate)
            for layer in range(LAYERS)
        ]

    def dream_depths(
        self, start: Tensor, *, layer: int, depths: Sequence[int], learning_rate: float = 0.01
    ) -> list[Tensor]:
        """One dream after another, each from the start again, for each number of steps."""
        return [
            self.dream(start, layer=layer, steps=steps, learning_rate=learning_rate)
            for steps in depths
        ]

    def activations(self, picture: Tensor) -> Activations:
        """A copy of what every layer gave."""
        self.module(picture[None].clone().requires_grad_())
        return {index: copy.deepcopy(maps.detach()) for index, maps in self.outputs.items()}

    def counts(self, pictures: Tensor, *, top: int = 10) -> dict[int, Counter[int]]:
        """In how many of `pictures` (B, 3, H, W) each channel was a top channel, by layer."""
        kept = [self.activations(picture) for picture in pictures]
        found: dict[int, Counter[int]] = defaultdict(Counter)
        for activations in kept:
            for layer, maps in activations.items():
                found[layer].update(_top_channels(maps, top))
        return found


def _keep_in(outputs: Activations, index: int) -> Callable[[nn.Module, object, Tensor], None]:
    """By reference, so that what is read later is as the in-place ReLU behind it left it."""

    def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
        outputs[index] = output

    return hook


def _gradient(picture: Tensor) -> Tensor:
    assert picture.grad is not None, "backward() was called before"
    return picture.grad


def _top_channels(maps: Tensor, top: int) -> list[int]:
    """Of (1, C, h, w): the strongest channels with a norm above 0, ties to the higher index."""
    norms = maps.view(maps.shape[1], -1).norm(dim=1)  # (C,)
    ranked = sorted(zip(norms, range(len(norms)), strict=True), reverse=True)
    return [channel for norm, channel in ranked[:top] if norm > 0]

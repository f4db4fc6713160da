"""Gradient ascent on a layer: `dream` runs a batch, `dream_layers` several layers from one start.

Source of the method: "Deepdream and Mechanistic Interpretability" (peluche, 2023).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from beholder.errors import InvalidSpec
from beholder.layers import find_layer
from beholder.science.inputs import input_step
from beholder.science.networks import (
    Network,
    at_rest,
    channel_index,
    check_pictures,
    depth_of,
)
from beholder.science.prefix import Precision, Prefix, prefix_of


@dataclass(frozen=True)
class Dream:
    """What a batch became. All tensors are on the CPU.

    pictures: (B, 3, H, W) in [0, 1], after the last step.
    snapshots: the same by step, for the steps asked for and the last.
    objective: (steps, B), the norm that each step set out from. It is NaN or infinite where
    a picture's numbers overflowed.
    """

    pictures: Tensor
    snapshots: dict[int, Tensor]
    objective: Tensor


def dream(
    network: Network,
    pictures: Tensor,
    *,
    layer: int | str = 35,
    channels: Sequence[int] | None = None,
    steps: int = 30,
    learning_rate: float = 0.01,
    snapshots: Sequence[int] = (),
    normalize: bool = False,
    pre_relu: bool = False,
    precision: Precision = "float32",
    on_step: Callable[[int], None] | None = None,
) -> Dream:
    """Change `pictures` (B, 3, H, W) so that `layer` answers more strongly to each of them.

    Each step is `picture = clip(picture + learning_rate * gradient, 0, 1)`, with the gradient of
    the L2 norm of the layer's maps for that picture, or of the maps of `channels` together.
    Each picture becomes what it would become alone. A picture that leaves the layer silent stays.

    layer: index or name; a convolution is read after its in-place ReLU, with `pre_relu` before.
    precision: "float32" is off the true gradient by no more than autograd is; "exact" runs the
    modules and autograd themselves, as was published, and takes longer; "float64" takes far
    longer, and is the same dream on every machine; "tf32" (on a GPU) and "bf16" are faster, and
    `beholder.science.precision` measures whether that shows.
    snapshots: steps, from 1 on, whose pictures are kept too. on_step: called with 1, 2, ... after
    each step, on a GPU ahead of the arithmetic; what it raises ends the dream.
    `pictures` itself is left alone. Raises InvalidLayer, InvalidChannel, InvalidSpec, InvalidInput.
    """
    check_pictures(pictures)
    kept = _steps_kept(steps, snapshots)
    ascent = _Ascent.of(
        network, layer, channels, normalize=normalize, pre_relu=pre_relu, precision=precision
    )
    current = pictures.detach().to(network.device)
    taken: dict[int, Tensor] = {}
    objective: list[Tensor] = []
    with at_rest(network.module):
        for step in range(1, steps + 1):
            norms, gradient = ascent(current)
            current = (current + learning_rate * gradient).clamp_(0.0, 1.0)
            objective.append(norms)
            if step in kept:
                taken[step] = current.to("cpu", non_blocking=True)
            if on_step is not None:
                on_step(step)
    # This copy waits for everything before it, so the snapshots have arrived too.
    values = torch.stack(objective).cpu()  # (steps, B)
    return Dream(taken[steps], taken, values)


def dream_layers(
    network: Network,
    pictures: Tensor,
    *,
    layers: Sequence[int | str],
    channels: Sequence[int] | None = None,
    steps: int = 30,
    learning_rate: float = 0.01,
    snapshots: Sequence[int] = (),
    normalize: bool = False,
    pre_relu: bool = False,
    precision: Precision = "float32",
    on_step: Callable[[int], None] | None = None,
) -> dict[int, Dream]:
    """`dream` on each of `layers` from the same start, by layer index.

    Arguments as for `dream`; every layer and channel is looked up before the first step is made.
    A convolution and the ReLU that it is read after share one dream. `on_step` counts on from
    layer to layer.
    """
    rows = list(dict.fromkeys(find_layer(layer) for layer in layers))
    for row in rows:
        if channels is not None:
            channel_index(network, row, channels)
    found: dict[int, Dream] = {}
    by_depth: dict[int, Dream] = {}
    for row in rows:
        depth = depth_of(row, pre_relu=pre_relu)
        if depth not in by_depth:
            by_depth[depth] = dream(
                network,
                pictures,
                layer=row.index,
                channels=channels,
                steps=steps,
                learning_rate=learning_rate,
                snapshots=snapshots,
                normalize=normalize,
                pre_relu=pre_relu,
                precision=precision,
                on_step=None if on_step is None else _counting_on(on_step, len(found) * steps),
            )
        elif on_step is not None:
            on_step((len(found) + 1) * steps)
        found[row.index] = by_depth[depth]
    return found


def _counting_on(on_step: Callable[[int], None], done: int) -> Callable[[int], None]:
    return lambda step: on_step(done + step)


@dataclass(frozen=True)
class _Ascent:
    """The way from pictures to a layer's norm and back, and which of its channels count."""

    network: Network
    depth: int  # how many modules lead to the layer
    channels: Tensor | None  # (C,) int64
    normalize: bool
    prefix: Prefix | None  # None where hooks have to be run

    @classmethod
    def of(
        cls,
        network: Network,
        layer: int | str,
        channels: Sequence[int] | None,
        *,
        normalize: bool,
        pre_relu: bool,
        precision: Precision,
    ) -> "_Ascent":
        row = find_layer(layer)
        return cls(
            network,
            depth_of(row, pre_relu=pre_relu),
            None if channels is None else channel_index(network, row, channels),
            normalize,
            prefix_of(network.module, network.device, precision),
        )

    def __call__(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Each picture's norm (B,), and its gradient (B, 3, H, W)."""
        prepare = input_step(self.normalize, self.network.device)
        with torch.enable_grad():
            pictures = pictures.detach().requires_grad_()
            ready = prepare(pictures)
        if self.prefix is not None:
            norms, gradient = self.prefix.gradient(ready.detach(), self.depth, self.channels)
            if ready is pictures:
                return norms, gradient
            return norms, torch.autograd.grad(ready, pictures, gradient)[0]
        with torch.enable_grad():
            maps = self.network.module.features[: self.depth](ready)  # (B, C, h, w)
            if self.channels is not None:
                maps = maps.index_select(1, self.channels)
            norms = torch.linalg.vector_norm(maps.flatten(1), dim=1)  # (B,)
            # The norms' sum, not the batch's: a picture's gradient must not know its neighbours.
            (gradient,) = torch.autograd.grad(norms.sum(), pictures)
        return norms.detach(), gradient


def _steps_kept(steps: int, snapshots: Sequence[int]) -> frozenset[int]:
    if steps < 1:
        raise InvalidSpec(f"steps: at least 1; got {steps}.")
    wrong = [step for step in snapshots if not 1 <= step <= steps]
    if wrong:
        raise InvalidSpec(f"snapshots: steps from 1 to {steps}; got {wrong[0]}.")
    return frozenset({*snapshots, steps})

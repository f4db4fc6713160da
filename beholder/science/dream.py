"""Gradient ascent on a layer: `dream` runs a batch, `dream_layers` several layers from one start.

A `Checkpoint` is a batch in the middle of it, from which `dream` goes on.

Source of the method: "Deepdream and Mechanistic Interpretability" (peluche, 2023).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from beholder.errors import InvalidSpec
from beholder.layers import find_layer
from beholder.science.checkpoint import Checkpoint
from beholder.science.inputs import input_step
from beholder.science.networks import (
    Network,
    at_rest,
    channel_index,
    check_pictures,
    depth_of,
)
from beholder.science.prefix import Precision, Prefix, arithmetic, kind_of, prefix_of
from beholder.science.tile_plan import FLOAT_BYTES, TILE_MEMORY, needs_tiles, tile_side
from beholder.science.tiles import tiled_gradient

MEMORY = 2**30  # bytes that a picture's maps may take before it goes tile by tile


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
    pictures: Tensor | Checkpoint,
    *,
    layer: int | str = 35,
    channels: Sequence[int] | None = None,
    steps: int = 30,
    learning_rate: float = 0.01,
    snapshots: Sequence[int] = (),
    normalize: bool = False,
    pre_relu: bool = False,
    precision: Precision = "float32",
    memory: int = MEMORY,
    on_step: Callable[[int], None] | None = None,
    on_part: Callable[[float], None] | None = None,
    on_checkpoint: Callable[[int, Callable[[], Checkpoint]], None] | None = None,
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
    memory: bytes that a picture's maps may take; a larger picture's gradient is computed tile by
    tile, to the same values; not for "exact". snapshots: steps, from 1 on, whose pictures are
    kept too. on_step: called with 1, 2, ... after each step, on a GPU ahead of the arithmetic;
    on_part: with fractions, where steps go tile by tile. What they raise ends the dream.
    on_checkpoint: called before `on_step`, with the step and with what makes a checkpoint of it,
    for which a GPU is waited for. `dream` with that in the place of `pictures`, and all else as it
    was, becomes on the same device what it would have become, bit for bit, with steps and
    objective counted from the start; on a CPU also in a batch of others, except for "exact".
    `pictures` itself is left alone. Raises InvalidLayer, InvalidChannel, InvalidSpec, InvalidInput.
    """
    begun = pictures if isinstance(pictures, Checkpoint) else Checkpoint.start(pictures)
    check_pictures(begun.pictures)
    kept = steps_kept(steps, snapshots)
    if begun.step > steps:
        raise InvalidSpec(f"steps: at least the checkpoint's {begun.step}; got {steps}.")
    ascent = _Ascent.of(
        network,
        layer,
        channels,
        normalize=normalize,
        pre_relu=pre_relu,
        precision=precision,
        memory=memory,
    )
    current = begun.pictures.detach().to(network.device)
    if precision == "float64":
        current = current.double()
    taken = dict(begun.snapshots)
    objective: list[Tensor] = []

    def checkpoint() -> Checkpoint:
        # This copy waits for everything before it, so the snapshots have arrived too.
        return Checkpoint(step, current.cpu(), dict(taken), begun.curve(objective))

    with at_rest(network.module):
        for step in range(begun.step + 1, steps + 1):
            norms, gradient = ascent(current, None if on_part is None else _from(on_part, step - 1))
            # In place: a picture may be most of the memory there is.
            current = gradient.mul_(learning_rate).add_(current).clamp_(0.0, 1.0)
            objective.append(norms)
            if step in kept:
                taken[step] = current.to("cpu", non_blocking=True)
            if on_checkpoint is not None:
                on_checkpoint(step, checkpoint)
            if on_step is not None:
                on_step(step)
    # This too waits for everything before it.
    curve = begun.curve(objective)
    return Dream(taken[steps], taken, curve)


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
    memory: int = MEMORY,
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
                memory=memory,
                on_step=None if on_step is None else _counting_on(on_step, len(found) * steps),
            )
        elif on_step is not None:
            on_step((len(found) + 1) * steps)
        found[row.index] = by_depth[depth]
    return found


def _counting_on(on_step: Callable[[int], None], done: int) -> Callable[[int], None]:
    return lambda step: on_step(done + step)


def _from(call: Callable[[float], None], done: int) -> Callable[[float], None]:
    return lambda more: call(done + more)


@dataclass(frozen=True)
class _Ascent:
    """The way from pictures to a layer's norm and back, and which of its channels count."""

    network: Network
    depth: int  # how many modules lead to the layer
    channels: Tensor | None  # (C,) int64
    normalize: bool
    precision: Precision
    prefix: Prefix | None  # None where the modules themselves are to be run
    memory: int  # bytes

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
        memory: int,
    ) -> "_Ascent":
        row = find_layer(layer)
        return cls(
            network,
            depth_of(row, pre_relu=pre_relu),
            None if channels is None else channel_index(network, row, channels),
            normalize,
            precision,
            prefix_of(network.module, network.device, precision),
            memory,
        )

    def __call__(
        self, pictures: Tensor, on_share: Callable[[float], None] | None
    ) -> tuple[Tensor, Tensor]:
        """Each picture's norm (B,), and its gradient (B, 3, H, W).

        on_share: called with how much of a large picture's gradient is done.
        """
        features = self.network.module.features[: self.depth]
        prepare = input_step(self.normalize, self.network.device)
        if self.prefix is None:
            with arithmetic(self.network.device, "float32"):
                return _by_autograd(features, prepare, pictures, self.channels)
        modules = list(features)
        height, width = pictures.shape[2:]
        kind = kind_of(self.precision)
        budget = self.memory * FLOAT_BYTES // max(FLOAT_BYTES, kind.itemsize)
        if needs_tiles(modules, height, width, budget):
            if self.network.device.type == "cpu":
                budget = min(budget, TILE_MEMORY)
            with arithmetic(self.network.device, self.precision):
                return tiled_gradient(
                    modules,
                    pictures,
                    channels=self.channels,
                    prepare=prepare,
                    tile=tile_side(modules, budget),
                    kind=kind,
                    on_progress=on_share,
                )
        with torch.enable_grad():
            pictures = pictures.detach().requires_grad_()
            ready = prepare(pictures)
        norms, gradient = self.prefix.gradient(ready.detach(), self.depth, self.channels)
        if ready is not pictures:
            (gradient,) = torch.autograd.grad(ready, pictures, gradient)
        return norms, gradient


@torch.enable_grad()
def _by_autograd(
    features: nn.Sequential,
    prepare: Callable[[Tensor], Tensor],
    pictures: Tensor,
    channels: Tensor | None,
) -> tuple[Tensor, Tensor]:
    pictures = pictures.detach().requires_grad_()
    maps = features(prepare(pictures))  # (B, C, h, w)
    if channels is not None:
        maps = maps.index_select(1, channels)
    norms = torch.linalg.vector_norm(maps.flatten(1), dim=1)  # (B,)
    # The norms' sum, not the batch's norm: a picture's gradient must not know its neighbours.
    (gradient,) = torch.autograd.grad(norms.sum(), pictures)
    return norms.detach(), gradient


def steps_kept(steps: int, snapshots: Sequence[int]) -> frozenset[int]:
    if steps < 1:
        raise InvalidSpec(f"steps: at least 1; got {steps}.")
    wrong = [step for step in snapshots if not 1 <= step <= steps]
    if wrong:
        raise InvalidSpec(f"snapshots: steps from 1 to {steps}; got {wrong[0]}.")
    return frozenset({*snapshots, steps})

"""Gradient ascent on a layer: `dream` runs a batch, `dream_layers` several layers from one start.

A `Checkpoint` is a batch in the middle of it, from which `dream` goes on.

Source of the method: "Deepdream and Mechanistic Interpretability" (peluche, 2023).
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from beholder.errors import InvalidSpec
from beholder.layers import find_layer
from beholder.science.ascent import MEMORY, Ascent
from beholder.science.checkpoint import Checkpoint
from beholder.science.networks import (
    Network,
    at_rest,
    channel_index,
    check_pictures,
    depth_of,
)
from beholder.science.prefix import Precision

_TOGETHER = 64 * 224**2  # pixels, of all layers' pictures


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
    `pictures` itself is left alone, and let go of after the first step. Raises InvalidLayer,
    InvalidChannel, InvalidSpec, InvalidInput.
    """
    begun = pictures if isinstance(pictures, Checkpoint) else Checkpoint.start(pictures)
    del pictures
    check_pictures(begun.pictures)
    kept = steps_kept(steps, snapshots)
    if begun.step > steps:
        raise InvalidSpec(f"steps: at least the checkpoint's {begun.step}; got {steps}.")
    ascent = Ascent.of(
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
    # The start goes when it has been left, unless the caller keeps it: it may be very large.
    begun = replace(begun, pictures=torch.empty(0), snapshots={}, memory={})
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
    layer to layer; without it, layers go through a GPU side by side.
    """
    rows = list(dict.fromkeys(find_layer(layer) for layer in layers))
    for row in rows:
        if channels is not None:
            channel_index(network, row, channels)
    found: dict[int, Dream] = {}
    by_depth: dict[int, Dream] = {}
    if network.device.type == "cuda" and rows and on_step is None and not pre_relu:
        ascent = Ascent.of(
            network,
            max(row.index for row in rows),
            channels,
            normalize=normalize,
            pre_relu=False,
            precision=precision,
            memory=memory,
        )
        depths = {depth_of(row, pre_relu=False) for row in rows}
        kept = steps_kept(steps, snapshots)
        by_depth = _side_by_side(ascent, pictures, depths, steps, kept, learning_rate)
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


def _side_by_side(
    ascent: Ascent,
    pictures: Tensor,
    depths: Collection[int],
    steps: int,
    kept: frozenset[int],
    learning_rate: float,
) -> dict[int, Dream]:
    """The dreams by depth, `_TOGETHER` pixels at once; none of what only goes one by one."""
    check_pictures(pictures)
    if not len(pictures) or ascent.prefix is None or ascent.in_tiles(*pictures.shape[2:]):
        return {}
    found: dict[int, Dream] = {}
    waiting, most = sorted(depths, reverse=True), max(1, _TOGETHER // pictures[:, 0].numel())
    while waiting:
        some, waiting = waiting[:most], waiting[most:]
        mixed = replace(ascent, depths=tuple(depth for depth in some for _ in pictures))
        current = pictures.detach().to(ascent.network.device).repeat(len(some), 1, 1, 1)
        if ascent.precision == "float64":
            current = current.double()
        taken: dict[int, Tensor] = {}
        norms: list[Tensor] = []
        with at_rest(ascent.network.module):
            for step in range(1, steps + 1):
                norm, gradient = mixed(current, None)
                current = gradient.mul_(learning_rate).add_(current).clamp_(0.0, 1.0)
                norms.append(norm)
                if step in kept:
                    taken[step] = current.to("cpu", non_blocking=True)
        # To copy them waits for everything before it, so the snapshots have arrived too.
        curves = torch.split(torch.stack(norms).cpu(), len(pictures), dim=1)
        for place, depth in enumerate(some):
            shown = {step: torch.split(rows, len(pictures))[place] for step, rows in taken.items()}
            found[depth] = Dream(shown[steps], shown, curves[place])
    return found


def _counting_on(on_step: Callable[[int], None], done: int) -> Callable[[int], None]:
    return lambda step: on_step(done + step)


def _from(call: Callable[[float], None], done: int) -> Callable[[float], None]:
    return lambda more: call(done + more)


def steps_kept(steps: int, snapshots: Sequence[int]) -> frozenset[int]:
    """The steps whose pictures are kept, the last among them. Raises InvalidSpec."""
    if steps < 1:
        raise InvalidSpec(f"steps: at least 1; got {steps}.")
    wrong = [step for step in snapshots if not 1 <= step <= steps]
    if wrong:
        raise InvalidSpec(f"snapshots: steps from 1 to {steps}; got {wrong[0]}.")
    return frozenset({*snapshots, steps})

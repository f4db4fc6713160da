"""Pictures optimised by something else than their pixels: `render`, a step of which has five parts.

Parameters give a picture, which is shown from several sides, which the network answers; the
answer's gradient comes back the same way, and an optimiser takes a step. `feature`, `maco` and
`caricature` say with what.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from beholder.errors import InvalidInput, InvalidSpec
from beholder.science.checkpoint import Checkpoint
from beholder.science.dream import Dream, steps_kept
from beholder.science.inputs import MIN_SIDE
from beholder.science.networks import Network, at_rest
from beholder.science.optimisers import Memory, Optimiser
from beholder.science.prefix import Precision
from beholder.science.transforms import Drawn, Views

# Of views (V, 3, h, w), each one's value (V,) and gradient (V, 3, h, w).
Answer = Callable[[Tensor, Drawn], tuple[Tensor, Tensor]]
_OPAQUE = 0.8  # of a picture's places are not wholly opaque; what the rest have counts no further


class Canvas(Protocol):
    """A picture (3, H, W) in [0, 1] by parameters of another shape."""

    @property
    def height(self) -> int: ...

    @property
    def width(self) -> int: ...

    def start(self, seed: int) -> Tensor:
        """The parameters to begin with, from a seed."""
        ...

    def parameters(self, picture: Tensor) -> Tensor:
        """Those that give this picture."""
        ...

    def picture(self, parameters: Tensor) -> Tensor:
        """What they give; differentiable."""
        ...


@dataclass(frozen=True)
class Rendered(Dream):
    """What a batch became, as a `Dream`; its objective is that of the views of each step.

    opacity: (B, 1, H, W) in [0, 1], how much each place was pulled at: where little, what is seen
    is of no importance to the objective.
    """

    opacity: Tensor


@dataclass(frozen=True)
class Means:
    """With what pictures are rendered."""

    canvas: Canvas
    optimiser: Optimiser
    views: Views


def render(
    network: Network,
    answer: Answer,
    means: Means,
    *,
    seeds: Sequence[int],
    starts: Tensor | Checkpoint | None = None,
    steps: int,
    snapshots: Sequence[int] = (),
    precision: Precision = "float32",
    on_step: Callable[[int], None] | None = None,
    on_checkpoint: Callable[[int, Callable[[], Checkpoint]], None] | None = None,
) -> Rendered:
    """Optimise a picture for each of `seeds`, so that `answer` becomes large.

    starts: pictures (B, 3, H, W) to begin with; None begins with what the seeds give. A checkpoint
    goes on to what it would have become, bit for bit on a CPU. On a CPU each picture of a batch
    becomes what it would become alone, too; a GPU's sampling adds up in no fixed order. Callbacks
    as for `dream`. Raises InvalidSpec, InvalidInput.
    """
    kept = steps_kept(steps, snapshots)
    begun = _begun(means, seeds, starts)
    if begun.step > steps:
        raise InvalidSpec(f"steps: at least the checkpoint's {begun.step}; got {steps}.")
    kind = torch.float64 if precision == "float64" else torch.float32
    memory = {name: part.to(network.device, kind, copy=True) for name, part in begun.memory.items()}
    current = _Current(means, answer, tuple(seeds), memory)
    taken = dict(begun.snapshots)
    values: list[Tensor] = []

    def checkpoint() -> Checkpoint:
        state = {name: part.cpu().clone() for name, part in current.memory.items()}
        return Checkpoint(step, current.pictures().cpu(), dict(taken), begun.curve(values), state)

    with at_rest(network.module), torch.no_grad():
        for step in range(begun.step + 1, steps + 1):
            values.append(current.step(step))
            if step in kept:
                taken[step] = current.pictures().to("cpu", non_blocking=True)
            if on_checkpoint is not None:
                on_checkpoint(step, checkpoint)
            if on_step is not None:
                on_step(step)
    curve = begun.curve(values)
    if steps not in taken:  # the checkpoint is of the end, and had not been asked for it
        taken[steps] = begun.pictures
    return Rendered(taken[steps], taken, curve, _opacity(current.memory["pull"]).cpu())


def _begun(means: Means, seeds: Sequence[int], starts: Tensor | Checkpoint | None) -> Checkpoint:
    """The checkpoint that rendering goes on from."""
    canvas = means.canvas
    if min(canvas.height, canvas.width) < MIN_SIDE:
        raise InvalidSpec(f"size: at least {MIN_SIDE}; got {min(canvas.height, canvas.width)}.")
    if not seeds or min(seeds) < 0:
        raise InvalidSpec("seeds: one a picture, each 0 or more.")
    if isinstance(starts, Checkpoint):
        _check_count(len(starts.pictures), seeds)
        return starts
    if starts is None:
        parameters = torch.stack([canvas.start(seed) for seed in seeds])
    else:
        if tuple(starts.shape[1:]) != (3, canvas.height, canvas.width):
            raise InvalidInput(
                f"starts are pictures (B, 3, {canvas.height}, {canvas.width}) in [0, 1]; "
                f"got {tuple(starts.shape)}."
            )
        _check_count(len(starts), seeds)
        parameters = torch.stack([canvas.parameters(picture.cpu()) for picture in starts])
    pictures = torch.stack([canvas.picture(each) for each in parameters])
    memory = {
        "parameters": parameters,
        "pull": torch.zeros_like(pictures[:, :1]),
        **means.optimiser.start(parameters),
    }
    return Checkpoint(0, pictures, {}, torch.empty(0, len(seeds)), memory)


def _check_count(count: int, seeds: Sequence[int]) -> None:
    if count != len(seeds):
        raise InvalidSpec(f"seeds: one a picture, {count}; got {len(seeds)}.")


@dataclass(frozen=True)
class _Current:
    """A batch on its way. memory: parameters, how places were pulled at, the optimiser's."""

    means: Means
    answer: Answer
    seeds: tuple[int, ...]
    memory: Memory

    def step(self, number: int) -> Tensor:
        """Take one step; the objective (B,) that it set out from, the mean of each one's views."""
        canvas, views = self.means.canvas, self.means.views
        drawn = views.drawn(self.seeds, number, (canvas.height, canvas.width))
        with torch.enable_grad():
            parameters = self.memory["parameters"].detach().requires_grad_()
            # One by one: how a batch of waves adds up depends on how many there are.
            pictures = torch.stack([canvas.picture(each) for each in parameters])
            seen = pictures.detach().requires_grad_()
            shown = drawn.of(seen)
        values, gradient = self.answer(shown.detach(), drawn)
        (pull,) = torch.autograd.grad(shown, seen, gradient.to(shown.dtype) / views.count)
        (gradient,) = torch.autograd.grad(pictures, parameters, pull)
        self.memory["pull"] += pull.abs().mean(dim=1, keepdim=True)
        self.memory["parameters"] = self.means.optimiser.step(
            self.memory["parameters"], -gradient, self.memory, number
        )
        return values.view(len(self.seeds), views.count).mean(dim=1)

    def pictures(self) -> Tensor:
        """(B, 3, H, W), as they are now."""
        return torch.stack([self.means.canvas.picture(each) for each in self.memory["parameters"]])


def _opacity(pull: Tensor) -> Tensor:
    """`pull` (B, 1, H, W) by what `_OPAQUE` of its picture's places stay below, 1 at most."""
    flat = pull.flatten(1).sort(dim=1).values
    most = flat[:, int(_OPAQUE * (flat.shape[1] - 1))]
    return (pull / most.clamp_min(torch.finfo(pull.dtype).tiny).view(-1, 1, 1, 1)).clamp(0, 1)

"""What happens to a picture and its gradient at each step: sizes, shifts, schedules, smoothing.

Every function treats a picture of a batch as it would treat it alone, bit for bit on a CPU.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from beholder.errors import InvalidSpec
from beholder.octaves import octave_side
from beholder.recipes import Gradient, Schedule

_REACH = 3.0  # standard deviations of a Gaussian that count
_TINY = 1e-12


@dataclass(frozen=True)
class Controls:
    """How a dream goes, besides its objective; fields as `DreamSpec` has them."""

    octaves: int = 1
    octave_scale: float = 1.4
    jitter: int = 0
    gradient: Gradient = "plain"
    smoothing: float = 0.0
    schedule: Schedule = "constant"
    keep_colour: bool = False
    blend: float = 0.0


@dataclass(frozen=True)
class Octave:
    """One size of a dream. first, last: its steps, counted from 1 over all octaves."""

    height: int
    width: int
    first: int
    last: int

    @property
    def size(self) -> tuple[int, int]:
        return self.height, self.width


def octaves(height: int, width: int, controls: Controls, steps: int) -> list[Octave]:
    """Those of a picture, smallest first, each with its share of the steps.

    Raises InvalidSpec for fewer steps than octaves.
    """
    count = controls.octaves
    if not 1 <= count <= steps:
        raise InvalidSpec(f"octaves: 1 to the number of steps, {steps}; got {count}.")
    found = []
    for number in range(count):
        sides = [
            octave_side(side, number, count, controls.octave_scale) for side in (height, width)
        ]
        first, last = steps * number // count + 1, steps * (number + 1) // count
        found.append(Octave(sides[0], sides[1], first, last))
    return found


def shift(seed: int, step: int, jitter: int) -> tuple[int, int]:
    """How far a picture is moved down and across at a step: each of -jitter to jitter as likely.

    Drawn anew from seed and step, so that going on needs no generator's state.
    """
    if not jitter:
        return 0, 0
    down, across = np.random.default_rng((seed, step)).integers(-jitter, jitter, 2, endpoint=True)
    return int(down), int(across)


def shifted(pictures: Tensor, shifts: list[tuple[int, int]], *, back: bool = False) -> Tensor:
    """Each of `pictures` (B, 3, H, W) moved round its edges by its own shift, or back again."""
    if not any(map(any, shifts)):
        return pictures
    sign = -1 if back else 1
    rows = zip(pictures, shifts, strict=True)
    return torch.stack(
        [one.roll((sign * down, sign * across), (1, 2)) for one, (down, across) in rows]
    )


def rate(schedule: Schedule, step: int, steps: int) -> float:
    """What the learning rate is multiplied by at a step, from 1 at the first."""
    share = (step - 1) / steps
    if schedule == "linear":
        return 1 - share
    return (1 + np.cos(np.pi * share)) / 2 if schedule == "cosine" else 1.0


def scaled(gradient: Tensor) -> Tensor:
    """Each picture's gradient by the mean of its absolute values; a zero one stays.

    Source: google/deepdream's `make_step`.
    """
    means = torch.stack([row.abs().mean() for row in gradient])  # as each would be alone
    return gradient / means.clamp_min(_TINY).view(-1, 1, 1, 1)


def smoothed(gradient: Tensor, deviation: float) -> Tensor:
    """The mean of three Gaussian blurs of (B, 3, H, W): of half, once and twice the deviation.

    Edges see their mirror image. Method: the cascade of gordicaleksa/pytorch-deepdream.
    """
    if not deviation:
        return gradient
    found = torch.zeros_like(gradient)
    for colour in range(gradient.shape[1]):  # one by one: a large picture has no room for copies
        own, total = gradient.narrow(1, colour, 1), found.narrow(1, colour, 1)
        for by in (0.5, 1.0, 2.0):
            total.add_(_blurred(own, deviation * by))
        total.div_(3)
    return found


def grey(gradient: Tensor) -> Tensor:
    """The same for all three colours, so that a step along it changes brightness alone."""
    return gradient.mean(dim=1, keepdim=True).expand_as(gradient)


def resized(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, 3, h, w) as (B, 3, *size): bilinear, and without aliasing where it becomes smaller."""
    if tuple(pictures.shape[2:]) == size:
        return pictures
    return F.interpolate(pictures, size, mode="bilinear", align_corners=False, antialias=True)


def _blurred(gradient: Tensor, deviation: float) -> Tensor:
    """A sum of shifted copies, since a convolution may add up differently in a batch."""
    for dim in (2, 3):
        most = gradient.shape[dim] - 1
        reach = min(most, max(1, round(_REACH * deviation)))
        places = torch.arange(-reach, reach + 1, dtype=torch.float64)
        weights = torch.exp(-(places**2) / (2 * deviation**2))
        weights /= weights.sum()
        ends = (0, 0, reach, reach) if dim == 2 else (reach, reach, 0, 0)
        padded = F.pad(gradient, ends, mode="reflect")
        side = gradient.shape[dim]
        found = torch.zeros_like(gradient)
        for number, weight in enumerate(weights.tolist()):
            found.add_(padded.narrow(dim, number, side), alpha=weight)
        gradient = found
    return gradient

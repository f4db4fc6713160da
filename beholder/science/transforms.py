"""What a picture has to stand while it is optimised: `Jitter`, `Scale`, `Rotate`, `Crop`, `Noise`.

What excites a channel only from exactly here is of no use: `Views` show each picture as its seed
and the step have it, and all of a view's geometry is one sampling, which blurs once and not five
times. Method: Olah, Mordvintsev and Schubert, "Feature Visualization", Distill 2017.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

Matrix = NDArray[np.float64]  # (2, 3): where in the picture, in pixels from its middle, a pixel is
_GREY = 0.5


class Transform(Protocol):
    """One step of a view's geometry."""

    def matrix(self, draws: np.random.Generator, size: tuple[int, int]) -> Matrix:
        """(3, 3), from a place in the view to one in the picture, in pixels from the middle.

        size: the picture's height and width.
        """
        ...


@dataclass(frozen=True)
class Jitter:
    """Moved by up to so many pixels each way."""

    pixels: float

    def matrix(self, draws: np.random.Generator, size: tuple[int, int]) -> Matrix:
        moved = np.eye(3)
        moved[:2, 2] = draws.uniform(-self.pixels, self.pixels, 2)
        return moved


@dataclass(frozen=True)
class Scale:
    """Enlarged by a factor from `low` to `high`."""

    low: float
    high: float

    def matrix(self, draws: np.random.Generator, size: tuple[int, int]) -> Matrix:
        factor = draws.uniform(self.low, self.high)
        return np.diag([1 / factor, 1 / factor, 1.0])


@dataclass(frozen=True)
class Rotate:
    """Turned by up to so many degrees either way."""

    degrees: float

    def matrix(self, draws: np.random.Generator, size: tuple[int, int]) -> Matrix:
        angle = np.radians(draws.uniform(-self.degrees, self.degrees))
        cos, sin = np.cos(angle), np.sin(angle)
        return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class Crop:
    """A window from `smallest` to `largest` of the picture's sides, its middle near the picture's.

    spread: the standard deviation of where the middle is, in sides of the picture.
    """

    smallest: float
    largest: float
    spread: float = 0.15

    def matrix(self, draws: np.random.Generator, size: tuple[int, int]) -> Matrix:
        share = draws.uniform(self.smallest, self.largest)
        room = (1 - share) / 2
        across, down = np.clip(draws.normal(0, self.spread, 2), -room, room)
        window = np.diag([share, share, 1.0])
        window[:2, 2] = across * size[1], down * size[0]
        return window


@dataclass(frozen=True)
class Views:
    """How pictures are shown: `transforms` from the picture outwards, `count` times a step.

    size: the views' height and width; None is the picture's, which a view of another size shows
    whole unless it is cropped. beyond: what is seen outside the picture. noise: the standard
    deviation of what is added to each value.
    """

    transforms: tuple[Transform, ...] = ()
    count: int = 1
    size: tuple[int, int] | None = None
    beyond: Literal["grey", "mirror"] = "grey"
    noise: float = 0.0

    def drawn(self, seeds: Sequence[int], step: int, size: tuple[int, int]) -> "Drawn":
        """The views of the pictures with these seeds at `step`; `size` is the pictures'."""
        views = [
            self._drawn(seed, step, number, size) for seed in seeds for number in range(self.count)
        ]
        rows = [row for row in range(len(seeds)) for _ in range(self.count)]
        noises = [noise for _, noise in views if noise is not None]
        return Drawn(
            rows,
            torch.from_numpy(np.stack([matrix[:2] for matrix, _ in views])),
            torch.stack(noises) if noises else None,
            self.size or size,
            self.beyond,
        )

    def _drawn(
        self, seed: int, step: int, number: int, size: tuple[int, int]
    ) -> tuple[Matrix, Tensor | None]:
        draws = np.random.default_rng((seed, step, number))
        height, width = self.size or size
        found = np.diag([size[1] / width, size[0] / height, 1.0])
        for transform in reversed(self.transforms):
            found = transform.matrix(draws, size) @ found
        if not self.noise:
            return found, None
        values = draws.standard_normal((3, height, width), dtype=np.float32) * self.noise
        return found, torch.from_numpy(values)


@dataclass(frozen=True)
class Drawn:
    """The views of a batch at one step.

    rows: of which picture each view is. matrices: (V, 2, 3), as `Transform` has them.
    noise: (V, 3, h, w). size: a view's height and width.
    """

    rows: list[int]
    matrices: Tensor
    noise: Tensor | None
    size: tuple[int, int]
    beyond: Literal["grey", "mirror"]

    def of(self, pictures: Tensor) -> Tensor:
        """What is seen of `pictures` (B, 3, H, W): (V, 3, h, w); differentiable."""
        shown = self._placed(pictures)
        return shown if self.noise is None else shown + _sent(self.noise.to(shown.dtype), shown)

    def _placed(self, pictures: Tensor) -> Tensor:
        rows = range(len(pictures))
        chosen = pictures
        if self.rows != list(rows):
            chosen = pictures[_sent(torch.tensor(self.rows), pictures)]
        if self._still and self.size == tuple(pictures.shape[2:]):
            return chosen
        grid = self._grid(chosen)
        if self.beyond == "mirror":
            return F.grid_sample(chosen, grid, padding_mode="reflection", align_corners=False)
        return F.grid_sample(chosen - _GREY, grid, align_corners=False) + _GREY

    @property
    def _still(self) -> bool:
        return bool((self.matrices == torch.eye(3, dtype=torch.float64)[:2]).all())

    def _grid(self, pictures: Tensor) -> Tensor:
        """(V, h, w, 2): where each pixel of a view is, -1 and 1 being the picture's edges."""
        height, width = self.size
        halves = torch.tensor([pictures.shape[3], pictures.shape[2]], dtype=torch.float64) / 2
        terms = _sent((self.matrices / halves[:, None]).to(pictures.dtype), pictures)
        terms = terms[:, :, :, None, None]  # (V, 2, 3, 1, 1)
        across, down = _from_middle(width, pictures), _from_middle(height, pictures)[:, None]
        places = terms[:, :, 0] * across + terms[:, :, 1] * down + terms[:, :, 2]  # (V, 2, h, w)
        return places.permute(0, 2, 3, 1)


def _from_middle(count: int, like: Tensor) -> Tensor:
    """How far so many pixels in a row (count,) lie from the middle of it, in the type of `like`."""
    return torch.arange(count, dtype=like.dtype, device=like.device) - (count - 1) / 2


def _sent(drawn: Tensor, beside: Tensor) -> Tensor:
    """To the device of `beside`, a GPU without being waited for."""
    ready = drawn.pin_memory() if beside.is_cuda else drawn
    return ready.to(beside.device, non_blocking=True)


# lucid's stack, but that a mirror is beyond the picture: its grey makes the picture's edges grey.
STANDARD = Views((Jitter(4), Scale(0.9, 1.1), Rotate(10), Jitter(2)), beyond="mirror")

"""What excites a channel, with waves as strong as in natural pictures: `maco`.

Source: Fel et al., "Unlocking Feature Visualization for Deeper Networks with MAgnitude Constrained
Optimization", NeurIPS 2023. Only phases are optimised; without a way to add strength to any wave,
no noise can be had for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Unpack

import torch
from torch import Tensor

from beholder.errors import InvalidInput
from beholder.science.colours import Colours
from beholder.science.constants import Constant
from beholder.science.course import Course, answer_of, render_layer, size_of
from beholder.science.networks import Network
from beholder.science.optimisers import NAdam
from beholder.science.rendering import Means, Rendered
from beholder.science.response import Objective
from beholder.science.spectrum import natural_scale
from beholder.science.transforms import Crop, Views

SIZE = 384  # pixels a side; crops of it are shown
CONTRAST = 1.2  # the standard deviation of a picture's values before the sigmoid
# By which the built-in pictures' brightness falls with frequency; a test measures it again.
# Photographs have about 1, of which, in so few steps as are usual, too much stays noise.
DECAY = 1.25
CROPS = Views((Crop(0.45, 0.7),), count=2, size=(224, 224), beyond="mirror", noise=0.05)
_EDGE = 1 / 512


@dataclass(frozen=True)
class Phases:
    """Pictures (3, H, W) by their waves' phases (3, H, W // 2 + 1) in radians.

    magnitude: (H, W // 2 + 1) or (3, H, W // 2 + 1), how strong waves are, the mean's excepted,
    which is grey. contrast: see `CONTRAST`.
    """

    height: int
    width: int
    magnitude: Tensor
    contrast: float = CONTRAST
    colours: Colours = field(default_factory=Colours.usual)

    def start(self, seed: int) -> Tensor:
        """Phases evenly from all the circle."""
        generator = torch.Generator().manual_seed(seed)
        shape = (3, self.height, self.width // 2 + 1)
        return torch.rand(shape, generator=generator) * (2 * torch.pi)

    def parameters(self, picture: Tensor) -> Tensor:
        """A picture's phases; its magnitudes are lost."""
        values = picture.clamp(_EDGE, 1 - _EDGE).logit()
        phases: Tensor = torch.fft.rfft2(self.colours.from_rgb(values)).angle()
        return phases

    def picture(self, parameters: Tensor) -> Tensor:
        """The picture (3, H, W) of these phases; differentiable."""
        strengths = self._strengths.beside(parameters)
        waves = torch.complex(strengths * parameters.cos(), strengths * parameters.sin())
        values = torch.fft.irfft2(waves, s=(self.height, self.width))
        return torch.sigmoid(self.colours.to_rgb(values))

    @cached_property
    def _strengths(self) -> Constant:
        """(3, H, W // 2 + 1) float64, so that brightness varies by `contrast`."""
        strengths = self.magnitude.double().expand(3, -1, -1).clone()
        strengths[:, 0, 0] = 0
        twice = strengths[0].square()
        # `irfft2` sees all columns but the first, and of an even width the last, from both sides.
        twice[:, 1 : (self.width + 1) // 2] *= 2
        deviation = twice.sum().sqrt() / (self.height * self.width)
        return Constant(strengths * (self.contrast / deviation))


def magnitude_of(pictures: Tensor) -> Tensor:
    """How strong waves are in `pictures` (B, 3, H, W), on average: (3, H, W // 2 + 1) float64.

    As `Phases` wants it, of decorrelated colours. Pictures of another size than those to be made
    are for `torch.nn.functional.interpolate` first.
    """
    colours = Colours.usual()
    values = pictures.double().clamp(_EDGE, 1 - _EDGE).logit()
    found = torch.stack([torch.fft.rfft2(colours.from_rgb(one)).abs() for one in values])
    return found.mean(dim=0)


def maco(
    network: Network,
    objective: Objective | Sequence[Objective],
    *,
    layer: int | str,
    seeds: Sequence[int] = (0,),
    size: int | tuple[int, int] = SIZE,
    magnitude: Tensor | None = None,
    contrast: float = CONTRAST,
    **course: Unpack[Course],
) -> Rendered:
    """`feature`, of pictures whose waves keep their strength; `opacity` shows where to look.

    magnitude: see `Phases`; None falls with the frequency to the power of `DECAY`, and
    `magnitude_of` measures that of pictures. The views are `CROPS` and the optimiser is NAdam at
    0.3 radians, unless given: at the paper's 1, phases leap about, and less is reached in as many
    steps.
    """
    height, width = size_of(course, size)
    if magnitude is None:
        magnitude = natural_scale(height, width, DECAY)
    if tuple(magnitude.shape[-2:]) != (height, width // 2 + 1):
        raise InvalidInput(
            f"magnitude: (H, W // 2 + 1) is {(height, width // 2 + 1)}; "
            f"got {tuple(magnitude.shape[-2:])}."
        )
    usual = Means(Phases(height, width, magnitude, contrast), NAdam(), CROPS)
    return render_layer(network, layer, answer_of(objective, len(seeds)), usual, seeds, course)

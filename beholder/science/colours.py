"""Colours along axes on which pictures vary independently: `Colours`, there and back.

A step along red alone is one that hardly any picture takes: channels go up and down together. So
what is optimised are brightness, orange to blue and green to magenta, each in its own measure.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from beholder.science.constants import Constant

# The axes that Ohta, Kanade and Sakai found in photographs ("Color information for region
# segmentation", 1980): brightness, orange to blue, green to magenta; their I1, I2 and I3.
_AXES = ((1.0, 1.0, 1.0), (1.0, 0.0, -1.0), (-1.0, 2.0, -1.0))
# How far the built-in pictures spread along each, brightness being 1; a test measures it again.
DEVIATIONS = (1.0, 0.46, 0.31)


@dataclass(frozen=True)
class Colours:
    """A linear map between RGB and uncorrelated coordinates, (3, 3) float64: rgb = matrix @ them.

    Its columns are the axes, as long as pictures spread along them; the longest has length 1.
    """

    matrix: Tensor

    @classmethod
    def usual(cls) -> "Colours":
        """Ohta's axes and `DEVIATIONS`."""
        axes = torch.tensor(_AXES, dtype=torch.float64).T
        return cls(axes / axes.norm(dim=0) * torch.tensor(DEVIATIONS, dtype=torch.float64))

    @classmethod
    def of(cls, pictures: Tensor) -> "Colours":
        """Those of `pictures` (B, 3, H, W): the axes of their pixels about each picture's mean."""
        pixels = pictures.double().flatten(2)  # (B, 3, H * W)
        pixels = pixels - pixels.mean(dim=2, keepdim=True)
        covariance = torch.einsum("bin,bjn->ij", pixels, pixels) / pixels[:, 0].numel()
        variances, axes = torch.linalg.eigh(covariance)  # ascending
        # A colour that never occurs could not be taken back to coordinates.
        lengths = variances.clamp_min(variances[-1] * 1e-4).sqrt().flip(0)
        return cls(axes.flip(1) * lengths / lengths[0])

    @cached_property
    def inverse(self) -> Tensor:
        """(3, 3): what undoes `matrix`."""
        inverse: Tensor = torch.linalg.inv(self.matrix)
        return inverse

    def to_rgb(self, coordinates: Tensor) -> Tensor:
        """(3, H, W) to (3, H, W)."""
        return _mixed(self._there, coordinates)

    def from_rgb(self, colours: Tensor) -> Tensor:
        """What `to_rgb` makes `colours` (3, H, W) of."""
        return _mixed(self._back, colours)

    @cached_property
    def _there(self) -> Constant:
        return Constant(self.matrix)

    @cached_property
    def _back(self) -> Constant:
        return Constant(self.inverse)


def _mixed(matrix: Constant, channels: Tensor) -> Tensor:
    mixed: Tensor = torch.tensordot(matrix.beside(channels), channels, dims=1)
    return mixed

"""Pictures by their waves: `Fourier`, in which a step changes all of a picture and not a pixel.

Source: Olah, Mordvintsev and Schubert, "Feature Visualization", Distill 2017. Waves are scaled as
strong as they are in natural pictures, one over their frequency, and colours are decorrelated.
"""

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from beholder.science.colours import Colours
from beholder.science.constants import Constant

START_DEVIATION = 0.01  # of a wave's strength, in its own measure
_SOFTNESS = 4.0  # lucid's: the sigmoid's slope, so that a step of the optimiser is a small one
_NEAREST_END = 1 / 512  # a sigmoid never reaches 0 or 1: half of what 8 bits tell apart


def frequencies(height: int, width: int) -> Tensor:
    """Waves a pixel (H, W // 2 + 1), float64, as `rfft2` lays them out."""
    rows = torch.fft.fftfreq(height, dtype=torch.float64)[:, None]
    return torch.sqrt(rows**2 + torch.fft.rfftfreq(width, dtype=torch.float64) ** 2)


def natural_scale(height: int, width: int, decay: float) -> Tensor:
    """How strong waves are (H, W // 2 + 1): their frequency to the power of -`decay`.

    The mean, which has frequency 0, counts as the slowest wave. Together they are as strong for
    any `decay` as one over their frequency is: it says where strength goes, not how much there is.
    """
    waves = frequencies(height, width).clamp_min(1 / max(height, width))
    scale = waves**-decay
    return scale * (waves.reciprocal().square().mean() / scale.square().mean()).sqrt()


@dataclass(frozen=True)
class Fourier:
    """Pictures (3, H, W) in [0, 1] by parameters (3, H, W // 2 + 1, 2), each wave's two parts.

    decay: how fast a step's waves become weaker with their frequency; 1 is that of photographs,
    more is smoother.
    """

    height: int
    width: int
    decay: float = 1.0
    colours: Colours = field(default_factory=Colours.usual)

    def start(self, seed: int) -> Tensor:
        """Nearly grey parameters, the same everywhere for a seed."""
        generator = torch.Generator().manual_seed(seed)
        shape = (3, self.height, self.width // 2 + 1, 2)
        return torch.randn(shape, generator=generator) * START_DEVIATION

    def parameters(self, picture: Tensor) -> Tensor:
        """Those of a picture (3, H, W): its own, but for values nearer to 0 or 1 than 1/512."""
        values = picture.clamp(_NEAREST_END, 1 - _NEAREST_END).logit() * _SOFTNESS
        waves = torch.fft.rfft2(self.colours.from_rgb(values), norm="ortho")
        return torch.view_as_real(waves / self._scale.beside(picture))

    def picture(self, parameters: Tensor) -> Tensor:
        """The picture (3, H, W) of `parameters`; differentiable."""
        waves = torch.view_as_complex(parameters) * self._scale.beside(parameters)
        values = torch.fft.irfft2(waves, s=(self.height, self.width), norm="ortho")
        return torch.sigmoid(self.colours.to_rgb(values / _SOFTNESS))

    @cached_property
    def _scale(self) -> Constant:
        return Constant(natural_scale(self.height, self.width, self.decay))

"""Which precision dreams may take: `fastest_admitted` measures whether a faster one shows.

Gradient ascent magnifies rounding: one maximum that falls the other way moves the picture on. So a
faster arithmetic is taken only where dreams of test pictures stay the same to the eye.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from beholder.science.dream import Dream, dream
from beholder.science.inputs import noise
from beholder.science.networks import Network
from beholder.science.prefix import Precision

MAX_OBJECTIVE_ERROR = 0.01
MIN_SIMILARITY = 0.98
MAX_TRIAL_STEPS = 300
_STEPS = 30  # the published number
_FASTER: tuple[Precision, ...] = ("bf16", "tf32")
_WINDOW, _DEVIATION = 11, 1.5  # pixels, Wang et al. 2004
_C1, _C2 = 0.01**2, 0.03**2


@dataclass(frozen=True)
class Agreement:
    """How far a precision's dreams are from float32's, the worst of the test pictures.

    objective_error: of the last step's norm, relative. similarity: SSIM, 1 for equal pictures.
    """

    precision: Precision
    objective_error: float
    similarity: float

    @property
    def admitted(self) -> bool:
        """Whether nobody would see a difference."""
        return self.objective_error <= MAX_OBJECTIVE_ERROR and self.similarity >= MIN_SIMILARITY


def fastest_admitted(
    network: Network,
    *,
    layer: int | str,
    channels: Sequence[int] | None = None,
    steps: int = _STEPS,
    learning_rate: float = 0.01,
    normalize: bool = False,
    pre_relu: bool = False,
    size: int = 224,
) -> Precision:
    """The fastest precision for such dreams on the network's device: float32 if no other passes.

    On a CPU float32 always: it is the reference there. So it is for dreams of more than
    `MAX_TRIAL_STEPS`, which are not tried: the longer a dream, the further rounding carries it.
    Raises as `dream` does.
    """
    if network.device.type == "cpu" or steps > MAX_TRIAL_STEPS:
        return "float32"
    dreamt = partial(
        dream,
        network,
        _test_pictures(size),
        layer=layer,
        channels=channels,
        steps=steps,
        learning_rate=learning_rate,
        normalize=normalize,
        pre_relu=pre_relu,
    )
    reference = dreamt(precision="float32")
    for precision in _FASTER:
        if compared(precision, reference, dreamt(precision=precision)).admitted:
            return precision
    return "float32"


def agreement(
    network: Network, precision: Precision, *, size: int = 224, **options: Any
) -> Agreement:
    """Dream of the test pictures in float32 and in `precision`, and compare what came out.

    options: of `dream`, such as layer, steps and learning_rate.
    """
    pictures = _test_pictures(size)
    reference = dream(network, pictures, **options)
    return compared(precision, reference, dream(network, pictures, precision=precision, **options))


def compared(precision: Precision, reference: Dream, other: Dream) -> Agreement:
    """How far `other`, in `precision`, is from the same dreams in float32."""
    last, reached = reference.objective[-1], other.objective[-1]
    # A layer that stays silent is no reason to refuse; NaN compares as no agreement.
    error = torch.where(last == reached, 0.0, (reached - last).abs() / last.abs())
    return Agreement(
        precision,
        error.nan_to_num(nan=float("inf")).max().item(),
        similarity(reference.pictures, other.pictures).nan_to_num(nan=0.0).min().item(),
    )


def similarity(one: Tensor, other: Tensor) -> Tensor:
    """SSIM of pictures (B, 3, H, W) in [0, 1], each pair's mean over places and colours: (B,).

    Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment", 2004: Gaussian windows of 11
    pixels and deviation 1.5, inside the picture only.
    """
    one, other = one.double(), other.double()  # variances are small differences
    offsets = torch.arange(_WINDOW, dtype=one.dtype, device=one.device) - _WINDOW // 2
    line = torch.exp(-(offsets**2) / (2 * _DEVIATION**2))
    line = line / line.sum()
    window = (line[:, None] * line).expand(3, 1, _WINDOW, _WINDOW)

    def local(maps: Tensor) -> Tensor:
        return F.conv2d(maps, window, groups=3)

    mean, mean_other = local(one), local(other)
    variance = local(one * one) - mean**2
    variance_other = local(other * other) - mean_other**2
    covariance = local(one * other) - mean * mean_other
    places = ((2 * mean * mean_other + _C1) * (2 * covariance + _C2)) / (
        (mean**2 + mean_other**2 + _C1) * (variance + variance_other + _C2)
    )
    return places.mean(dim=(1, 2, 3))


def _test_pictures(size: int) -> Tensor:
    """A start from the void, and clouds with a photograph's spectrum: (2, 3, size, size)."""
    void = noise(0, size=size)
    waves = torch.fft.rfft2(noise(1, size=size))
    rows = torch.fft.fftfreq(size)[:, None]
    distance = torch.sqrt(rows**2 + torch.fft.rfftfreq(size) ** 2).clamp_min(1 / size)
    clouds = torch.fft.irfft2(waves / distance, s=(size, size))
    clouds = 0.5 + 0.2 * clouds / clouds.std()
    return torch.stack([void, clouds.clamp(0, 1)])

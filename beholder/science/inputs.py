"""What goes into a network and comes out: `to_tensor`, `noise`, and `to_image` for the way back.

Pictures are float32 tensors (3, H, W) with values in [0, 1].
"""

from collections.abc import Callable
from functools import cache
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from beholder.errors import PictureError
from beholder.seen import as_seen

MIN_SIDE = 32  # pixels; five 2x2 pools leave one value of it
NOISE_DEVIATION = 0.2
_ROWS = 256  # made bytes at once: a large picture has no room for copies
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, by channel


def to_tensor(image: Image.Image, *, size: int | Literal["keep"] = 224) -> Tensor:
    """An RGB image as (3, size, size) in [0, 1], or (3, H, W) with "keep".

    The published preprocessing is `beholder.seen.as_seen`.
    Raises PictureError for another mode than RGB, a side under 32 pixels, or far too long a strip.
    """
    if image.mode != "RGB":
        raise PictureError(f"{image.mode} pixels: beholder.pictures.decode makes them RGB.")
    image = as_seen(image, size)
    if min(image.size) < MIN_SIDE:
        raise PictureError(
            f"{image.width} x {image.height} pixels is too small: "
            f"each side needs {MIN_SIDE} at least."
        )
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)  # (3, H, W) uint8
    return pixels.float().div_(255)  # in place: a large picture has no room for a copy


def noise(seed: int, *, size: int) -> Tensor:
    """A "void" start: (3, size, size) Gaussian noise of mean 0 and deviation 0.2, not clipped.

    Drawn on the CPU by a generator of its own, so that a seed gives the same start everywhere.
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((3, size, size), generator=generator) * NOISE_DEVIATION


def to_image(picture: Tensor) -> Image.Image:
    """A picture (3, H, W) as an RGB image: clipped to [0, 1] and rounded to 8 bits."""
    picture = picture.detach().cpu()
    channels, height, width = picture.shape
    pixels = torch.empty((height, width, channels), dtype=torch.uint8)
    for first in range(0, height, _ROWS):
        rows = picture[:, first : first + _ROWS].float().clamp(0, 1).mul_(255).round_()
        pixels[first : first + _ROWS] = rows.to(torch.uint8).permute(1, 2, 0)
    return Image.fromarray(pixels.numpy(), "RGB")


def input_step(normalize: bool, device: torch.device) -> Callable[[Tensor], Tensor]:
    """What happens to pictures (B, 3, H, W) in [0, 1] before the first layer; differentiable.

    Nothing in the published method, which shows the network raw pixels; `normalize` subtracts
    ImageNet's mean and divides by its deviation.
    """
    if not normalize:
        return lambda pictures: pictures
    mean, deviation = _published(device)
    return lambda pictures: (pictures - mean) / deviation


@cache
def _published(device: torch.device) -> tuple[Tensor, Tensor]:
    """ImageNet's mean and deviation (1, 3, 1, 1). Kept, since to make them a GPU is waited for."""
    with torch.inference_mode(False):  # whoever comes next may want gradients
        mean, deviation = (torch.tensor(of, device=device) for of in (_MEAN, _DEVIATION))
    return mean.view(1, 3, 1, 1), deviation.view(1, 3, 1, 1)

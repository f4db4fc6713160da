"""`as_seen`: a picture as the published preprocessing shows it to a network. Pillow alone."""

from typing import Literal

from PIL import Image

from beholder.errors import PictureError

# The published method resizes to 256 and crops 224; other sizes keep that ratio.
_RESIZED, _CROPPED = 256, 224
_LONGEST_STRIP = 3  # times as long as wide, where a resized picture is larger than this:
_LARGE_PIXELS = 100_000_000


def as_seen(image: Image.Image, size: int | Literal["keep"]) -> Image.Image:
    """The centre of `image`, `size` pixels a side; all of it, as it is, with "keep".

    The shorter side is resized to size * 256 / 224 pixels (bicubic, antialiased, as torchvision
    does on a PIL image), then the centre is cropped. Raises PictureError for far too long a strip.
    """
    if size == "keep":
        return image
    return _centre(_resized(image, round(size * _RESIZED / _CROPPED)), size)


def _resized(image: Image.Image, shorter: int) -> Image.Image:
    """`image` with its shorter side at `shorter` pixels."""
    longer = shorter * max(image.size) // min(image.size)
    if shorter * longer > max(_LARGE_PIXELS, _LONGEST_STRIP * shorter**2):
        raise PictureError(
            f"{image.width} x {image.height} pixels is too long a strip to resize: crop it first."
        )
    size = (shorter, longer) if image.width <= image.height else (longer, shorter)
    return image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)


def _centre(image: Image.Image, side: int) -> Image.Image:
    """The square in the middle; halves of a pixel are rounded as torchvision rounds them."""
    left, top = (round((length - side) / 2) for length in image.size)
    return image.crop((left, top, left + side, top + side))

"""Reading picture files: a cheap look at the header (`peek`), and decoding to RGB (`decode`).

Both take bytes and raise PictureError with the reason. Pillow alone; no torch, no numpy.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image, ImageOps, UnidentifiedImageError

from beholder.errors import PictureError

PICTURE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
# Pillow opens many more formats, some through outside programs; these decode in process.
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_BACKGROUND = (255, 255, 255)  # what shows through transparent pixels
_ORIENTATION_TAG = 0x0112
_SIDEWAYS = frozenset({5, 6, 7, 8})  # EXIF orientations that swap width and height

DEFAULT_MAX_PIXELS = 100_000_000
PILLOW_MAX_PIXELS = 178_956_970  # twice Image.MAX_IMAGE_PIXELS; Pillow raises above it


@dataclass(frozen=True)
class PictureInfo:
    """What a header says. Width and height in pixels, as displayed (after EXIF orientation)."""

    width: int
    height: int
    format: str


def peek(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> PictureInfo:
    """Size and format from the header, without decoding the pixels.

    Raises PictureError when it is no picture, or has more than `max_pixels` pixels.
    """
    with _reading(), _open(data, max_pixels) as image:
        width, height = image.size
        if image.getexif().get(_ORIENTATION_TAG) in _SIDEWAYS:
            width, height = height, width
        return PictureInfo(width, height, str(image.format))


def decode(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Image.Image:
    """The first frame as an upright RGB image with 8 bits a channel.

    EXIF orientation is applied, transparency is laid over white, grey and CMYK become RGB, and
    16-bit greys are scaled to 8 bits. Raises PictureError when it can't be decoded whole.
    """
    with _reading(), _open(data, max_pixels) as image:
        image.load()
        return _to_rgb(ImageOps.exif_transpose(image))


def _open(data: bytes, max_pixels: int) -> Image.Image:
    if not data:
        raise PictureError("the file is empty.")
    image = Image.open(io.BytesIO(data), formats=_FORMATS)
    width, height = image.size
    if width * height > max_pixels:
        raise PictureError(
            f"{width} x {height} pixels is more than the limit of {max_pixels:,}: "
            "scale it down, or raise BEHOLDER_MAX_PIXELS."
        )
    return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = _to_8_bits(image)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        canvas = Image.new("RGBA", rgba.size, (*_BACKGROUND, 255))
        return Image.alpha_composite(canvas, rgba).convert("RGB")
    return image.convert("RGB")


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Greys of 16 or 32 bits in 8. Pillow's own conversion clips at 255 instead of scaling."""
    if image.mode == "F":
        raise PictureError("floating-point pixels have no fixed range: save it as 8 or 16 bits.")
    return image.convert("I").point(lambda value: value * (1 / 257) + 0.5).convert("L")


@contextmanager
def _reading() -> Iterator[None]:
    """Turn whatever Pillow raises on broken or hostile bytes into a PictureError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # our own limit on pixels stands in for Pillow's
            yield
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError(
            "not a picture that can be read: use JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF or PPM."
        ) from None
    except Image.DecompressionBombError:
        raise PictureError(
            f"more than {PILLOW_MAX_PIXELS:,} pixels can't be decoded: scale it down."
        ) from None
    except Exception as error:  # Pillow's decoders raise nearly anything on broken bytes
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PictureError(f"the file is damaged or cut short ({reason}).") from None

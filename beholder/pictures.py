"""Reading picture files: a cheap look at the header (`peek`), and decoding to RGB (`decode`).

Both take bytes and raise PictureError with the reason, in bounded time (`beholder.watched`) and
memory. What can't be stopped is decoded by `beholder.apart`. Where the machine has no memory left,
which is no picture's fault, they raise MemoryError. Pillow alone; no torch, no numpy.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from PIL.PngImagePlugin import PngImageFile

from beholder.apart import decode_apart
from beholder.budget import Budget
from beholder.errors import PictureError
from beholder.watched import Watched

PICTURE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
# Pillow opens many more formats, some through outside programs; these decode in process.
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_BACKGROUND = (255, 255, 255)  # what shows through transparent pixels
_ORIENTATION_TAG = 0x0112
_SIDEWAYS = frozenset({5, 6, 7, 8})  # EXIF orientations that swap width and height

# Our own limit on pixels stands in for Pillow's, and damage is told as an error or not at all.
# Once, since pictures are decoded on many threads: `catch_warnings` is the whole process's.
for _category in (UserWarning, Image.DecompressionBombWarning):
    warnings.filterwarnings("ignore", category=_category, module=r"PIL\.")

_MAX_REASON = 200  # characters of what Pillow says, which may quote the file

DEFAULT_MAX_PIXELS = 100_000_000
PILLOW_MAX_PIXELS = 178_956_970  # twice Image.MAX_IMAGE_PIXELS; Pillow raises above it
# Of all pictures that this process decodes at a time, 8 bytes each. A camera's for each thread that
# a worker has; of larger ones, fewer at a time.
DECODING = Budget(25_000_000 * max(4, os.cpu_count() or 1))


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
    with _reading():
        image = _open(data, max_pixels)
        width, height = image.size
        if _lies_sideways(image):
            width, height = height, width
        return PictureInfo(width, height, str(image.format))


def decode(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Image.Image:
    """The first frame as an upright RGB image with 8 bits a channel.

    EXIF orientation is applied, transparency is laid over white, grey and CMYK become RGB, and
    16-bit greys are scaled to 8 bits. Raises PictureError when it can't be decoded whole, or takes
    longer than any picture of its size should.
    """
    with decoded(data, max_pixels=max_pixels) as image:
        return image


@contextmanager
def decoded(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Iterator[Image.Image]:
    """As `decode`, for a block in which the picture becomes something smaller.

    Its pixels count as being decoded until the block ends; it begins when there is room for them.
    """
    with _reading():
        file = _open(data, max_pixels)
    pixels = file.width * file.height
    with DECODING.taken(pixels):
        if _decoded_in_one_call(file):
            image = decode_apart(data, pixels=pixels)
        else:
            with _reading():
                image = _upright(file)
        yield image


def decode_here(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Image.Image:
    """As `decode`, always in this process: for one that may take its time, or be killed."""
    with _reading():
        return _upright(_open(data, max_pixels))


def text_in(data: bytes, key: str, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> str | None:
    """What a PNG file says under this key; None where it says nothing, or is no PNG.

    Raises PictureError as `decode` does, also where only the pixels are damaged.
    """
    with _reading():
        image = _open(data, max_pixels)
        if not isinstance(image, PngImageFile):
            return None
        with DECODING.taken(image.width * image.height):
            image.load()
        found = image.text.get(key)
        return None if found is None else str(found)


def _open(data: bytes, max_pixels: int) -> ImageFile:
    if not data:
        raise PictureError("the file is empty.")
    file = Watched(data)
    image = Image.open(file, formats=_FORMATS)
    width, height = image.size
    if width * height > max_pixels:
        raise PictureError(
            f"{width} x {height} pixels is more than the limit of {max_pixels:,}: "
            "scale it down, or raise BEHOLDER_MAX_PIXELS."
        )
    file.allow(pixels=width * height)
    return image


def _decoded_in_one_call(image: ImageFile) -> bool:
    return image.format == "AVIF" or any(tile.codec_name == "libtiff" for tile in image.tile)


def _lies_sideways(image: ImageFile) -> bool:
    if image.format == "TIFF":  # Pillow has turned its size already
        return False
    if isinstance(image, PngImageFile):
        _read_behind_the_pixels(image)
    return Image.Image.getexif(image).get(_ORIENTATION_TAG) in _SIDEWAYS


def _read_behind_the_pixels(image: PngImageFile) -> None:
    """As `load` does, without the pixels, which PNG's own `getexif` would decode on the way."""
    image.im = Image.new(image.mode, (1, 1)).im  # else `load_prepare` makes room for all of them
    image.load_prepare()
    image.load_end()


def _upright(image: ImageFile) -> Image.Image:
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    rgb = _to_rgb(image)
    image.close()  # its memory is no longer needed, though its opener still has it
    return rgb


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = _to_8_bits(image)
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image if image.mode == "RGBA" else image.convert("RGBA")
    canvas = Image.new("RGB", rgba.size, _BACKGROUND)
    canvas.paste(rgba, mask=rgba)  # the same as `alpha_composite`, with three copies less
    return canvas


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Greys of 16 or 32 bits in 8. Pillow's own conversion clips at 255 instead of scaling."""
    if image.mode == "F":
        raise PictureError("floating-point pixels have no fixed range: save it as 8 or 16 bits.")
    return image.convert("I").point(lambda value: value * (1 / 257) + 0.5).convert("L")


@contextmanager
def _reading() -> Iterator[None]:
    """Turn whatever Pillow raises on broken or hostile bytes into a PictureError."""
    try:
        yield
    except (MemoryError, PictureError):
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
        raise PictureError(f"the file is damaged or cut short ({_reason(error)}).") from None


def _reason(error: Exception) -> str:
    """What Pillow says, on one line and without the file's control characters."""
    words = " ".join(str(error).split()) or type(error).__name__
    return "".join(letter if letter.isprintable() else "?" for letter in words)[:_MAX_REASON]

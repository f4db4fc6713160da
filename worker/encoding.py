"""Pictures as PNG files, in few bytes for little time; docs/performance.md has the figures."""

import io
import zlib
from dataclasses import dataclass

from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from beholder.provenance import KEY, Provenance
from beholder.science.inputs import to_image

# Runs only, no search for longer matches: those cost most of the time and, in dreams, find nothing.
_PNG = {"compress_level": 1, "compress_type": zlib.Z_RLE}


@dataclass(frozen=True)
class Png:
    """A PNG file's bytes, and its size in pixels."""

    data: bytes
    width: int
    height: int


def png(picture: Tensor, provenance: Provenance | None = None) -> Png:
    """`picture` (3, H, W) in [0, 1] as a PNG of 8 bits a channel, with what it says of itself.

    Lets other threads run.
    """
    image = to_image(picture)
    says = PngInfo()
    if provenance is not None:
        says.add_itxt(KEY, provenance.text())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=says, **_PNG)
    return Png(buffer.getvalue(), image.width, image.height)

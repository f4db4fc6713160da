"""Small copies of pictures, to be put into the page itself: `small`, `data_uri`."""

import base64
import io

from PIL import Image

from beholder.pictures import DEFAULT_MAX_PIXELS, decoded

SIDE = 88  # pixels: shown at 56 or 44, so sharp on most screens
QUALITY = 72


def small(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS, side: int = SIDE) -> bytes:
    """The picture as WebP, neither side over `side` pixels. Raises PictureError."""
    with decoded(data, max_pixels=max_pixels) as image:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=QUALITY)
    return buffer.getvalue()


def data_uri(webp: bytes) -> str:
    """The address of a picture that is its own contents."""
    return f"data:image/webp;base64,{base64.b64encode(webp).decode('ascii')}"

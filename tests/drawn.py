"""`png(shade)`: a small picture."""

import io

from PIL import Image


def png(shade: int, size: tuple[int, int] = (40, 32), kind: str = "PNG") -> bytes:
    """A picture of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (shade % 256, 90, 160)).save(buffer, kind)
    return buffer.getvalue()

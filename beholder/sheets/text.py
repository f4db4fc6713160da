"""Words on a sheet: Pillow's own font, `printable` text for it, shortened or wrapped to a width."""

import re
import unicodedata
from functools import lru_cache
from typing import Protocol

from PIL import ImageFont

ELLIPSIS = "…"
# What the font that comes with Pillow can draw; everything else would be an empty box.
_DRAWABLE = frozenset(chr(code) for code in range(32, 127)) | frozenset("«»°±·’“…")
_SPACE = re.compile(r"[^\S ]+")
# Letters that have no decomposition into a plain one and an accent.
_SPELLINGS = str.maketrans(
    {"–": "-", "—": "-", "‘": "'", "”": '"', "×": "x", "→": ">", "ß": "ss", "ø": "o", "Ø": "O"}
    | {"æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D"}
)


class Font(Protocol):
    """What a font is asked here."""

    def getlength(self, text: str, /) -> float:
        """The width of `text` in pixels."""
        ...


@lru_cache(maxsize=16)
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font at a size in pixels; nothing is looked for on the system."""
    return ImageFont.load_default(size)


def printable(text: str) -> str:
    """`text` in letters that the font has: accents dropped, anything else a question mark."""
    spelled = unicodedata.normalize("NFKD", _SPACE.sub(" ", text).translate(_SPELLINGS))
    plain = (letter for letter in spelled if not unicodedata.combining(letter))
    return "".join(letter if letter in _DRAWABLE else "?" for letter in plain)


def fit(text: str, width: float, font: Font, *, tail: str = "") -> str:
    """`text + tail`, with `text` shortened until both fit into `width` pixels."""
    if font.getlength(text + tail) <= width:
        return text + tail
    low, high = 0, len(text)
    while low < high:  # the longest beginning that still leaves room
        middle = (low + high + 1) // 2
        if font.getlength(_cut(text, middle) + tail) <= width:
            low = middle
        else:
            high = middle - 1
    if low == 0 and tail:
        return fit(tail, width, font)
    return _cut(text, low) + tail


def _cut(text: str, length: int) -> str:
    return text[:length].rstrip() + ELLIPSIS


def wrap(text: str, width: float, font: Font) -> list[str]:
    """`text` in lines that fit into `width` pixels; a word too long for a line is shortened."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(fit(word, width, font))
    return lines

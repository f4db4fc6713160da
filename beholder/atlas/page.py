"""`render_atlas`: one HTML file with a tile a channel, which works anywhere and zooms.

Its policy lets no script run but its own, and nothing be loaded. Without scripts it scrolls.
"""

import base64
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from string import Template

from beholder import __version__
from beholder.report.thumbs import data_uri

_SHAPE = 1.6  # columns to rows, as most windows are


@dataclass(frozen=True)
class Tile:
    """A channel: its dream as WebP, or None while there is none. link: where more is said of it."""

    channel: int
    webp: bytes | None
    link: str = ""


def render_atlas(title: str, about: str, tiles: Sequence[Tile]) -> str:
    """The page. title: such as "conv5_1"; about: a line on what is shown and how it was made."""
    style, script = _text("atlas.css"), _text("atlas.js")
    columns = max(1, math.ceil(math.sqrt(len(tiles) * _SHAPE)))
    return Template(_text("atlas.html")).substitute(
        title=escape(title),
        about=escape(about),
        columns=columns,
        policy=f"default-src 'none'; img-src data:; style-src {_hash(style)}; "
        f"script-src {_hash(script)}; base-uri 'none'; form-action 'none'",
        style=style,
        script=script,
        tiles="\n".join(map(_tile, tiles)),
        last=max(tile.channel for tile in tiles),
        version=escape(__version__),
    )


def _tile(tile: Tile) -> str:
    name = f"channel {tile.channel}"
    shown = (
        '<span class="none">not there yet</span>'
        if tile.webp is None
        else f'<img alt="{name}" draggable="false" src="{data_uri(tile.webp)}">'
    )
    number = str(tile.channel)
    if tile.link:
        number = f'<a class="more" href="{escape(tile.link)}" title="{name}: its page">{number}</a>'
    return (
        f'<li id="c{tile.channel}"><a href="#c{tile.channel}" aria-label="{name}">{shown}</a>'
        f'<span class="number">{number}</span></li>'
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


@cache
def _text(name: str) -> str:
    return files("beholder.atlas").joinpath(name).read_text(encoding="utf-8")

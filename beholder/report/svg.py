"""A figure as inline SVG: text in the page's type, colours as the page's custom properties."""

import io
import re
from html import escape

from matplotlib.figure import Figure

from beholder.report.axes import WIDTH
from beholder.report.palette import LIGHT

_LEAST = 0.8  # of its own size; a wide figure on a narrow page scrolls rather than shrink more
_COLOURS = {value: f"var(--{name})" for name, value in LIGHT.items()}
_ANY_COLOUR = re.compile(r"(?<=: )#[0-9a-f]{6}(?=[;\"])")
_FAMILY = re.compile(r" ?font-family: [^;\"]*;?")
_ID = re.compile(r'(?<= id=")|(?<=url\(#)|(?<=xlink:href="#)')
_OPENING = re.compile(r"<svg\b[^>]*>")
_SIZE = re.compile(r'viewBox="([^"]*)"')
_UNNEEDED = re.compile(r"\s*<metadata>.*?</metadata>|\s*<defs>\s*<style.*?</defs>", re.DOTALL)
_COMMENT = re.compile(r"\s*<!--.*?-->", re.DOTALL)
_STANDING = re.compile(r' transform="rotate\(-0 [^)]*\)"')
_DIGITS = re.compile(r"(\d+\.\d{2})\d+")


def inline_svg(figure: Figure, name: str, alt: str) -> str:
    """The `<svg>` element. name: makes its ids the page's only ones. alt: what it says in words.

    Call it inside `drawing()`.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    opening = _OPENING.search(text)
    assert opening is not None
    body = _UNNEEDED.sub("", text[opening.end() :])
    # Comments hold the words of labels; an HTML parser would end them at another place.
    body = _COMMENT.sub("", body)
    body = _ID.sub(f"{name}-", body)
    body = _FAMILY.sub("", body)
    body = _ANY_COLOUR.sub(lambda found: _COLOURS.get(found[0], found[0]), body)
    body = _DIGITS.sub(r"\1", _STANDING.sub("", body))
    size = _SIZE.search(opening[0])
    assert size is not None
    width = figure.get_figwidth() * figure.dpi
    least = f' style="min-width: {_LEAST * width:.0f}px"' if width > WIDTH else ""
    return (
        f'<svg viewBox="{size[1]}" role="img" aria-label="{escape(alt, quote=True)}" '
        f'class="figure"{least}>{body}'
    )

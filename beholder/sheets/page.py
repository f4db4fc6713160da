"""A page of captioned tiles: `Page.draw(sections)` makes the picture, `Page.layout` says where.

Sections run from top to bottom, each with its heading and its tiles in rows. Pictures are opened,
scaled and dropped one tile at a time, so that a page needs the memory of one picture and itself.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageDraw, ImageOps

from beholder.errors import NotFound, PictureError
from beholder.sheets.text import fit, font, printable, wrap

Picture = Image.Image | Callable[[], Image.Image]
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels
Tone = Literal["ink", "quiet", "alarm"]

GROUND = (250, 249, 246)
INK = (32, 33, 36)
QUIET = (112, 110, 104)
ALARM = (196, 43, 28)
EDGE = (214, 211, 203)
BLANK = (236, 234, 228)
_TONES = {"ink": INK, "quiet": QUIET, "alarm": ALARM}

TITLE_PX, SUBTITLE_PX, HEADING_PX, CAPTION_PX = 34, 18, 24, 16
LINE_PX = 22  # from one caption line to the next
MARGIN = 48
GAP = 14
GROUP_GAP = 20  # on top of GAP, between groups of columns
MARK_PX = 4  # thickness of the frame of a marked tile
MIN_WIDTH = 560  # room for a title over a single tile


@dataclass(frozen=True)
class Line:
    """A caption's line. `text` is shortened to fit, `tail` ("92.88%") never is."""

    text: str
    tail: str = ""
    tone: Tone = "ink"


@dataclass(frozen=True)
class Tile:
    """A picture and its caption. Without a picture, `blank` says why in its place."""

    picture: Picture | None
    caption: tuple[Line, ...] = ()
    marked: bool = False
    blank: str = ""


@dataclass(frozen=True)
class Section:
    """Tiles under a heading; without a heading only a little more room sets it off."""

    tiles: Sequence[Tile]
    heading: str = ""


@dataclass(frozen=True)
class Layout:
    """Where everything goes: the page's size, each tile's picture box, each heading's top."""

    size: tuple[int, int]
    tiles: tuple[tuple[Tile, Box], ...]
    headings: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Page:
    """How a page looks. cell: width and height of a tile's picture in pixels.

    crop: fill the cell with the picture's centre (what the network sees) instead of its whole.
    above: captions stand over the pictures. lines: how many each caption has room for.
    group: after how many columns a wider gap comes; 0 for none.
    """

    title: str
    subtitle: str = ""
    columns: int = 8
    cell: tuple[int, int] = (224, 224)
    crop: bool = True
    above: bool = False
    lines: int = 1
    group: int = 0

    def draw(self, sections: Sequence[Section]) -> Image.Image:
        """The page as an RGB picture."""
        layout = self.layout(sections)
        page = Image.new("RGB", layout.size, GROUND)
        pen = ImageDraw.Draw(page)
        self._draw_head(pen, layout.size[0])
        for heading, top in layout.headings:
            text = fit(printable(heading), layout.size[0] - 2 * MARGIN, font(HEADING_PX))
            pen.text((MARGIN, top), text, INK, font(HEADING_PX))
        for tile, box in layout.tiles:
            self._draw_tile(page, pen, tile, box)
        return page

    def layout(self, sections: Sequence[Section]) -> Layout:
        """Where each tile's picture and each heading stand."""
        columns = max(1, min(self.columns, max((len(each.tiles) for each in sections), default=1)))
        width = max(self._left(columns - 1) + self.cell[0] + MARGIN, MIN_WIDTH)
        top = self._head_height(width)
        tiles: list[tuple[Tile, Box]] = []
        headings: list[tuple[str, int]] = []
        for number, section in enumerate(sections):
            top += (HEADING_PX if section.heading else GAP) if number else 0
            if section.heading:
                headings.append((section.heading, top))
                top += HEADING_PX + GAP + 4
            for first in range(0, len(section.tiles), columns):
                row = section.tiles[first : first + columns]
                tiles += [(tile, self._box(column, top)) for column, tile in enumerate(row)]
                top += self._row_height
        return Layout((width, top - GAP + MARGIN), tuple(tiles), tuple(headings))

    @property
    def _caption_height(self) -> int:
        return self.lines * LINE_PX + (8 if self.lines else 0)

    @property
    def _row_height(self) -> int:
        return self.cell[1] + self._caption_height + GAP

    def _left(self, column: int) -> int:
        groups = column // self.group if self.group else 0
        return MARGIN + column * (self.cell[0] + GAP) + groups * GROUP_GAP

    def _box(self, column: int, top: int) -> Box:
        left = self._left(column)
        top += self._caption_height if self.above else 0
        return left, top, left + self.cell[0], top + self.cell[1]

    def _head(self, width: int) -> Iterator[tuple[str, int]]:
        """The lines over the tiles, with their sizes."""
        for text, size in ((self.title, TITLE_PX), (self.subtitle, SUBTITLE_PX)):
            for line in wrap(printable(text), width - 2 * MARGIN, font(size)):
                yield line, size

    def _head_height(self, width: int) -> int:
        return MARGIN + sum(size + size // 3 for _, size in self._head(width)) + MARGIN // 2

    def _draw_head(self, pen: ImageDraw.ImageDraw, width: int) -> None:
        top = MARGIN
        for line, size in self._head(width):
            pen.text((MARGIN, top), line, INK if size == TITLE_PX else QUIET, font(size))
            top += size + size // 3

    def _draw_tile(self, page: Image.Image, pen: ImageDraw.ImageDraw, tile: Tile, box: Box) -> None:
        left, top, right, bottom = box
        picture, blank = _opened(tile)
        if picture is None:
            pen.rectangle((left, top, right - 1, bottom - 1), BLANK, EDGE)
            _draw_blank(pen, blank, box)
        else:
            scaled = self._scaled(picture)
            at = (left + (self.cell[0] - scaled.width) // 2, top + self._drop(scaled))
            page.paste(scaled, at)
            edge = (at[0], at[1], at[0] + scaled.width - 1, at[1] + scaled.height - 1)
            pen.rectangle(edge, outline=ALARM if tile.marked else EDGE, width=_edge_px(tile))
        first = top - self._caption_height if self.above else bottom + 8
        for number, line in enumerate(tile.caption[: self.lines]):
            text = fit(printable(line.text), right - left, font(CAPTION_PX), tail=line.tail)
            pen.text((left, first + number * LINE_PX), text, _TONES[line.tone], font(CAPTION_PX))

    def _scaled(self, picture: Image.Image) -> Image.Image:
        picture = picture.convert("RGB")
        if self.crop:
            return ImageOps.fit(picture, self.cell, Image.Resampling.LANCZOS)
        return ImageOps.contain(picture, self.cell, Image.Resampling.LANCZOS)

    def _drop(self, scaled: Image.Image) -> int:
        """How far below its cell's top a picture stands: always next to its caption."""
        return self.cell[1] - scaled.height if not self.above else 0


def _edge_px(tile: Tile) -> int:
    return MARK_PX if tile.marked else 1


def _opened(tile: Tile) -> tuple[Image.Image | None, str]:
    """The tile's picture, or None and the words to put in its place."""
    if tile.picture is None or isinstance(tile.picture, Image.Image):
        return tile.picture, tile.blank
    try:
        return tile.picture(), ""
    except (PictureError, NotFound):
        return None, "picture can't be shown"


def _draw_blank(pen: ImageDraw.ImageDraw, words: str, box: Box) -> None:
    left, top, right, bottom = box
    lines = wrap(printable(words), right - left - 2 * GAP, font(CAPTION_PX))
    lines = lines[: max(1, (bottom - top - 2 * GAP) // LINE_PX)]
    line_top = (top + bottom - len(lines) * LINE_PX) // 2
    for line in lines:
        room = right - left - font(CAPTION_PX).getlength(line)
        pen.text((left + room / 2, line_top), line, QUIET, font(CAPTION_PX))
        line_top += LINE_PX

"""Sheets of dreams: all layers from one start, one picture by steps, pictures against layers.

A picture may be None where there is none yet, or a function that opens it when its turn comes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from beholder.layers import LAYERS
from beholder.sheets.page import Line, Page, Picture, Section, Tile

MAX_ROWS = 60  # pictures a grid
MAX_TILES = 400  # pages stay below some 50 megapixels
COLUMNS = 8
NOT_THERE = "not there yet"
SILENT = "silent"  # as a note: there is a picture, but no layer answered to it
CELL = 224  # dreams of the default size are shown pixel for pixel


@dataclass(frozen=True)
class GridRow:
    """One start and its dreams, in the order of the grid's layers.

    notes: what to say where there is no dream. blank: what to say where there is no start.
    """

    name: str
    start: Picture | None
    dreams: Sequence[Picture | None]
    notes: Sequence[str] = ()
    blank: str = "noise"


def layer_title(layer: int) -> str:
    """ "35  relu5_4": a layer as captions have it. The font's space is narrow, so there are two."""
    return f"{layer}  {LAYERS[layer].name}"


def layers_sheet(
    name: str,
    start: Picture | None,
    dreams: Mapping[int, Picture | None],
    *,
    notes: Mapping[int, str] | None = None,
    about: str = "",
    aspect: float | None = None,
) -> Image.Image:
    """One start dreamed on many layers: the start, then a tile a layer.

    dreams: by layer. notes: by layer, what to say where there is none. aspect: width over height
    of cells that show pictures whole; None crops them to squares, as the network does.
    """
    tiles = [_start(start, "start")]
    tiles += [
        _dream(picture, layer_title(layer), (notes or {}).get(layer, ""))
        for layer, picture in dreams.items()
    ]
    return _page(name, about, aspect).draw([Section(tiles)])


def steps_sheet(
    name: str,
    start: Picture | None,
    dreams: Mapping[int, Mapping[int, Picture | None]],
    *,
    notes: Mapping[int, str] | None = None,
    about: str = "",
    aspect: float | None = None,
    objective: str = "",
) -> Image.Image:
    """One start dreamed deeper and deeper: a row a layer, a tile a step.

    dreams: by layer, then by step. notes, aspect: as in `layers_sheet`. objective: what is climbed
    in the place of a layer, when `about` says so.
    """
    several = len(dreams) > 1
    if not several and not objective:
        about = _joined(*(layer_title(layer) for layer in dreams), about)
    sections = [
        Section(
            [
                _start(start, "start"),
                *(
                    _dream(picture, f"step {step:,}", (notes or {}).get(layer, ""))
                    for step, picture in steps.items()
                ),
            ],
            layer_title(layer) if several else "",
        )
        for layer, steps in dreams.items()
    ]
    return _page(name, about, aspect).draw(_bounded(sections))


def grid_sheet(
    title: str,
    layers: Sequence[int],
    rows: Sequence[GridRow],
    *,
    total: int | None = None,
    about: str = "",
    aspect: float | None = None,
    objective: str = "",
) -> Image.Image:
    """Many starts against one or more layers; with few layers several starts share a row.

    total: how many starts there are when `rows` are only the first. objective: what dreams are
    captioned with in the place of their layer.
    """
    each = 1 + len(layers)
    shown = rows[: max(1, min(MAX_ROWS, MAX_TILES // each))]
    tiles = [_grid_tiles(row, layers, objective) for row in shown]
    abreast = max(1, COLUMNS // each) if each <= COLUMNS else 1
    sections = [
        Section([tile for block in tiles[first : first + abreast] for tile in block])
        for first in range(0, len(tiles), abreast)
    ]
    about = _joined(about, first_of(len(shown), total or len(rows)))
    columns = abreast * each if each <= COLUMNS else COLUMNS
    group = each if abreast > 1 else 0
    return _page(title, about, aspect, columns, group).draw(sections)


def first_of(shown: int, total: int) -> str:
    """ "first 60 of 1,000", or nothing when all are shown."""
    return f"first {shown:,} of {total:,}" if shown < total else ""


def _grid_tiles(row: GridRow, layers: Sequence[int], objective: str) -> list[Tile]:
    notes = [*row.notes, *("" for _ in layers)]
    if len(layers) >= COLUMNS and not any(row.dreams):
        # Rows upon rows of one reason would only be in the way.
        return [_start(row.start, row.name, row.blank), Tile(None, blank=notes[0] or NOT_THERE)]
    return [
        _start(row.start, row.name, row.blank),
        *(
            _dream(picture, objective or layer_title(layer), note)
            for layer, picture, note in zip(layers, row.dreams, notes, strict=False)
        ),
    ]


def _start(picture: Picture | None, name: str, blank: str = "noise") -> Tile:
    # A name's end tells its numbers apart, so the middle gives way first.
    return Tile(picture, (Line(name[:-6], name[-6:], "quiet"),), blank=blank)


def _dream(picture: Picture | None, caption: str, note: str = "") -> Tile:
    return Tile(
        picture, (Line(caption, SILENT if note == SILENT else ""),), blank=note or NOT_THERE
    )


def _page(
    title: str, about: str, aspect: float | None, columns: int = COLUMNS, group: int = 0
) -> Page:
    wide, high = min(1.0, aspect or 1), min(1.0, 1 / (aspect or 1))
    cell = (max(64, round(CELL * wide)), max(64, round(CELL * high)))
    return Page(title, about, columns, cell, crop=aspect is None, group=group)


def _bounded(sections: Sequence[Section]) -> list[Section]:
    """The sections with at most MAX_TILES tiles in all."""
    kept: list[Section] = []
    room = MAX_TILES
    for section in sections:
        if room > 0:
            kept.append(Section(section.tiles[:room], section.heading))
        room -= len(section.tiles)
    return kept


def _joined(*parts: str) -> str:
    return " · ".join(part for part in parts if part)

"""What a dream job's page shows: the item looked at, and the grid of layers by pictures."""

from dataclasses import dataclass
from typing import Any

from api import page_links as links
from api.page_charts import Curve, curve
from api.page_words import climb_words, short
from api.services import Services
from beholder.jobs.cell_queries import CellView, cells
from beholder.jobs.outcomes import StoredFile
from beholder.jobs.queries import items
from beholder.jobs.views import SILENT_WORDS, ItemView, JobView
from beholder.layers import LAYERS
from beholder.specs import DreamSpec

COLUMNS = 24


@dataclass(frozen=True)
class Frame:
    """One still of the filmstrip. step 0 is the picture that it started from."""

    step: int
    url: str
    thumb: str
    full: str = ""
    width: int = 0
    height: int = 0
    sha256: str = ""
    bytes: int = 0


@dataclass(frozen=True)
class Look:
    """The item that is looked at. cropped: the network saw the picture's middle only.

    heading: its layer, or the objective in its place. climbed: what its steps climb.
    remark: what to know of its dream; empty as a rule. film: its steps' address, of several.
    """

    position: int
    source: str
    state: str
    error: str | None
    layer: int
    layer_name: str
    heading: str
    climbed: str
    seed: int | None
    seconds: float | None
    picture: str
    picture_sha256: str | None
    cropped: bool
    frames: tuple[Frame, ...]
    shown: Frame | None
    curve: Curve | None
    remark: str
    file_name: str
    film: str


@dataclass(frozen=True)
class Cell:
    """A square of the grid; `url` is empty until its dream is there."""

    position: int
    source: str
    state: str
    url: str


@dataclass(frozen=True)
class GridRow:
    """One layer's dreams, a cell a picture."""

    layer: int
    name: str
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class Grid:
    """Layers from top to bottom, pictures from left to right, a window of them at a time."""

    columns: tuple[str, ...]
    rows: tuple[GridRow, ...]
    words: str
    suffix: str
    earlier: str
    later: str


def dream_values(
    opened: Services,
    job: JobView,
    spec: DreamSpec,
    *,
    item: int | None,
    step: int | None,
    start: int,
) -> dict[str, Any]:
    """The template's values."""
    pictures = max(1, job.total // len(spec.layers))
    window = range(min(start, pictures - 1), min(start + COLUMNS, pictures))
    wanted = [row * pictures + column for row in range(len(spec.layers)) for column in window]
    found = {cell.position: cell for cell in cells(opened.db, job, wanted, step=spec.steps)}
    position = _chosen(found, wanted) if item is None else item
    return {
        "look": _look(opened, job, spec, position, step),
        "grid": _grid(job, spec, found, pictures, window),
    }


def _chosen(found: dict[int, CellView], wanted: list[int]) -> int:
    """Without a wish: the first dream of the deepest layer that has one, else the first to come."""
    done = [cell for cell in found.values() if cell.file_sha256]
    deepest = max((cell.layer or 0 for cell in done), default=0)
    best = (cell.position for cell in done if cell.layer == deepest)
    return next(best, wanted[0])


def _look(
    opened: Services, job: JobView, spec: DreamSpec, position: int, step: int | None
) -> Look | None:
    found = next(items(opened.db, job.id, after=position - 1, limit=1), None)
    if found is None or found.position != position:
        return None
    layer = found.layer or 0
    frames = tuple(_frame(job, found, file) for file in found.files)
    shown = next((frame for frame in frames if frame.step == step), frames[-1] if frames else None)
    before = links.picture(found.picture_sha256)
    if frames and before:
        small = links.picture(found.picture_sha256, thumb=links.THUMB)
        frames = (Frame(0, before, small), *frames)
    return Look(
        position=position,
        source=found.source,
        state=found.state,
        error=found.error,
        layer=layer,
        layer_name=LAYERS[layer].name,
        heading=short(spec.objective, 120) if spec.objective else LAYERS[layer].name,
        climbed=climb_words(spec, layer),
        seed=found.seed,
        seconds=found.seconds,
        picture=before,
        picture_sha256=found.picture_sha256,
        cropped=spec.size != "keep",
        frames=frames,
        shown=shown,
        curve=curve((found.result or {}).get("objective") or ()),
        remark=SILENT_WORDS if found.silent else "",
        file_name=f"{job.id}-{position}-{LAYERS[layer].name}-{shown.step if shown else 0}.png",
        film=links.film(job.id, position) if len(frames) > 2 else "",
    )


def _frame(job: JobView, item: ItemView, file: StoredFile) -> Frame:
    url = links.result(job.id, item.position, file.step)
    small = links.result(job.id, item.position, file.step, thumb=links.THUMB)
    return Frame(file.step, url, small, url, file.width, file.height, file.sha256, file.bytes)


def _grid(
    job: JobView, spec: DreamSpec, found: dict[int, CellView], pictures: int, window: range
) -> Grid:
    rows = []
    for number, layer in enumerate(spec.layers):
        row = tuple(_cell(job, spec, found.get(number * pictures + column)) for column in window)
        rows.append(GridRow(layer, LAYERS[layer].name, row))
    names = tuple(cell.source if cell else "" for cell in rows[0].cells)
    many = f"Pictures {window.start + 1:,} to {window.stop:,} of {pictures:,}. "
    return Grid(
        columns=names,
        rows=tuple(rows),
        words=(many if len(window) < pictures else "") + "Choose one to look at it above.",
        suffix=f"&start={window.start}" if window.start else "",
        earlier=f"?start={max(0, window.start - COLUMNS)}#grid" if window.start else "",
        later=f"?start={window.stop}#grid" if window.stop < pictures else "",
    )


def _cell(job: JobView, spec: DreamSpec, cell: CellView | None) -> Cell | None:
    if cell is None:
        return None
    there = bool(cell.file_sha256)
    url = links.result(job.id, cell.position, spec.steps, thumb=links.FACE) if there else ""
    return Cell(cell.position, cell.source, cell.state, url)

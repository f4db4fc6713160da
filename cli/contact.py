"""A job's contact sheets: `Shown` gathers what they need, `draw_sheets` draws them one by one.

A dream gets one sheet a picture of its layers and one of its steps, and one of all its pictures;
a study gets the sheet of verdicts. All are bounded, and say so.
"""

import io
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beholder.jobs.verdicts import Summary, blinded_words
from beholder.specs import DreamSpec, Spec
from cli.words import network_words, sheet_words

if TYPE_CHECKING:
    from PIL import Image

    from beholder.jobs.views import ItemView, JobView
    from beholder.sheets import GridRow, Subject
    from cli.desk import Desk

    Opener = Callable[[], Image.Image]

MAX_PICTURES = 60  # on a sheet, and of each role of a study
MAX_PICTURE_SHEETS = 24  # pictures that get sheets of their own
THUMBNAIL = 512  # pixels; starts are kept this small between sheets
CROPPED = 224 / 256  # of the shorter side: what the published preprocessing leaves


@dataclass
class Dreamt:
    """What became of one start at one layer: a file a step, or why there is none."""

    files: dict[int, Path]
    note: str


@dataclass
class ShownPicture:
    """One start (or a study's picture) with all that sheets show of it."""

    name: str
    item: "ItemView"
    layers: dict[int, Dreamt] = field(default_factory=dict)


@dataclass
class Shown:
    """The first pictures of a job, by their place. totals: how many of each role there are."""

    pictures: dict[int, ShownPicture] = field(default_factory=dict)
    totals: Counter[str | None] = field(default_factory=Counter)
    summary: Summary = field(default_factory=Summary)
    chosen: list[dict[str, Any]] = field(default_factory=list)
    conclusion: dict[str, Any] | None = None

    def add(
        self, number: int, name: str, item: "ItemView", files: dict[int, Path], error: str | None
    ) -> None:
        """Take an item in, if its picture is among the first."""
        self.totals[item.role] += 1  # a study has one item a picture; a dream does not use this
        room = self.totals[item.role] <= MAX_PICTURES if item.role else number < MAX_PICTURES
        if room:
            from beholder.sheets.dreams import SILENT

            picture = self.pictures.setdefault(number, ShownPicture(name, item))
            note = f"{item.state}: {error}" if error else SILENT if item.silent else item.state
            picture.layers[item.layer or 0] = Dreamt(files, note)


def draw_sheets(
    desk: "Desk", job: "JobView", spec: Spec, shown: Shown
) -> Iterator[tuple[str, bytes]]:
    """Every sheet of the job as (file name, PNG), each drawn when it is asked for."""
    starts = _Starts(desk, job, spec)
    if isinstance(spec, DreamSpec):
        sheets = _dream_sheets(job, spec, shown, starts)
    else:
        sheets = _study_sheets(job, shown, starts)
    for name, sheet in sheets:
        buffer = io.BytesIO()
        sheet.save(buffer, "PNG", optimize=False)
        yield f"{name}.png", buffer.getvalue()


def _dream_sheets(
    job: "JobView", spec: DreamSpec, shown: Shown, starts: "_Starts"
) -> "Iterator[tuple[str, Image.Image]]":
    from beholder.sheets import grid_sheet

    pictures = list(shown.pictures.values())
    aspect = _aspect(pictures) if spec.size == "keep" else None
    look = _Look(_about(job, spec), aspect, spec.objective or "")
    dreamt = [each for each in pictures if any(one.files for one in each.layers.values())]
    for picture in dreamt[:MAX_PICTURE_SHEETS]:
        yield from _picture_sheets(picture, spec, starts, look)
    total = job.total // len(spec.layers)
    if total > 1 or (len(spec.layers) == 1 and len(spec.steps_kept) == 1):
        rows = [_grid_row(picture, spec, starts) for picture in pictures]
        title = job.name or job.id
        yield "pictures", grid_sheet(title, spec.layers, rows, total=total, **vars(look))


def _picture_sheets(
    picture: ShownPicture, spec: DreamSpec, starts: "_Starts", look: "_Look"
) -> "Iterator[tuple[str, Image.Image]]":
    """One picture by layers and by steps, where there are several."""
    from beholder.sheets import layers_sheet, steps_sheet

    start, notes = starts.opener(picture.item), _notes(picture, spec)
    steps = {
        layer: {step: _opener(picture, layer, step) for step in spec.steps_kept}
        for layer in spec.layers
    }
    if len(spec.layers) > 1:
        last = {layer: openers[spec.steps] for layer, openers in steps.items()}
        sheet = layers_sheet(
            picture.name, start, last, notes=notes, about=look.about, aspect=look.aspect
        )
        yield f"layers--{picture.name}", sheet
    if len(spec.steps_kept) > 1:
        sheet = steps_sheet(picture.name, start, steps, notes=notes, **vars(look))
        yield f"steps--{picture.name}", sheet


def _study_sheets(
    job: "JobView", shown: Shown, starts: "_Starts"
) -> "Iterator[tuple[str, Image.Image]]":
    from beholder.sheets import Group, study_sheet

    groups = []
    for role, name in (("target", "targets"), ("sibling", "siblings"), ("control", "controls")):
        pictures = [each for each in shown.pictures.values() if each.item.role == role]
        folders = {each.item.group for each in pictures if each.item.group}
        name = folders.pop() if len(folders) == 1 else name
        subjects = [_subject(picture, starts) for picture in pictures]
        groups.append(Group(name, subjects, shown.totals[role]))
    parts = [network_words(job.network, job.network_sha256)]
    if shown.chosen:
        parts += [blinded_words(shown.chosen), shown.summary.words()]
    if shown.conclusion:  # whose summary counts the pictures that tested
        explored = shown.conclusion["exploratory"]
        parts.insert(0, "exploratory, test pictures" if explored else "test pictures")
    yield "study", study_sheet(job.name or job.id, groups, about=" · ".join([*parts, *_state(job)]))


def _subject(picture: ShownPicture, starts: "_Starts") -> "Subject":
    from beholder.sheets import Subject

    seen = {
        kind: (verdict.label, verdict.confidence) for kind, verdict in picture.item.verdicts.items()
    }
    note = picture.layers[0].note
    opener = starts.opener(picture.item)
    return Subject(picture.name, opener, seen.get("intact"), seen.get("blinded"), note)


def _grid_row(picture: ShownPicture, spec: DreamSpec, starts: "_Starts") -> "GridRow":
    from beholder.sheets import GridRow

    dreams = [_opener(picture, layer, spec.steps) for layer in spec.layers]
    notes = list(_notes(picture, spec).values())
    blank = "no picture" if picture.item.seed is None else "noise"
    return GridRow(picture.name, starts.opener(picture.item), dreams, notes, blank)


def _notes(picture: ShownPicture, spec: DreamSpec) -> dict[int, str]:
    """By layer, what to say where there is no dream."""
    found = picture.layers
    return {layer: found[layer].note if layer in found else "" for layer in spec.layers}


def _opener(picture: ShownPicture, layer: int, step: int) -> "Opener | None":
    """Opens the dream's file when its tile is drawn; None if there is no such dream."""
    dreamt = picture.layers.get(layer)
    path = dreamt.files.get(step) if dreamt else None
    return None if path is None else lambda: _read(path)


def _read(path: Path) -> "Image.Image":
    from beholder.pictures import decode

    return decode(path.read_bytes())


def _about(job: "JobView", spec: DreamSpec) -> str:
    network = network_words(job.network, job.network_sha256)
    return " · ".join([sheet_words(spec), network, *_state(job)])


def _state(job: "JobView") -> list[str]:
    if job.state == "done":
        return []
    return [f"{job.state}: {job.done:,} of {job.total:,} done"]


def _aspect(pictures: list[ShownPicture]) -> float:
    """Width over height of the first dream there is."""
    sizes = (file for picture in pictures for file in picture.item.files)
    return next((file.width / file.height for file in sizes), 1.0)


@dataclass(frozen=True)
class _Look:
    """What all sheets of a dream have in common."""

    about: str
    aspect: float | None
    objective: str


class _Starts:
    """Opens input pictures as the network sees them, keeping them small between sheets."""

    def __init__(self, desk: "Desk", job: "JobView", spec: Spec) -> None:
        self._desk = desk
        self._job = job
        self._size = spec.size
        self._kept: dict[str, Image.Image] = {}

    def opener(self, item: "ItemView") -> "Opener | None":
        """None without a start to show: noise whose dream at the first layer is not done."""
        sha256 = item.picture_sha256
        if sha256 is not None:
            return lambda: self._open(sha256)
        there = (item.result or {}).get("start") is not None
        return (lambda: self._noise(item)) if there else None

    def _noise(self, item: "ItemView") -> "Image.Image":
        from beholder.pictures import decode

        return decode(self._desk.start(self._job, item))

    def _open(self, sha256: str) -> "Image.Image":
        if sha256 not in self._kept:
            self._kept[sha256] = self._small(sha256)
        return self._kept[sha256]

    def _small(self, sha256: str) -> "Image.Image":
        from beholder.pictures import PILLOW_MAX_PIXELS, decode

        # Taken in already, so within the limit that there was then.
        image = decode(self._desk.picture(sha256), max_pixels=PILLOW_MAX_PIXELS)
        if self._size != "keep":
            side = min(image.size) * CROPPED
            left, top = (image.width - side) / 2, (image.height - side) / 2
            image = image.crop((round(left), round(top), round(left + side), round(top + side)))
        # No larger than the network got it, or every dream beside it would look blurred.
        seen = THUMBNAIL if self._size == "keep" else min(self._size, THUMBNAIL)
        image.thumbnail((seen, seen))
        return image

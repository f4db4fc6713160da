"""`Reel`: which of a job's pictures make a film, in order, and `reel_pictures` to open them.

A dream's steps, from its start to its last; or of a film, its frames.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from PIL import Image, ImageOps

from beholder.errors import Conflict, InvalidInput, NotFound
from beholder.jobs.frames import Frames
from beholder.jobs.outcomes import StoredFile
from beholder.jobs.views import ItemView, JobView
from beholder.pictures import decode
from beholder.specs import DreamSpec, spec_of


class Walk(Protocol):
    """How a job's items are asked for, by position, from the one after `after` on."""

    def __call__(self, *, after: int, limit: int) -> Iterator[ItemView]: ...


@dataclass(frozen=True)
class Reel:
    """One film's files, each with its item's position. wanted: how many there will be.

    first: the position that it begins with.
    start: of a dream's steps, the item, whose start comes first; None where it has none to show.
    """

    first: int
    files: tuple[tuple[int, StoredFile], ...]
    wanted: int
    start: ItemView | None = None

    @property
    def count(self) -> int:
        """How many pictures there are."""
        return len(self.files) + (self.start is not None)


def find_reel(walk: Walk, job: JobView, position: int | None = None) -> Reel:
    """The film that an item is in, or is; without a position, a job's only one.

    Raises InvalidInput for a study, or where one has to be chosen; NotFound for no such item;
    Conflict where there are no two pictures yet.
    """
    if job.kind != "dream":
        raise InvalidInput(f"job {job.id} is a study: films are made of dreams.")
    spec, frames = spec_of("dream", job.spec), Frames.of(job)
    assert isinstance(spec, DreamSpec)
    films = job.total if frames is None else len(spec.layers) * frames.abreast
    if position is None and films > 1:
        raise InvalidInput(
            f"job {job.id} makes {films:,} films: name an item of one, {job.id}/0 for the first."
        )
    position = position or 0
    if position >= job.total:
        raise NotFound(f"job {job.id} has items 0 to {job.total - 1:,}; got {position:,}.")
    if frames is None:
        reel = _of_steps(walk, spec, position)
    else:
        reel = _of_frames(walk, spec, frames.film(position))
    if reel.count < 2:
        more = "its frames come one by one" if frames else "submit it with --snapshots 5,10,20"
        raise Conflict(f"{job.id}/{position} has no two pictures to make a film of: {more}.")
    return reel


def reel_pictures(
    reel: Reel,
    read: Callable[[int, StoredFile], bytes],
    read_start: Callable[[ItemView], bytes],
    *,
    max_pixels: int,
    side: int | None = None,
) -> Iterator[Image.Image]:
    """Its pictures, RGB and of one size, read and opened as they are asked for.

    side: of the longer side in pixels at most. Raises PictureError, and what reading raises.
    """
    size = _size(reel, side)
    if reel.start is not None:
        yield _fitted(decode(read_start(reel.start), max_pixels=max_pixels), size)
    for position, file in reel.files:
        yield _fitted(decode(read(position, file), max_pixels=max_pixels), size)


def _of_steps(walk: Walk, spec: DreamSpec, position: int) -> Reel:
    item = next(walk(after=position - 1, limit=1))
    shown = item.picture_sha256 or (item.result or {}).get("start")
    files = tuple((position, file) for file in item.files)
    return Reel(position, files, len(spec.steps_kept), item if shown else None)


def _of_frames(walk: Walk, spec: DreamSpec, film: range) -> Reel:
    found: list[tuple[int, StoredFile]] = []
    for item in walk(after=film.start - 1, limit=film.stop - film.start):
        if item.position in film:
            found += [(item.position, file) for file in item.files if file.step == spec.steps]
    return Reel(film.start, tuple(found), len(film))


def _size(reel: Reel, side: int | None) -> tuple[int, int]:
    _, first = reel.files[0]
    width, height = first.width, first.height
    if side is None or side >= max(width, height):
        return width, height
    scale = side / max(width, height)
    return max(2, round(width * scale)), max(2, round(height * scale))


def _fitted(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """As it is where it has the size; a film's frames, with `keep`, may differ."""
    if image.size == size:
        return image
    return ImageOps.fit(image, size, Image.Resampling.LANCZOS)

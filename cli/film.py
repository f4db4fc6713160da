"""`beholder film`: a dream's steps, or a film's frames, as an MP4, an animated WebP or a GIF."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beholder.errors import InvalidInput
from beholder.layers import is_number
from cli.context import Context
from cli.desk import result
from cli.files import make_folder, writing
from cli.output import plural, say
from cli.progress import counting

if TYPE_CHECKING:
    from PIL import Image

    from beholder.jobs.reels import Reel


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(film)


def film(
    item: Annotated[
        str,
        typer.Argument(help="A job, or an item of it: JOB/3.", metavar="ITEM", show_default=False),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The file: .mp4, .webp or .gif. Default: JOB-ITEM.webp."
        ),
    ] = None,
    fps: Annotated[float, typer.Option(help="Pictures a second.")] = 12.0,
    size: Annotated[
        int | None,
        typer.Option(min=16, help="Of the longer side in pixels, at most.", show_default=False),
    ] = None,
) -> None:
    """Make a film of a dream's steps, or of a film's frames, as far as they are there."""
    from beholder.film import DEFAULT_KIND, film_kind, require, write_film
    from beholder.jobs.reels import find_reel, reel_pictures

    kind = film_kind(output) if output else DEFAULT_KIND
    context = Context()
    word, position = _parse(item)
    desk = context.desk
    job = desk.job(word)
    reel = find_reel(partial(desk.items, job.id), job, position)
    require(kind)
    path = output or Path(f"{job.id}-{reel.first}.{kind}")
    pictures = reel_pictures(
        reel,
        partial(result, desk, job.id),
        partial(desk.start, job),
        max_pixels=context.settings.max_pixels,
        side=size,
    )
    make_folder(path.parent)
    with counting("making the film", reel.count) as on_frame, writing(path) as file:
        frames = _counted(pictures, on_frame)
        write_film(frames, file, kind, fps=fps, count=reel.count)
    _say(reel, path)


def _parse(text: str) -> tuple[str, int | None]:
    """ "97x1/3" as a job and a position."""
    job, slash, number = text.partition("/")
    if slash and not is_number(number):
        raise InvalidInput(f"an item is written JOB/3, with its position; got {text[:60]!r}.")
    return job, int(number) if slash else None


def _counted(
    pictures: "Iterator[Image.Image]", on_frame: Callable[[], None]
) -> "Iterator[Image.Image]":
    for picture in pictures:
        yield picture
        on_frame()


def _say(reel: "Reel", path: Path) -> None:
    missing = reel.wanted - len(reel.files)
    rest = f"; {missing:,} of {reel.wanted:,} frames are not there yet" if missing else ""
    say(f"{path} written: {plural(reel.count, 'picture')}{rest}")

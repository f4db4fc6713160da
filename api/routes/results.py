"""What came out of a job: each picture with its thumbnails, films, and all of it as one zip."""

import io
import re
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Header, Path, Query, Response
from fastapi.responses import StreamingResponse

from api.archive import archive
from api.cached import PICTURE, cached
from api.problems import responses
from api.routes.jobs import Job, JobId, Opened
from api.services import Services
from beholder.errors import InvalidInput, NotFound
from beholder.film import MAX_FPS, MIN_FPS, write_film
from beholder.jobs.queries import items, result_file
from beholder.jobs.reels import find_reel, reel_pictures
from beholder.jobs.result_files import read_result
from beholder.jobs.starts import kept_start, read_start, write_start
from beholder.jobs.views import ItemView, JobView
from beholder.temporary import temporary_file, temporary_room

router = APIRouter(prefix="/v1/jobs", tags=["results"])
MAX_POSITION = 2**31 - 1
MAX_FILM = 300  # pictures; each takes some 20 ms
_PIECE = 1 << 20  # bytes
_UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "Not modified"}}


@router.head("/{job_id}/items/{position}/pictures/{step}", include_in_schema=False)
@router.get(
    "/{job_id}/items/{position}/pictures/{step}",
    response_class=Response,
    summary="A dream, as it was after a step",
    responses={
        200: PICTURE,
        206: {**PICTURE, "description": "From a byte on"},
        **_UNCHANGED,
        **responses(404),
    },
)
async def picture(
    job_id: JobId,
    position: Annotated[int, Path(ge=0, le=MAX_POSITION, examples=[0])],
    step: Annotated[int, Path(ge=1, le=MAX_POSITION, examples=[30])],
    opened: Opened,
    thumb: Annotated[
        int | None, Query(ge=16, le=1024, description="A WebP with no side over this.")
    ] = None,
    if_none_match: Annotated[str | None, Header(max_length=1000)] = None,
    range_: Annotated[
        str | None, Header(alias="Range", max_length=100, description="bytes=N-: from there on.")
    ] = None,
) -> Response:
    """The PNG as the worker wrote it, with `Range` the rest of it; with `thumb`, a smaller WebP."""

    def answer() -> Response:
        file = result_file(opened.db, job_id, position, step)

        def whole() -> bytes:
            return opened.store.get(file.path)

        if thumb is None:
            begin = _begin(range_, file.bytes)
            answered = cached(
                file.sha256,
                "image/png",
                if_none_match,
                lambda: opened.store.stream(file.path, begin=begin),
            )
            return _from(answered, begin, file.bytes)
        tag = f"{file.sha256[:32]}-{thumb}"

        def smaller() -> bytes:
            return opened.thumbnails.get(file.sha256, thumb, whole)

        return cached(tag, "image/webp", if_none_match, smaller)

    return await opened.thumbnails.answer(answer)


@router.get(
    "/{job_id}/items/{position}/start",
    response_class=Response,
    summary="What a dream started from, as it saw it",
    responses={200: PICTURE, **_UNCHANGED, **responses(404, 507)},
)
async def start(
    found: Job,
    position: Annotated[int, Path(ge=0, le=MAX_POSITION, examples=[0])],
    opened: Opened,
    if_none_match: Annotated[str | None, Header(max_length=1000)] = None,
) -> Response:
    """A PNG: a picture resized and cropped, or noise, once a dream of it is done.

    404 for a later frame of a film, which starts from the one before.
    """

    def answer() -> Response:
        item = next(items(opened.db, found.id, after=position - 1, limit=1), None)
        if item is None or item.position != position:
            raise NotFound(f"job {found.id} has no item {position}.")
        kept = (item.result or {}).get("start")
        tag = f"{item.picture_sha256}-{found.spec['size']}" if item.picture_sha256 else str(kept)
        make = partial(_start_in_pieces, opened, found, item)
        return cached(tag, "image/png", if_none_match, make)

    return await opened.thumbnails.answer(answer)


def _start(opened: Services, job: JobView, item: ItemView) -> bytes:
    with opened.thumbnails.decoding():
        return read_start(opened.store, job, item, max_pixels=opened.settings.max_pixels)


def _start_in_pieces(opened: Services, job: JobView, item: ItemView) -> Iterator[bytes]:
    """The same, of up to hundreds of megabytes, in constant memory once it is made."""
    path = kept_start(job, item)
    if path is not None:
        yield from opened.store.stream(path)
        return
    with temporary_file() as made:
        with temporary_room(), opened.thumbnails.decoding():
            write_start(opened.store, job, item, made, max_pixels=opened.settings.max_pixels)
            made.flush()
        made.seek(0)
        while piece := made.read(_PIECE):
            yield piece


@router.get(
    "/{job_id}/items/{position}/film.webp",
    response_class=Response,
    summary="A dream's steps, or a film's frames, as an animated WebP",
    responses={
        200: {"description": "The film", "content": {"image/webp": {}}},
        **responses(404, 409, 422),
    },
)
async def film(
    found: Job,
    position: Annotated[int, Path(ge=0, le=MAX_POSITION, examples=[0])],
    opened: Opened,
    fps: Annotated[float, Query(ge=MIN_FPS, le=MAX_FPS, description="Pictures a second.")] = 12,
    size: Annotated[
        int, Query(ge=16, le=1024, description="Of the longer side in pixels, at most.")
    ] = 512,
) -> Response:
    """As far as it is there; 409 where there are no two pictures yet."""

    def answer() -> Response:
        reel = find_reel(partial(items, opened.db, found.id), found, position)
        if reel.count > MAX_FILM:
            raise InvalidInput(
                f"{reel.count:,} pictures are too many for a film over HTTP, which has at most "
                f"{MAX_FILM:,}: `beholder film` makes it."
            )
        frames = reel_pictures(
            reel,
            lambda _, file: read_result(opened.store, file),
            partial(_start, opened, found),
            max_pixels=opened.settings.max_pixels,
            side=size,
        )
        made = io.BytesIO()
        write_film(frames, made, "webp", fps=fps, count=reel.count)
        name = f"{found.id}-{reel.first}.webp"
        headers = {
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",  # more may come
        }
        return Response(made.getvalue(), media_type="image/webp", headers=headers)

    return await to_thread.run_sync(answer, limiter=opened.films)


@router.get(
    "/{job_id}/results.zip",
    response_class=StreamingResponse,
    summary="All results of a job as one zip",
    responses={
        200: {"description": "The archive", "content": {"application/zip": {}}},
        **responses(404),
    },
)
def results(found: Job, opened: Opened) -> StreamingResponse:
    """Pictures under the names that `beholder fetch` gives them, and results.json.

    Of a job that still runs: what is done so far.
    """
    headers = {
        "Content-Disposition": f'attachment; filename="beholder-{found.id}.zip"',
        "Cache-Control": "no-store",
    }
    stream = archive(opened.db, opened.store, found)
    return StreamingResponse(stream, media_type="application/zip", headers=headers)


def _begin(range_: str | None, size: int) -> int:
    """Where the rest begins that is asked for; 0 unless the range is of the one kind taken here."""
    asked = re.fullmatch(r"bytes=(\d{1,18})-", range_ or "")
    begin = 0 if asked is None else int(asked[1])
    return begin if begin < size else 0


def _from(answered: Response, begin: int, size: int) -> Response:
    """An answer of a file of so many bytes from this byte on.

    Without a Content-Length: of a file that is damaged in the store, it would break the line.
    """
    if answered.status_code == 200 and begin:
        answered.status_code = 206
        answered.headers["Content-Range"] = f"bytes {begin}-{size - 1}/{size}"
    return answered

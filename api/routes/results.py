"""What came out of a job: each picture with its thumbnails, and all of it as one zip."""

from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Response
from fastapi.responses import StreamingResponse

from api.archive import archive
from api.cached import PICTURE, cached
from api.problems import responses
from api.routes.jobs import Job, JobId, Opened
from beholder.jobs.queries import result_file

router = APIRouter(prefix="/v1/jobs", tags=["results"])
MAX_POSITION = 2**31 - 1


@router.head("/{job_id}/items/{position}/pictures/{step}", include_in_schema=False)
@router.get(
    "/{job_id}/items/{position}/pictures/{step}",
    response_class=Response,
    summary="A dream, as it was after a step",
    responses={200: PICTURE, 304: {"description": "Not modified"}, **responses(404)},
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
) -> Response:
    """The PNG as the worker wrote it; with `thumb`, a smaller WebP."""

    def answer() -> Response:
        file = result_file(opened.db, job_id, position, step)

        def whole() -> bytes:
            return opened.store.get(file.path)

        if thumb is None:
            return cached(file.sha256, "image/png", if_none_match, whole)
        tag = f"{file.sha256[:32]}-{thumb}"

        def smaller() -> bytes:
            return opened.thumbnails.get(file.sha256, thumb, whole)

        return cached(tag, "image/webp", if_none_match, smaller)

    return await opened.thumbnails.answer(answer)


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

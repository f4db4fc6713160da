"""`/v1/uploads`: one large picture in pieces, which may be sent again from where they broke off."""

from contextlib import suppress
from dataclasses import asdict
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from api.examples import SHA256, UPLOAD, example
from api.problems import TooLarge, responses
from api.routes.jobs import Opened
from api.schemas import Sha256
from api.services import Services
from api.uploads import Upload
from beholder.errors import NotFound, PictureError
from beholder.intake import keep
from beholder.jobs.stock import record_pictures
from beholder.tokens import Caller

router = APIRouter(prefix="/v1/uploads", tags=["pictures"])
UploadId = Annotated[str, Path(pattern="^[0-9a-f]{16}$", examples=["8f14e45fceea167a"])]


class NewUpload(BaseModel):
    """What is to come."""

    bytes: Annotated[int, Field(gt=0, le=2**40, examples=[5_000_000])]
    sha256: Annotated[Sha256, Field(examples=[SHA256])]


@router.post(
    "",
    status_code=201,
    summary="Announce a picture that comes in pieces",
    responses={201: example(UPLOAD), **responses(413, 507)},
)
def create(new: NewUpload, request: Request, opened: Opened) -> JSONResponse:
    """Send its bytes with PATCH, from `offset` on: what you sent of it before is still here.

    Uploads are forgotten a day after their last piece.
    """
    limit = opened.settings.upload_file_bytes
    if new.bytes > limit:
        raise TooLarge(f"a picture may have {limit:,} bytes; this has {new.bytes:,}.")
    caller: Caller = request.state.caller
    upload = opened.uploads.create(new.bytes, new.sha256, caller.name)
    where = {"Location": f"/v1/uploads/{upload.id}"}
    return JSONResponse(_row(upload), 201, {**where, **_offset(upload)})


@router.api_route(
    "/{upload_id}",
    methods=["HEAD"],
    summary="Where an upload goes on (Upload-Offset)",
    responses=responses(404),
    operation_id="upload_offset",
)
@router.get(
    "/{upload_id}",
    summary="How far an upload is",
    responses={200: example(UPLOAD), **responses(404)},
)
def show(upload_id: UploadId, opened: Opened) -> JSONResponse:
    """The next byte to send is in the header Upload-Offset too."""
    upload = opened.uploads.get(upload_id)
    return JSONResponse(_row(upload), headers={**_offset(upload), "Cache-Control": "no-store"})


@router.patch(
    "/{upload_id}",
    summary="Send a piece",
    responses={200: example(UPLOAD), **responses(404, 408, 409, 507)},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string"}}},
        }
    },
)
async def append(
    upload_id: UploadId,
    request: Request,
    opened: Opened,
    upload_offset: Annotated[int, Header(ge=0, le=2**40, examples=[0])],
) -> JSONResponse:
    """What arrives is kept even if the line breaks. The last piece makes it a stored picture.

    507, or 503, where it is all here but could not be stored: send an empty piece later.
    409 where Upload-Offset is not the next byte, or another request is sending.
    """
    upload = await opened.uploads.append(upload_id, upload_offset, request.stream())
    row = _row(upload)
    if upload.offset == upload.bytes:
        limiter = opened.uploads.reading
        row["picture"] = await to_thread.run_sync(_finish, opened, upload, limiter=limiter)
    return JSONResponse(row, headers=_offset(upload))


@router.delete(
    "/{upload_id}", status_code=204, summary="Give an upload up", responses=responses(404)
)
def drop(upload_id: UploadId, opened: Opened) -> Response:
    """What has arrived of it is removed."""
    opened.uploads.drop(upload_id)
    return Response(status_code=204)


def _finish(opened: Services, upload: Upload) -> dict[str, object]:
    """Store what has arrived whole. It stays where there was no room for it, or no database."""
    data = opened.uploads.whole(upload)
    try:
        stored = keep(opened.store, data, max_pixels=opened.settings.max_pixels, sure=True)
    except PictureError:
        opened.uploads.drop(upload.id)
        raise
    record_pictures(opened.db, [stored])
    with suppress(NotFound):  # another request has finished it too
        opened.uploads.drop(upload.id)
    return asdict(stored)


def _row(upload: Upload) -> dict[str, Any]:
    row = asdict(upload)
    del row["owner"]
    return {**row, "picture": None}


def _offset(upload: Upload) -> dict[str, str]:
    return {"Upload-Offset": str(upload.offset)}

"""`/v1/pictures`: input pictures, sent ahead, asked for by hash, and shown."""

import hashlib
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from api.bodies import read_body
from api.cached import PICTURE, cached
from api.examples import PICTURE_ROW, SHA256, example
from api.problems import responses
from api.routes.jobs import Opened
from api.schemas import Hashes
from api.services import Services
from beholder.intake import keep
from beholder.jobs.queries import get_picture
from beholder.jobs.stock import known_pictures, record_pictures, use_pictures

router = APIRouter(prefix="/v1/pictures", tags=["pictures"])
Hash = Annotated[str, Path(pattern="^[0-9a-f]{64}$", examples=[SHA256])]
Size = Annotated[int, Query(ge=16, le=2048, description="Longest side in pixels.")]
_IMAGE = {"image/*": {"schema": {"type": "string", "format": "binary"}}}


@router.post(
    "",
    status_code=201,
    summary="Send a picture ahead",
    responses={
        200: example(PICTURE_ROW),
        201: example(PICTURE_ROW),
        **responses(408, 413, 507),
    },
    openapi_extra={"requestBody": {"required": True, "content": _IMAGE}},
)
async def send(request: Request, opened: Opened) -> JSONResponse:
    """The body is the file itself. Jobs then name it by its `sha256`. 200 if it was here."""
    data = await read_body(request, opened.settings.upload_file_bytes, "picture")
    return await run_in_threadpool(_keep, opened, data)


def _keep(opened: Services, data: bytes) -> JSONResponse:
    known = known_pictures(opened.db, [hashlib.sha256(data).hexdigest()])
    stored = keep(opened.store, data, max_pixels=opened.settings.max_pixels, sure=True)
    record_pictures(opened.db, [stored])
    return JSONResponse(asdict(stored), 200 if known else 201)


@router.post(
    "/missing",
    summary="Which of these pictures are not here?",
    responses={200: example({"missing": [SHA256]})},
)
def missing(hashes: Hashes, opened: Opened) -> JSONResponse:
    """So that a client sends only what is lacking. In the order asked, each once.

    A picture whose file is lost, or not whole, is missing too, and whoever sends it puts it back.
    """
    asked = list(dict.fromkeys(hashes.sha256))
    known = use_pictures(opened.db, asked)
    lost = opened.store.lacking({sha256: picture.bytes for sha256, picture in known.items()})
    here = known.keys() - lost
    return JSONResponse({"missing": [sha256 for sha256 in asked if sha256 not in here]})


@router.api_route(
    "/{sha256}",
    methods=["HEAD"],
    summary="Is a picture here?",
    responses=responses(404),
    operation_id="has_picture",
)
@router.get(
    "/{sha256}",
    summary="What is known of a picture",
    responses={200: example(PICTURE_ROW), **responses(404)},
)
def show(sha256: Hash, opened: Opened) -> JSONResponse:
    """Its size in pixels and bytes, and the format it came in."""
    return JSONResponse(asdict(get_picture(opened.db, sha256)))


@router.head("/{sha256}/image", include_in_schema=False)
@router.get(
    "/{sha256}/image",
    response_class=Response,
    summary="A picture, re-encoded",
    responses={200: PICTURE, 304: {"description": "Not modified"}, **responses(404)},
)
async def image(
    sha256: Hash,
    opened: Opened,
    size: Size = 512,
    if_none_match: Annotated[str | None, Header(max_length=1000)] = None,
) -> Response:
    """As WebP with no side over `size`; never the bytes that were uploaded."""

    def make() -> bytes:
        return opened.thumbnails.get(sha256, size, lambda: opened.store.picture(sha256))

    def answer() -> Response:
        get_picture(opened.db, sha256)
        return cached(f"{sha256[:32]}-{size}", "image/webp", if_none_match, make)

    return await opened.thumbnails.answer(answer)

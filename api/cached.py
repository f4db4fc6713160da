"""Answers that never change: with an ETag, cached for good, and 304 for who has them."""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from fastapi import Response
from fastapi.responses import StreamingResponse

PICTURE: dict[str, Any] = {
    "description": "The picture",
    "content": {"image/webp": {}, "image/png": {}},
    "headers": {"ETag": {"schema": {"type": "string"}}},
}
_FOR_GOOD = "private, max-age=31536000, immutable"


def cached(
    tag: str,
    media_type: str,
    if_none_match: str | None,
    make: Callable[[], bytes | Iterator[bytes]],
) -> Response:
    """What `make` gives, whole or by pieces; 304 where the client has the tag, and nothing is made.

    Pieces are sent as they come; an error has to come with the first.
    """
    etag = f'"{tag}"'
    headers = {"ETag": etag, "Cache-Control": _FOR_GOOD}
    given = {word.strip().removeprefix("W/") for word in (if_none_match or "").split(",")}
    if etag in given or "*" in given:
        return Response(status_code=304, headers=headers)
    headers["Content-Disposition"] = "inline"
    made = make()
    if isinstance(made, bytes):
        return Response(made, media_type=media_type, headers=headers)
    first = next(made, b"")
    return StreamingResponse(chain([first], made), media_type=media_type, headers=headers)

"""Answers that never change: with an ETag, cached for good, and 304 for who has them."""

from collections.abc import Callable
from typing import Any

from fastapi import Response

PICTURE: dict[str, Any] = {
    "description": "The picture",
    "content": {"image/webp": {}, "image/png": {}},
    "headers": {"ETag": {"schema": {"type": "string"}}},
}
_FOR_GOOD = "private, max-age=31536000, immutable"


def cached(
    tag: str, media_type: str, if_none_match: str | None, make: Callable[[], bytes]
) -> Response:
    """What `make` gives, or 304 where the client's tags have this one; then nothing is made."""
    etag = f'"{tag}"'
    headers = {"ETag": etag, "Cache-Control": _FOR_GOOD}
    given = {word.strip().removeprefix("W/") for word in (if_none_match or "").split(",")}
    if etag in given or "*" in given:
        return Response(status_code=304, headers=headers)
    headers["Content-Disposition"] = "inline"
    return Response(make(), media_type=media_type, headers=headers)

"""A new job as lines of JSON: `read_lines` takes any number of pictures in, in constant memory.

The first line is the request without its pictures; each further one is a picture that is stored
already, or what the client says is wrong with one.
"""

from collections.abc import AsyncIterator, Callable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from api.problems import TooLarge
from api.schemas import MAX_SOURCE, Sha256, body_sentence
from beholder.errors import InvalidInput
from beholder.jobs.spool import Role

MAX_LINE_BYTES = 64 << 10
MAX_PICTURES = 2_000_000
_BATCH = 500
Name = Annotated[str, Field(max_length=MAX_SOURCE)]


class PictureLine(BaseModel):
    """A picture of a job. error: why the client could not read it; then it has no hash."""

    model_config = ConfigDict(extra="forbid")

    sha256: Sha256 | None = None
    source: Name = ""
    group: Name | None = None
    role: Role | None = None
    error: Annotated[Name, Field(min_length=1)] | None = None


_LINE = TypeAdapter(PictureLine)


async def read_lines(
    request: Request,
    on_head: Callable[[bytes], None],
    on_pictures: Callable[[list[PictureLine]], None],
) -> None:
    """Hand over the head, then the pictures in batches. Raises InvalidInput or TooLarge.

    on_pictures runs on a thread.
    """
    batch: list[PictureLine] = []
    number = 0
    async for line in _lines(request):
        number += 1
        if number == 1:
            on_head(line)
            continue
        if number > MAX_PICTURES + 1:
            raise TooLarge(f"a job may have {MAX_PICTURES:,} pictures.")
        batch.append(_parsed(line, number))
        if len(batch) == _BATCH:
            await run_in_threadpool(on_pictures, batch)
            batch = []
    if not number:
        raise InvalidInput("the first line is to hold the request, such as {}.")
    await run_in_threadpool(on_pictures, batch)


def _parsed(line: bytes, number: int) -> PictureLine:
    try:
        picture = _LINE.validate_json(line)
    except ValidationError as error:
        raise InvalidInput(f"line {number:,}: {body_sentence(error, PictureLine)}") from None
    if (picture.sha256 is None) == (picture.error is None):
        raise InvalidInput(f"line {number:,}: a picture has either sha256 or error.")
    return picture


async def _lines(request: Request) -> AsyncIterator[bytes]:
    """The body's lines as they arrive, without those that are empty."""
    rest = b""
    async for chunk in request.stream():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line.strip():
                yield _short(line)
        _short(rest)
    if rest.strip():
        yield rest


def _short(line: bytes) -> bytes:
    if len(line) > MAX_LINE_BYTES:
        raise TooLarge(f"a line may have {MAX_LINE_BYTES:,} bytes.")
    return line

"""What the bodies of requests may take: `Room`, of memory, all together; `in_time`, of patience.

`memory_of` is how much room a request needs; `read_body` reads one that is wanted whole.
"""

import asyncio
import io
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from api.access import required_scope
from api.multipart import MAX_FIELD_BYTES, MAX_TEXT_BYTES
from api.problems import RoomTaken, TooLarge, TooSlow
from beholder.protocol import LINES
from beholder.settings import Settings

MAX_JSON_BYTES = 8 << 20  # 100,000 hashes have 7; parsed, the worst takes PARSED times as much
PARSED = 35
ROOM_BYTES = 512 << 20  # eight pictures of the largest
WAIT_S = 10.0  # for room, until a client is asked to come again
STALL_S = 60.0
LEAST_BYTES_S = 4 << 10  # 64 MiB in four and a half hours
FREE_BYTES = 8 << 10  # what all connections may take besides: orders to stop need no room
_UNKNOWN = 1 << 62
_JOBS = frozenset({"/v1/dreams", "/v1/studies"})
_FORMS = _JOBS | {"/new", "/new/study"}


class Room:
    """Bytes of memory that bodies take at a time, `most` in all. Whoever waits, waits in turn."""

    def __init__(self, most: int) -> None:
        self._most = self._left = most
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def taken(self, amount: int) -> AsyncIterator[None]:
        """Around what takes this amount, or all there is. Raises RoomTaken after WAIT_S."""
        amount = min(amount, self._most)
        if amount:  # who needs none does not wait in line
            await self._take(amount)
        try:
            yield
        finally:
            self._left += amount
            self._freed.set()

    async def _take(self, amount: int) -> None:
        try:
            async with asyncio.timeout(WAIT_S), self._turn:  # else small ones pass a large one
                while self._left < amount:
                    self._freed.clear()
                    await self._freed.wait()
                self._left -= amount
        except TimeoutError:
            raise RoomTaken(
                "other requests take all the memory that there is for their bodies: try again "
                "later."
            ) from None


def memory_of(scope: Scope, settings: Settings) -> int:
    """Bytes of memory that a request's body takes at most, as it is read and once it is parsed."""
    headers, path = Headers(scope=scope), scope["path"]
    size = _announced(headers)
    if size <= FREE_BYTES or path.startswith("/v1/uploads/"):  # which go to the disk as they come
        return 0
    if required_scope(scope["method"], path) is None:  # of a stranger's no more is read
        return 0
    if path == "/v1/pictures":
        return min(size, settings.upload_file_bytes)
    kind = media_type(headers)
    if path in _JOBS and kind == LINES:
        return 0  # a line at a time
    if path in _FORMS and kind != "application/json":
        parsed = PARSED * min(size, 2 * MAX_FIELD_BYTES)  # spec and webhook
        return min(size, settings.upload_file_bytes + MAX_TEXT_BYTES) + parsed
    return PARSED * min(size, MAX_JSON_BYTES)


def media_type(headers: Headers) -> str:
    """The kind of content, without its parameters."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def in_time(receive: Receive) -> Receive:
    """The same body, which raises TooSlow where it stalls, or comes slower than LEAST_BYTES_S.

    Only the time in which the server waits for it counts.
    """
    left_s, whole = STALL_S, False

    async def timed() -> Message:
        nonlocal left_s, whole
        if whole:  # whoever asks now wants to know when the client leaves
            return await receive()
        begun = time.monotonic()
        try:
            async with asyncio.timeout(left_s):
                message = await receive()
        except TimeoutError:
            raise TooSlow(
                f"the body came too slowly: {LEAST_BYTES_S:,} bytes a second are the least, and "
                f"{STALL_S:g} s the longest pause. Send it again."
            ) from None
        came = len(message.get("body", b""))
        left_s = min(STALL_S, left_s + begun - time.monotonic() + came / LEAST_BYTES_S)
        whole = not message.get("more_body", False)
        return message

    return timed


async def read_body(request: Request, limit: int, what: str) -> bytes:
    """The body whole, once in memory. Raises TooLarge where it has more bytes than `limit`."""
    body = io.BytesIO()  # whose value is no copy of it
    async for chunk in request.stream():
        body.write(chunk)
        if body.tell() > limit:
            raise TooLarge(f"a {what} may have {limit:,} bytes.")
    return body.getvalue()


def _announced(headers: Headers) -> int:
    """The bytes of the body, as the client says: any number where it does not."""
    if "transfer-encoding" in headers:  # by which a body is read, whatever length is said beside it
        return _UNKNOWN
    length = headers.get("content-length", "")
    return int(length) if length.isdecimal() else 0

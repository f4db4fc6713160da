"""Smaller copies of pictures, re-encoded as WebP, the latest of them kept in memory."""

import io
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from anyio import CapacityLimiter, to_thread
from PIL import Image
from starlette.responses import Response

from beholder.pictures import decode

KEPT_BYTES = 64 << 20
_ENTRY_BYTES = 400  # that each takes besides: its key, its place, what Python needs
DECODED_AT_ONCE = 2  # a large picture takes hundreds of megabytes while it is decoded
THREADS = 8  # of their own, so that other requests find some of the server's free
QUALITY = 82


class Thumbnails:
    """Copies by (what, size); safe to share between threads."""

    def __init__(self, max_pixels: int, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._max_pixels = max_pixels
        self._room = kept_bytes
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()
        self._threads = CapacityLimiter(THREADS)
        self._decoding = threading.BoundedSemaphore(DECODED_AT_ONCE)

    async def answer(self, make: Callable[[], Response]) -> Response:
        """What `make` answers, in one of the threads that thumbnails have."""
        return await to_thread.run_sync(make, limiter=self._threads)

    def get(self, sha256: str, size: int, read: Callable[[], bytes]) -> bytes:
        """The picture as WebP, neither side over `size` pixels. Raises PictureError."""
        key = sha256, size
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        with self._decoding:  # before reading: files that wait their turn would fill the memory
            made = _smaller(decode(read(), max_pixels=self._max_pixels), size)
        self._keep(key, made)
        return made

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """A block that decodes a picture: as few at a time as thumbnails."""
        with self._decoding:
            yield

    def _keep(self, key: tuple[str, int], made: bytes) -> None:
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made
                self._room -= len(made) + _ENTRY_BYTES
            while self._room < 0:
                _, dropped = self._kept.popitem(last=False)
                self._room += len(dropped) + _ENTRY_BYTES


def _smaller(image: Image.Image, size: int) -> bytes:
    image.thumbnail((size, size), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=QUALITY)
    return buffer.getvalue()

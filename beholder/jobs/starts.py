"""What a dream started from, as it saw it: `read_start`, the same from commands and over HTTP.

For who streams it: `kept_start` says where noise is kept, `write_start` makes a picture's.
"""

import io
from typing import IO

from beholder.errors import NotFound
from beholder.jobs.frames import Frames
from beholder.jobs.views import ItemView, JobView
from beholder.pictures import decode
from beholder.seen import as_seen
from beholder.store import Store

_QUICK = 1  # PNG's least compression: it is looked at once


def read_start(store: Store, job: JobView, item: ItemView, *, max_pixels: int) -> bytes:
    """A PNG: noise as it was kept, or a picture resized and cropped as the network saw it.

    Raises what `kept_start` and `write_start` raise.
    """
    path = kept_start(job, item)
    if path is not None:
        return store.get(path)
    buffer = io.BytesIO()
    write_start(store, job, item, buffer, max_pixels=max_pixels)
    return buffer.getvalue()


def kept_start(job: JobView, item: ItemView) -> str | None:
    """Where in the store an item's noise is; None for one that began as a picture.

    Raises NotFound where there is no start: noise but at the first layer, and later frames of
    films, which start from dreams.
    """
    frames = Frames.of(job)
    if frames and frames.number(item.position):
        raise NotFound(f"item {item.position} of job {job.id} started from the frame before it.")
    if item.picture_sha256 is not None:
        return None
    path = (item.result or {}).get("start")
    if not isinstance(path, str):
        raise NotFound(f"job {job.id} keeps no start of item {item.position}.")
    return path


def write_start(
    store: Store, job: JobView, item: ItemView, out: IO[bytes], *, max_pixels: int
) -> None:
    """Write a picture as its dream saw it, a PNG. Raises PictureError if it can't be decoded."""
    assert item.picture_sha256 is not None
    image = decode(store.picture(item.picture_sha256), max_pixels=max_pixels)
    as_seen(image, job.spec["size"]).save(out, "PNG", compress_level=_QUICK)

"""What a dream started from, as it saw it: `read_start`, the same from commands and over HTTP."""

import io

from beholder.errors import NotFound
from beholder.jobs.frames import Frames
from beholder.jobs.views import ItemView, JobView
from beholder.pictures import decode
from beholder.seen import as_seen
from beholder.store import Store

_QUICK = 1  # PNG's least compression: it is looked at once


def read_start(store: Store, job: JobView, item: ItemView, *, max_pixels: int) -> bytes:
    """A PNG: noise as it was kept, or a picture resized and cropped as the network saw it.

    Raises NotFound where there is none: noise but at the first layer, and later frames of films,
    which start from dreams. PictureError for a picture that can't be decoded any more.
    """
    frames = Frames.of(job)
    if frames and frames.number(item.position):
        raise NotFound(f"item {item.position} of job {job.id} started from the frame before it.")
    if item.picture_sha256 is None:
        path = (item.result or {}).get("start")
        if not isinstance(path, str):
            raise NotFound(f"job {job.id} keeps no start of item {item.position}.")
        return store.get(path)
    image = decode(store.picture(item.picture_sha256), max_pixels=max_pixels)
    buffer = io.BytesIO()
    as_seen(image, job.spec["size"]).save(buffer, "PNG", compress_level=_QUICK)
    return buffer.getvalue()

"""Thumbnails in memory: the latest, and no more than there is room for."""

import io

from PIL import Image

from api.thumbnails import Thumbnails

ROOM = 20 * 1024


def test_what_an_entry_takes_besides_its_bytes_is_counted():
    buffer = io.BytesIO()
    Image.new("RGB", (128, 128)).save(buffer, "PNG")
    thumbnails, reads = Thumbnails(10**6, kept_bytes=ROOM), []

    def read():
        reads.append(1)
        return buffer.getvalue()

    sizes = range(16, 116)
    for size in sizes:
        assert len(thumbnails.get("black", size, read)) < ROOM / len(sizes), "all would fit"
    reads.clear()
    latest_first = iter(reversed(sizes))
    while not reads:
        thumbnails.get("black", next(latest_first), read)
    assert 10 < sizes[-1] - next(latest_first) < 60

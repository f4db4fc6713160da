"""Files of a store on the network, as `Files` moves them: `write`, `read`.

Requests are repeated by the file system itself (s3fs: five times, with pauses that grow), and on S3
each body carries a checksum that the server and botocore compare.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

LARGE_BYTES = 64 << 20  # from which on a file goes part by part, and is never in memory twice
PART_BYTES = 16 << 20


def write(fs: Any, full: str, parts: Sequence[bytes | memoryview]) -> None:
    """Write a file that is there whole or not at all."""
    flat = [memoryview(part).cast("B") for part in parts]
    if sum(part.nbytes for part in flat) < LARGE_BYTES:
        fs.pipe_file(full, b"".join(flat))
        return
    file = fs.open(full, "wb", block_size=PART_BYTES)
    try:
        for piece in _pieces(flat):
            file.write(piece)
        file.close()
    except BaseException:
        with suppress(Exception):
            file.discard()
        file.closed = True  # or, once it is garbage, it would be completed as it is
        raise


def read(fs: Any, full: str) -> bytes:
    """A file's bytes. Of S3 in one request: s3fs would first ask how large it is."""
    once = {"max_concurrency": 1} if "s3" in fs.protocol else {}
    return bytes(fs.cat_file(full, **once))


def foreign(error: Exception) -> bool:
    """Whether it is a library's own error, such as botocore's where nobody answers."""
    return type(error).__module__ != "builtins"


def _pieces(parts: Sequence[memoryview]) -> Iterator[memoryview]:
    for part in parts:
        for begin in range(0, part.nbytes, PART_BYTES):
            yield part[begin : begin + PART_BYTES]

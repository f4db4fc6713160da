"""Files of a store on the network, as `Files` moves them: `write`, `read`, `pieces`, `names`.

Requests are repeated by the file system itself, with pauses that grow (s3fs: five times, and
botocore each of these five times), and on S3 each body carries a checksum that the server and
botocore compare.
"""

import errno
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

LARGE_BYTES = 64 << 20  # from which on a file goes part by part, and is never in memory twice
PART_BYTES = 16 << 20
RANGE_BYTES = 4 << 20  # of a file that is read piece by piece


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


def pieces(fs: Any, full: str, begin: int) -> Iterator[bytes]:
    """A file's bytes from one on, range by range: one of s3fs's own files would hold 50 MiB.

    Of S3 in one request each: the first that comes short is the last, so that nobody has to ask
    how large the file is.
    """
    if "s3" not in fs.protocol:
        with fs.open(full, "rb", block_size=RANGE_BYTES) as file:
            file.seek(begin)
            while piece := file.read(RANGE_BYTES):
                yield bytes(piece)
        return
    while piece := _range(fs, full, begin):
        yield piece
        begin += len(piece)
        if len(piece) < RANGE_BYTES:
            return


def names(fs: Any, full: str) -> Iterator[tuple[str, int]]:
    """The files in a folder of S3 and in those in it, by their paths from there, with their bytes.

    A list of all that begins so, up to 1,000 a request and no more in memory, however many folders
    there are: s3fs would keep the whole.
    """
    bucket, key, _ = fs.split_path(f"{full}/")
    going_on: dict[str, str] = {}
    while True:
        page = fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=key, **going_on, **fs.req_kw)
        for one in page.get("Contents", ()):
            if not one["Key"].endswith("/"):  # which some tools write, for a folder
                yield one["Key"].removeprefix(key), int(one["Size"])
        if not page.get("IsTruncated"):
            return
        going_on = {"ContinuationToken": page["NextContinuationToken"]}


def _range(fs: Any, full: str, begin: int) -> bytes:
    """Nothing where the file ends just there, which S3 calls an error."""
    try:
        return bytes(fs.cat_file(full, start=begin, end=begin + RANGE_BYTES))
    except OSError as error:
        if error.errno != errno.EINVAL or fs.size(full) > begin:
            raise
        return b""


def foreign(error: Exception) -> bool:
    """Whether it is a library's own error, such as botocore's where nobody answers."""
    return type(error).__module__ != "builtins"


def _pieces(parts: Sequence[memoryview]) -> Iterator[memoryview]:
    for part in parts:
        for begin in range(0, part.nbytes, PART_BYTES):
            yield part[begin : begin + PART_BYTES]

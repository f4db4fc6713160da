"""Writing results to a folder: whole files or none, and nothing where the same file is already."""

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from beholder.durable import NO_ROOM
from beholder.errors import InvalidInput, StorageFull


@contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """A new file that takes the place of `path` at the end, or goes again on an error."""
    # Hidden, and unique: two commands may fetch the same job at the same time.
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")
    with reported(path.parent):
        try:
            with temporary.open("xb") as file:
                yield file
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_file(path: Path, data: bytes) -> bool:
    """Write `data`; False when the file already held it."""
    with reported(path.parent):
        if holds(path, hashlib.sha256(data).hexdigest(), len(data)):
            return False
    with writing(path) as file:
        file.write(data)
    return True


def holds(path: Path, sha256: str, size: int) -> bool:
    """Whether the file is there with these contents."""
    try:
        if not path.is_file() or path.stat().st_size != size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except FileNotFoundError:
        return False


def make_folder(path: Path) -> None:
    """Make a folder with its parents. Raises InvalidInput when that can't be."""
    with reported(path):
        path.mkdir(parents=True, exist_ok=True)


@contextmanager
def reported(folder: Path) -> Iterator[None]:
    """Turn what the disk refuses into one line."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise StorageFull(
                f"no room left in {folder}: free some space and fetch again; what is written stays."
            ) from None
        reason = error.strerror or str(error)
        raise InvalidInput(
            f"{folder} can't be written ({reason}): choose another folder with -o DIR."
        ) from None

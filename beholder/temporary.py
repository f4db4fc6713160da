"""Temporary files, where there may be no room for them: `temporary_file`, `temporary_room`."""

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from beholder.durable import NO_ROOM
from beholder.errors import StorageFull


@contextmanager
def temporary_file() -> Iterator[IO[bytes]]:
    """A file that is gone at the end. Write to it in a block of `temporary_room`, and flush."""
    with temporary_room():
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
    try:
        yield file
    finally:
        with suppress(OSError):  # what found no room is written again
            file.close()


@contextmanager
def temporary_room(folder: str | None = None) -> Iterator[None]:
    """Around what writes temporary files, SQLite's too; raises StorageFull, which says where.

    folder: where they are, unless it is Python's own.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        raise _full(str(error), folder) from None
    except OSError as error:
        raise no_room(error, folder) from None


def no_room(error: OSError, folder: str | None = None) -> Exception:
    """What to raise in the place of an error from a temporary file: itself, if room is there."""
    nowhere = isinstance(error, FileNotFoundError) and error.filename is None  # all are full
    return _full(error.strerror or "", folder) if error.errno in NO_ROOM or nowhere else error


def sqlite_folder() -> str:
    """Where SQLite keeps files that have no name (https://sqlite.org/tempfiles.html, 5)."""
    named = (os.environ.get("SQLITE_TMPDIR"), os.environ.get("TMPDIR"))
    places = (*named, "/var/tmp", "/usr/tmp", "/tmp")
    fit = (place for place in places if place and os.access(place, os.W_OK | os.X_OK))
    return next(fit, ".")


def _full(reason: str, folder: str | None) -> StorageFull:
    with suppress(FileNotFoundError):
        folder = folder or tempfile.gettempdir()
    where = f" in {folder}" if folder else ""
    return StorageFull(
        f"no temporary file can be written{where} ({reason}): free some space, or set TMPDIR to a "
        "folder with room."
    )

"""A folder's pictures in natural order (kelpie2 before kelpie10): `walk`; `count` without order.

Names are sorted by SQLite in a private temporary file, so that memory stays constant however many
there are.
"""

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing

from beholder.errors import InvalidInput
from beholder.pictures import PICTURE_SUFFIXES
from beholder.temporary import sqlite_folder, temporary_room

_DIGITS = re.compile("[0-9]+")
_PICTURE, _FOLDER = 0, 1


def walk(folder: str, *, recursive: bool = False) -> Iterator[str]:
    """Paths below `folder` of its pictures, then, with `recursive`, of its folders' in turn.

    Other files and hidden ones are passed over. Raises InvalidInput for a folder that can't be
    read, and StorageFull where there is no room to sort.
    """
    rows = ((kind, _key(name), os.fsencode(name)) for kind, name in _scan(folder, recursive))
    # In memory while it is small.
    with temporary_room(sqlite_folder()), closing(sqlite3.connect("")) as names:
        names.execute("CREATE TABLE names (kind, key, name)")
        names.executemany("INSERT INTO names VALUES (?, ?, ?)", rows)
        for kind, name in names.execute("SELECT kind, name FROM names ORDER BY kind, key, name"):
            path = os.fsdecode(name)
            if kind == _PICTURE:
                yield path
            else:
                for inner in walk(os.path.join(folder, path), recursive=True):
                    yield f"{path}/{inner}"


def count(folder: str, *, recursive: bool = False) -> int:
    """How many paths `walk` would give."""
    return sum(
        1 if kind == _PICTURE else count(os.path.join(folder, name), recursive=True)
        for kind, name in _scan(folder, recursive)
    )


def _scan(folder: str, folders_too: bool) -> Iterator[tuple[int, str]]:
    try:
        entries = os.scandir(folder)
    except PermissionError:
        raise InvalidInput(f"{folder} can't be read: check its permissions.") from None
    with entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if os.path.splitext(entry.name)[1].lower() in PICTURE_SUFFIXES and not _leads_in(entry):
                yield _PICTURE, entry.name
            # A link may lead round in a circle.
            if folders_too and entry.is_dir(follow_symlinks=False):
                yield _FOLDER, entry.name


def _leads_in(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads round in a circle: reading it will say so
        return False


def _key(name: str) -> bytes:
    """Bytes that sort as people count. A zero byte, which no name has, puts numbers before text."""
    return os.fsencode(_DIGITS.sub(_counted, name.lower()))


def _counted(digits: re.Match[str]) -> str:
    number = digits[0].lstrip("0")
    return f"\0{len(number):03}{number}\0{digits[0]}"  # equal numbers: the one with more zeros

"""Taking pictures in: finding them in files and folders, keeping their bytes, noting what is wrong.

`find_pictures` walks; `take_in` turns one finding into an entry of a job. A picture that can't be
read becomes an entry with its reason, so that it fails alone.
"""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from beholder.errors import InvalidInput, NoPictures, PictureError
from beholder.jobs.spool import Entry, Role, StoredPicture
from beholder.pictures import PICTURE_SUFFIXES, peek
from beholder.store import Store

MAX_FILE_BYTES = 512 * 2**20


@dataclass(frozen=True)
class Found:
    """A picture file. `source` is its name for people: "kelpies/kelpie1.jpg"."""

    path: Path
    source: str
    group: str


def find_pictures(
    files: Iterable[Path], folders: Iterable[Path], *, recursive: bool = False
) -> Iterator[Found]:
    """The files as named, then each folder's pictures in natural order (kelpie2 before kelpie10).

    A folder's other files and hidden ones are passed over. Raises InvalidInput for what does not
    exist and NoPictures for a folder without pictures, before or while yielding.
    """
    for file in files:
        if file.is_dir():
            raise InvalidInput(f"{file} is a folder: write --dir {file}")
        if not file.exists():
            raise InvalidInput(f"no file {file}: check its name.")
        yield Found(file, file.name, file.absolute().parent.name)
    for folder in folders:
        yield from _folder(folder, recursive=recursive)


def _folder(folder: Path, *, recursive: bool) -> Iterator[Found]:
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise InvalidInput(f"the folder {folder} {what}: check its name.")
    name = folder.resolve().name or "root"
    empty = True
    for path in _walk(folder, recursive=recursive):
        empty = False
        yield Found(path, f"{name}/{path.relative_to(folder).as_posix()}", name)
    if empty:
        hint = "" if recursive else " (--recursive looks into its folders)"
        kinds = ", ".join(sorted(suffix[1:] for suffix in PICTURE_SUFFIXES))
        raise NoPictures(f"{folder} has no pictures{hint}: files ending in {kinds} are taken.")


def _walk(folder: Path, *, recursive: bool) -> Iterator[Path]:
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: _natural(entry.name))
    except PermissionError:
        raise InvalidInput(f"{folder} can't be read: check its permissions.") from None
    visible = [entry for entry in entries if not entry.name.startswith(".")]
    for entry in visible:
        if entry.is_file() and Path(entry.name).suffix.lower() in PICTURE_SUFFIXES:
            yield Path(entry.path)
    if recursive:
        for entry in visible:
            if entry.is_dir(follow_symlinks=False):  # a link may lead round in a circle
                yield from _walk(Path(entry.path), recursive=True)


def _natural(name: str) -> tuple[tuple[bool, int, str], ...]:
    return tuple(
        (not part.isdecimal(), int(part) if part.isdecimal() else 0, part.lower())
        for part in re.split(r"([0-9]+)", name)
        if part
    )


def take_in(store: Store, found: Found, *, max_pixels: int, role: Role | None = None) -> Entry:
    """Keep the picture's bytes in the store; an entry with its hash, or with what is wrong."""
    try:
        stored = keep(store, _read(found.path), max_pixels=max_pixels)
    except PictureError as error:
        return Entry(found.source, None, role=role, group=found.group, error=str(error))
    return Entry(found.source, stored, role=role, group=found.group)


def keep(store: Store, data: bytes, *, max_pixels: int) -> StoredPicture:
    """Keep a picture's bytes in the store. Raises PictureError for what is none."""
    info = peek(data, max_pixels=max_pixels)
    sha256 = store.put_picture(data)
    return StoredPicture(sha256, info.width, info.height, info.format, len(data))


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise PictureError(f"the file is larger than {MAX_FILE_BYTES >> 20} MiB.")
        return path.read_bytes()
    except OSError as error:
        raise PictureError(f"the file can't be read: {error.strerror}.") from None

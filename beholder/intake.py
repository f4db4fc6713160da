"""Taking pictures in: finding them in files and folders, keeping their bytes, noting what is wrong.

`find_pictures` walks; `take_in` turns one finding into an entry of a job. A picture that can't be
read becomes an entry with its reason, so that it fails alone.
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from beholder.errors import InvalidInput, NoPictures, PictureError
from beholder.jobs.spool import Entry, Role, StoredPicture
from beholder.pictures import PICTURE_SUFFIXES, peek
from beholder.store import Store

MAX_FILE_BYTES = 512 * 2**20
_MARK = "\N{REPLACEMENT CHARACTER}"


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
        yield Found(file, _shown(file.name), _shown(file.absolute().parent.name))
    for folder in folders:
        yield from _folder(folder, recursive=recursive)


def _folder(folder: Path, *, recursive: bool) -> Iterator[Found]:
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise InvalidInput(f"the folder {folder} {what}: check its name.")
    name = _shown(folder.resolve().name or "root")
    empty = True
    for path in _walk(folder, recursive=recursive):
        empty = False
        yield Found(path, f"{name}/{_shown(path.relative_to(folder).as_posix())}", name)
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
        if Path(entry.name).suffix.lower() in PICTURE_SUFFIXES and not _is_folder(entry):
            yield Path(entry.path)
    if recursive:
        for entry in visible:
            if entry.is_dir(follow_symlinks=False):  # a link may lead round in a circle
                yield from _walk(Path(entry.path), recursive=True)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads round in a circle: reading it will say so
        return False


def _shown(name: str) -> str:
    """A file's name as text: bytes that are no UTF-8 and control characters become marks."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else _MARK for letter in text)


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
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise PictureError("not a file: name a picture, or a folder with --dir.")
        if status.st_size > MAX_FILE_BYTES:
            raise PictureError(f"the file is larger than {MAX_FILE_BYTES >> 20} MiB.")
        return path.read_bytes()
    except OSError as error:
        raise PictureError(f"the file can't be read: {error.strerror}.") from None

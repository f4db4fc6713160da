"""Taking pictures in: finding them in files and folders, keeping their bytes, noting what is wrong.

`find_pictures` walks; `take_in` turns findings into entries of a job, in the same order. A picture
that can't be read becomes an entry with its reason, so that it fails alone.
"""

import os
import stat
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from beholder import folders as folder_walk
from beholder.errors import InvalidInput, NoPictures, PictureError
from beholder.jobs.spool import Entry, Role, StoredPicture
from beholder.pictures import PICTURE_SUFFIXES, peek
from beholder.store import Store
from beholder.texts import MARK

MAX_FILE_BYTES = 512 * 2**20
THREADS = 4  # reading, hashing and writing release the interpreter's lock
_TOGETHER = 16  # pictures that a thread takes at a time
_AHEAD = 3  # such batches a thread that may be finished before they are asked for


@dataclass(frozen=True, slots=True)
class Found:
    """A picture file. `source` is its name for people: "kelpies/kelpie1.jpg"."""

    path: str
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
        _insist_on_file(file)
        yield Found(str(file), _shown(file.name), _shown(file.absolute().parent.name))
    for folder in folders:
        _insist_on_folder(folder)
        name, path = _shown(folder.resolve().name or "root"), str(folder)
        empty = True
        for inner in folder_walk.walk(path, recursive=recursive):
            empty = False
            yield Found(os.path.join(path, inner), f"{name}/{_shown(inner)}", name)
        if empty:
            raise _nothing_in(folder, recursive)


def count_pictures(
    files: Iterable[Path], folders: Iterable[Path], *, recursive: bool = False
) -> int:
    """How many pictures `find_pictures` would give; raises what it would raise."""
    total = 0
    for file in files:
        _insist_on_file(file)
        total += 1
    for folder in folders:
        _insist_on_folder(folder)
        inside = folder_walk.count(str(folder), recursive=recursive)
        if not inside:
            raise _nothing_in(folder, recursive)
        total += inside
    return total


def _insist_on_file(file: Path) -> None:
    if file.is_dir():
        raise InvalidInput(f"{file} is a folder: write --dir {file}")
    if not file.exists():
        raise InvalidInput(f"no file {file}: check its name.")


def _insist_on_folder(folder: Path) -> None:
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise InvalidInput(f"the folder {folder} {what}: check its name.")


def _nothing_in(folder: Path, recursive: bool) -> NoPictures:
    hint = "" if recursive else " (--recursive looks into its folders)"
    kinds = ", ".join(sorted(suffix[1:] for suffix in PICTURE_SUFFIXES))
    return NoPictures(f"{folder} has no pictures{hint}: files ending in {kinds} are taken.")


def _shown(name: str) -> str:
    """A file's name as text: bytes that are no UTF-8 and control characters become marks."""
    if name.isprintable():  # which a lone surrogate is not
        return name
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else MARK for letter in text)


def take_in(
    store: Store,
    found: Iterable[Found],
    *,
    max_pixels: int,
    role: Role | None = None,
    threads: int = THREADS,
) -> Generator[Entry]:
    """Keep the pictures' bytes in the store; of each, in order, its hash or what is wrong with it.

    Each of `threads` has one picture in memory. Once the last entry has come, all of them would
    survive a power cut.
    """

    def take(batch: list[Found]) -> list[Entry]:
        return [_take(store, one, max_pixels, role) for one in batch]

    yield from spread(found, take, threads=threads)
    store.flush()


def spread(
    found: Iterable[Found],
    take: Callable[[list[Found]], list[Entry]],
    *,
    threads: int = THREADS,
    together: int = _TOGETHER,
    on_break: Callable[[], object] = lambda: None,
) -> Generator[Entry]:
    """What `take` makes of batches of pictures, on threads that work ahead; in order.

    on_break: is called before threads are waited for whose work nobody wants any more.
    """
    waiting = iter(found)
    ahead: deque[Future[list[Entry]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            while batch := list(islice(waiting, together)):
                ahead.append(pool.submit(take, batch))
                if len(ahead) > threads * _AHEAD:
                    yield from ahead.popleft().result()
            while ahead:
                yield from ahead.popleft().result()
        except BaseException:
            on_break()
            raise
        finally:
            for unwanted in ahead:
                unwanted.cancel()


def _take(store: Store, found: Found, max_pixels: int, role: Role | None) -> Entry:
    try:
        stored = keep(store, read_file(found.path), max_pixels=max_pixels, flush=False)
    except PictureError as error:
        return Entry(found.source, None, role=role, group=found.group, error=str(error))
    return Entry(found.source, stored, role=role, group=found.group)


def take_one(store: Store, file: Path, *, max_pixels: int) -> StoredPicture:
    """Keep one picture file's bytes, also over a damaged copy.

    Raises InvalidInput for what is no picture.
    """
    _insist_on_file(file)
    try:
        return keep(store, read_file(str(file)), max_pixels=max_pixels, sure=True)
    except PictureError as error:
        raise InvalidInput(f"{_shown(file.name)}: {error}") from None


def keep(
    store: Store, data: bytes, *, max_pixels: int, flush: bool = True, sure: bool = False
) -> StoredPicture:
    """Keep a picture's bytes in the store. Raises PictureError for what is none.

    flush: whether it has to survive a power cut already; else `Store.flush` is called later.
    sure: whether one that is there is read, and written anew where it is damaged.
    """
    info = peek(data, max_pixels=max_pixels)
    sha256 = store.put_picture(data, flush=flush, sure=sure)
    return StoredPicture(sha256, info.width, info.height, info.format, len(data))


def read_file(path: str) -> bytes:
    """A picture file's bytes. Raises PictureError for what is no file, too large, or unreadable."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise PictureError("not a file: name a picture, or a folder with --dir.")
        if status.st_size > MAX_FILE_BYTES:
            raise PictureError(f"the file is larger than {MAX_FILE_BYTES >> 20} MiB.")
        with open(path, "rb", buffering=0) as file:
            # One byte more than there should be, so that a file that has grown is read whole.
            data = file.read(status.st_size + 1)
            return data if len(data) == status.st_size else data + file.readall()
    except OSError as error:
        raise PictureError(f"the file can't be read: {error.strerror}.") from None

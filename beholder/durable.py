"""Files on a local disk that are there whole or not at all, and outlive a power cut; its room."""

import ctypes
import errno
import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from io import FileIO
from pathlib import Path
from typing import cast

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})  # of a disk, or a user's share: others may end that
NO_ROOM = FULL | {errno.EFBIG}  # or none for so large a file, which no waiting makes smaller
_NO_NEED = frozenset({errno.EINVAL, errno.ENOTSUP})  # of file systems that keep no folders back


def write_whole(
    path: str, parts: Sequence[bytes | memoryview], *, flush: bool, within: str | None = None
) -> None:
    """Write a file of these parts, visible only once it is whole, and flushed to the disk.

    Without `flush`, `flush_filesystem` may do that later, where the system has a way to. Its name
    outlives a power cut once `flush_names` has returned.
    within: a folder around it, which is not made where it is missing, as all others are.
    """
    folder, name = os.path.split(path)
    # Hidden, and unique to the writer: two may bring the same picture at the same time.
    temporary = f"{folder}/.{name}.{secrets.token_hex(6)}"
    try:
        with _new_file(temporary, within) as file:
            for part in parts:
                _write_all(file, part)
            if flush or _syncfs is None:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def flush_filesystem(folder: str) -> None:
    """Flush everything that was written to the folder's file system."""
    if _syncfs is None:
        return  # each file has been flushed by itself
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if _syncfs(descriptor):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
    finally:
        os.close(descriptor)


def flush_names(folder: str) -> None:
    """Flush which names are in a folder to the disk: a file's own flush leaves them out."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_NEED:
            raise
    finally:
        os.close(descriptor)


def has_room(folder: Path, size: int) -> bool:
    """Whether the disk that a folder is on has so many bytes free, as far as it says."""
    try:
        return shutil.disk_usage(folder).free >= size
    except OSError:  # whoever writes there hears why not
        return True


def _new_file(path: str, within: str | None) -> FileIO:
    """A new file, in a new folder if need be."""
    try:
        return open(path, "xb", buffering=0)
    except FileNotFoundError:
        _make(Path(path).parent, within)
        return open(path, "xb", buffering=0)


def _make(folder: Path, within: str | None) -> None:
    if within is None:
        folder.mkdir(parents=True, exist_ok=True)
    elif folder != Path(within):
        _make(folder.parent, within)
        folder.mkdir(exist_ok=True)


def _write_all(file: FileIO, data: bytes | memoryview) -> None:
    """A write may take a part, and leave it to the next to say why."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def _find_syncfs() -> Callable[[int], int] | None:
    """Linux's own way to flush a whole file system at once; None elsewhere."""
    try:
        found = ctypes.CDLL(None, use_errno=True).syncfs
    except (AttributeError, OSError):
        return None
    found.argtypes, found.restype = (ctypes.c_int,), ctypes.c_int
    return cast(Callable[[int], int], found)


_syncfs = _find_syncfs()

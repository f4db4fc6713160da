"""Files of a store: a local folder, or anything that fsspec reaches (s3://...).

A file is there whole or not at all. Paths are relative, with forward slashes.
"""

import hashlib
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

import fsspec
from fsspec.implementations.local import LocalFileSystem

from beholder.durable import FULL, flush_names, write_whole
from beholder.errors import (
    BeholderError,
    InvalidInput,
    NotFound,
    ServiceUnavailable,
    StorageFull,
)
from beholder.remote import foreign, names, pieces, read, write
from beholder.urls import has_password, without_secrets

PROBE = ".room-"  # begins the name of what is written to see whether there is room
Parts = Sequence[bytes | memoryview]  # of a file
_PIECE = 1 << 20  # bytes
_ROUNDS = 3  # of a removal, while something may still be written there
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "created")  # as file systems say it


class Listed(NamedTuple):
    """What a folder holds. modified: seconds since the epoch."""

    name: str
    is_folder: bool
    bytes: int
    modified: float


class Files:
    """One folder or bucket. Methods raise StorageFull, NotFound or ServiceUnavailable."""

    def __init__(self, fs: Any, root: str) -> None:
        self._fs = fs
        self._root = root.rstrip("/")
        self._local = isinstance(fs, LocalFileSystem)
        self._named: set[str] = set()  # folders whose own names have been flushed

    @classmethod
    def open(cls, url: str) -> Self:
        """What is at an fsspec URL or a local path; nothing is created until something is put.

        Raises InvalidInput for S3's keys in the URL, where fsspec takes them for the bucket's name.
        """
        if url.startswith(("s3://", "s3a://")) and has_password(url):
            raise InvalidInput(
                "BEHOLDER_STORE_URL holds a key: write s3://BUCKET/PATH, and give the key as "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
            )
        try:
            fs, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError, OSError) as error:
            reason = " ".join(str(error).split())
            shown = without_secrets(url)
            raise ServiceUnavailable(
                f"the store {shown!r} can't be opened ({reason}): write a folder's path or "
                "s3://BUCKET/PATH as BEHOLDER_STORE_URL."
            ) from None
        # What other processes write and remove is to be seen: a list may be as old as this one.
        fs.dircache.use_listings_cache = False
        return cls(fs, root)

    def put(self, path: str, data: bytes | Parts, *, anew: bool = True) -> None:
        """Write a file, visible only once it is whole and, on a local disk, flushed to it.

        Where it is has to be flushed too, once for all files of a folder: `flush_names`.
        data: the whole, or its parts, which need no memory for being joined where they are large.
        anew: make the store's own folder where it is not there; else NotFound is raised.
        """
        with self._reported(path):
            self._write(path, data, flush=True, anew=anew)

    def flush_names(self, folder: str) -> None:
        """Have what was put into a folder be there after a power cut, for rows that speak of it."""
        if not self._local:
            return
        with self._reported(folder):
            full = self._full(folder)
            flush_names(full)
            while full != self._root and full not in self._named:
                above = os.path.dirname(full)
                flush_names(above)
                if full != self._full(folder):  # which is flushed once, and there are many
                    self._named.add(full)
                full = above

    def get(self, path: str) -> bytes:
        """A file's bytes. Raises NotFound when there is none."""
        with self._reported(path):
            full = self._full(path)
            return bytes(self._fs.cat_file(full)) if self._local else read(self._fs, full)

    def stream(self, path: str, *, begin: int = 0) -> Iterator[bytes]:
        """A file's bytes from one on, piece by piece, in constant memory.

        The file has more bytes than `begin`. Raises NotFound with the first piece, not before.
        """
        with self._reported(path):
            yield from self._pieces(self._full(path), begin)

    def probe(self, size: int, name: str) -> None:
        """Raise StorageFull unless `size` bytes more have room; name: of who asks, in letters."""
        path = f"{PROBE}{name}"
        try:
            self.put(path, secrets.token_bytes(size))  # zeros might be kept as a hole
        finally:
            self.remove(path)

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        with self._reported(path):
            return bool(self._fs.exists(self._full(path)))

    def remove_folder(self, path: str) -> None:
        """Remove a folder with what is in it; nothing happens when it is not there."""
        with self._reported(path):
            full, rounds = self._full(path), 0
            while self._has(full):
                if rounds == _ROUNDS:  # S3 says so of each file, in an answer that is no error
                    raise ServiceUnavailable(
                        f"the store {self} keeps {path}, which can't be removed: see to the right "
                        "to delete there."
                    )
                with suppress(FileNotFoundError):  # another removes it too, and will have done so
                    self._fs.rm(full, recursive=True)
                    rounds += 1

    def list(self, path: str) -> Iterator[Listed]:
        """What is in a folder, in no order; nothing when it is not there."""
        with self._reported(path):
            try:
                yield from self._listed(self._full(path))
            except FileNotFoundError:
                return

    def walk(self, path: str) -> Iterator[tuple[str, int]]:
        """The files in a folder and in those in it, by their paths from there, with their bytes.

        In no order; nothing when it is not there. On S3 that is one list, not one for each folder.
        """
        if "s3" in self._fs.protocol:
            with self._reported(path), suppress(FileNotFoundError):
                yield from names(self._fs, self._full(path))
            return
        for one in self.list(path):
            if one.is_folder:
                inside = self.walk(f"{path}/{one.name}")
                yield from ((f"{one.name}/{name}", size) for name, size in inside)
            else:
                yield one.name, one.bytes

    def digest(self, path: str) -> tuple[str, int]:
        """A file's SHA-256 in hex and its bytes, in constant memory. Raises NotFound."""
        with self._reported(path):
            return self._digest(self._full(path))

    def remove(self, path: str) -> None:
        """Remove a file; nothing happens when it is not there."""
        with self._reported(path), suppress(FileNotFoundError):
            self._fs.rm_file(self._full(path))

    def local_path(self, path: str) -> Path | None:
        """The file on this machine's disk, or None for a remote store."""
        return Path(self._full(path)) if self._local else None

    def __str__(self) -> str:
        return self._root if self._local else str(self._fs.unstrip_protocol(self._root))

    def _full(self, path: str) -> str:
        if path.startswith("/") or ".." in path.split("/"):
            raise ValueError(f"a path inside the store is relative and has no ..: {path!r}")
        return f"{self._root}/{path}" if path != "." else self._root

    def _has(self, full: str) -> bool:
        """Whether there is such a folder. On S3 it is its files, and no more than a name without:
        SeaweedFS lists that for minutes after the last of them went.
        """
        if "s3" not in self._fs.protocol:
            return bool(self._fs.exists(full))
        with suppress(FileNotFoundError):  # the bucket
            return any(True for _ in names(self._fs, full))
        return False

    def _write(self, path: str, data: bytes | Parts, *, flush: bool, anew: bool = True) -> None:
        parts = [data] if isinstance(data, bytes) else data
        if self._local:
            within = None if anew else self._root
            write_whole(self._full(path), parts, flush=flush, within=within)
        else:
            try:
                write(self._fs, self._full(path), parts)
            except FileNotFoundError:
                raise ServiceUnavailable(f"the store {self} is not there: make it first.") from None

    def _listed(self, full: str) -> Iterator[Listed]:
        if self._local:
            with os.scandir(full) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):  # removed while we look
                        stat = entry.stat(follow_symlinks=False)
                        folder = entry.is_dir(follow_symlinks=False)
                        yield Listed(entry.name, folder, stat.st_size, stat.st_mtime)
            return
        for info in self._fs.ls(full, detail=True):
            name, folder = info["name"].rstrip("/").rpartition("/")[2], info["type"] == "directory"
            if info["name"].rstrip("/") != full:  # some list a folder in itself
                yield Listed(name, folder, int(info["size"] or 0), modified(info))

    def _pieces(self, full: str, begin: int) -> Iterator[bytes]:
        if not self._local:
            yield from pieces(self._fs, full, begin)
            return
        with open(full, "rb") as file:
            file.seek(begin)
            while piece := file.read(_PIECE):
                yield piece

    def _digest(self, full: str) -> tuple[str, int]:
        sha256, size = hashlib.sha256(), 0
        for piece in self._pieces(full, 0):
            sha256.update(piece)
            size += len(piece)
        return sha256.hexdigest(), size

    @contextmanager
    def _reported(self, path: str) -> Iterator[None]:
        try:
            yield
        except (BeholderError, ValueError):
            raise
        except FileNotFoundError:
            raise NotFound(f"the store {self} has no {path}.") from None
        except OSError as error:
            if error.errno in FULL:
                raise StorageFull(f"no room left in the store {self}: free some space.") from None
            raise self._unusable(error) from None
        except Exception as error:
            if self._local or not foreign(error):
                raise
            raise self._unusable(error) from None

    def _unusable(self, error: Exception) -> ServiceUnavailable:
        reason = " ".join(str(error).split())
        return ServiceUnavailable(f"the store {self} can't be used: {reason}")


def modified(info: dict[str, Any]) -> float:
    """When a remote file was written (epoch); where that is not said, now: then it stays."""
    found = next((info[key] for key in _TIMES if info.get(key)), None)
    if isinstance(found, datetime):
        return found.timestamp()
    return float(found) if isinstance(found, int | float) else time.time()

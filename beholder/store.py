"""The store of pictures and results: a local folder, or anything that fsspec reaches (s3://...).

A file is there whole or not at all. Paths are relative, with forward slashes:
`pictures/<2 hex>/<sha256>` and `results/<job>/<token>/<name>`, where the token is that of the claim
under which a worker wrote; so no two workers ever write the same file. The exception are
`checkpoints/<job>/<position>`, which say the same whoever wrote them.
"""

import errno
import hashlib
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from beholder.aside import aside, bring_back
from beholder.durable import flush_filesystem, write_whole
from beholder.errors import (
    BeholderError,
    InvalidInput,
    NotFound,
    PictureError,
    ServiceUnavailable,
    StorageFull,
)
from beholder.remote import foreign, read, write
from beholder.urls import has_password, without_secrets

CHECKPOINTS = "checkpoints"
PROBE = ".room-"  # begins the name of what is written to see whether there is room
Parts = Sequence[bytes | memoryview]  # of a file
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_PIECE = 1 << 20  # bytes
_LOOKS = 2  # at what came over a network, and is not what was sent
_FRESH_S = 3600.0  # a remote picture brought again is rewritten once it is older than this
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "created")  # as file systems say it


def picture_path(sha256: str) -> str:
    """Where the picture with this hash (64 hex digits) is kept."""
    return f"pictures/{sha256[:2]}/{sha256}"


def job_folder(job_id: str) -> str:
    """The folder with all of a job's results."""
    return f"results/{job_id}"


def checkpoint_folder(job_id: str) -> str:
    """The folder with what a job's long dreams go on from; nobody needs it once the job ended."""
    return f"{CHECKPOINTS}/{job_id}"


def checkpoint_path(job_id: str, position: int) -> str:
    """Where an item's checkpoint is kept, whoever works on it; nobody needs it once it is done."""
    return f"{checkpoint_folder(job_id)}/{position:07d}"


def result_folder(job_id: str, token: str) -> str:
    """The folder that a claim's results go to."""
    return f"{job_folder(job_id)}/{token}"


class Listed(NamedTuple):
    """What a folder holds. modified: seconds since the epoch."""

    name: str
    is_folder: bool
    bytes: int
    modified: float


class Store:
    """One folder or bucket. Methods raise StorageFull, NotFound or ServiceUnavailable."""

    def __init__(self, fs: Any, root: str) -> None:
        self._fs = fs
        self._root = root.rstrip("/")
        self._local = isinstance(fs, LocalFileSystem)

    @classmethod
    def open(cls, url: str) -> "Store":
        """The store at an fsspec URL or a local path; nothing is created until something is put.

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
            raise ServiceUnavailable(f"the store {shown!r} can't be opened: {reason}") from None
        # What other processes write and remove is to be seen: a list may be as old as this one.
        fs.dircache.use_listings_cache = False
        return cls(fs, root)

    def put_picture(self, data: bytes, *, flush: bool = True) -> str:
        """Keep a picture once, whoever brings it; its SHA-256 in hex.

        One that is there counts as brought now, which keeps it from `drop_picture`.
        Without `flush` a power cut may take it back until `flush()` has returned. What that
        leaves is shorter than the picture, so one of its size is whole, and not written again.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        path = picture_path(sha256)
        with self._reported(path):
            if not self._brought_again(path, len(data)):
                self._write(path, data, flush=flush)
        return sha256

    def flush(self) -> None:
        """Make sure that what was put without flushing survives a power cut."""
        with self._reported("pictures"):
            if self._local and Path(self._root).is_dir():
                flush_filesystem(self._root)

    def picture(self, sha256: str) -> bytes:
        """The bytes of the picture with this hash.

        What comes over a network is held against it: raises PictureError for others, twice.
        """
        path = picture_path(sha256)
        for _ in range(_LOOKS):
            data = self.get(path)
            if self._local or hashlib.sha256(data).hexdigest() == sha256:
                return data
        raise PictureError(
            f"{path} is damaged in the store: `beholder verify --mend` removes it, then send it "
            "again."
        )

    def put(self, path: str, data: bytes | Parts) -> None:
        """Write a file, visible only once it is whole and, on a local disk, flushed to it.

        data: the whole, or its parts, which need no memory for being joined where they are large.
        """
        with self._reported(path):
            self._write(path, data, flush=True)

    def get(self, path: str) -> bytes:
        """A file's bytes. Raises NotFound when there is none."""
        with self._reported(path):
            full = self._full(path)
            return bytes(self._fs.cat_file(full)) if self._local else read(self._fs, full)

    def stream(self, path: str, *, begin: int = 0) -> Iterator[bytes]:
        """A file's bytes from one on, piece by piece, in constant memory. Raises NotFound at once.

        The file has more bytes than `begin`.
        """
        with self._reported(path), self._open(self._full(path)) as file:
            file.seek(begin)
            while piece := file.read(_PIECE):
                yield piece

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
            full = self._full(path)
            if self._fs.exists(full):
                self._fs.rm(full, recursive=True)

    def list(self, path: str) -> Iterator[Listed]:
        """What is in a folder, in no order; nothing when it is not there."""
        with self._reported(path):
            try:
                yield from self._listed(self._full(path))
            except FileNotFoundError:
                return

    def digest(self, path: str) -> tuple[str, int]:
        """A file's SHA-256 in hex and its bytes, in constant memory. Raises NotFound."""
        with self._reported(path):
            return self._digest(self._full(path))

    def remove(self, path: str) -> None:
        """Remove a file; nothing happens when it is not there."""
        with self._reported(path), suppress(FileNotFoundError):
            self._fs.rm_file(self._full(path))

    def drop_picture(self, sha256: str, *, before: float) -> bool:
        """Remove a picture that nobody has brought since `before` (epoch); whether that was so.

        On a local disk it is moved aside first: whoever brings it again either marks it before,
        which is seen then, or finds none and writes it anew. A remote store can't do that, and
        leaves the moment between a look at the picture's time and its removal.
        """
        with self._aside(sha256) as full:
            old = _modified(self._fs.info(full)) < before
            if old:
                self._fs.rm_file(full)
            return old

    def drop_damaged(self, sha256: str) -> bool:
        """Remove a picture whose bytes are not its own; whether that was so. Raises NotFound."""
        if self.digest(picture_path(sha256))[0] == sha256:
            return False
        with self._aside(sha256) as full:  # it may have been brought again since we looked
            damaged = self._digest(full)[0] != sha256
            if damaged:
                self._fs.rm_file(full)
            return damaged

    def restore_away(self, sha256: str) -> None:
        """Bring back what a `drop_picture` that was killed has moved aside."""
        path = picture_path(sha256)
        with self._reported(path):
            if self._local:
                bring_back(self._full(path))

    def local_path(self, path: str) -> Path | None:
        """The file on this machine's disk, or None for a remote store."""
        return Path(self._full(path)) if self._local else None

    def __str__(self) -> str:
        return self._root if self._local else str(self._fs.unstrip_protocol(self._root))

    def _full(self, path: str) -> str:
        if path.startswith("/") or ".." in path.split("/"):
            raise ValueError(f"a path inside the store is relative and has no ..: {path!r}")
        return f"{self._root}/{path}" if path != "." else self._root

    def _write(self, path: str, data: bytes | Parts, *, flush: bool) -> None:
        parts = [data] if isinstance(data, bytes) else data
        if self._local:
            write_whole(self._full(path), parts, flush=flush)
        else:
            try:
                write(self._fs, self._full(path), parts)
            except FileNotFoundError:
                raise ServiceUnavailable(f"the store {self} is not there: make it first.") from None

    def _brought_again(self, path: str, size: int) -> bool:
        """Whether the picture is there whole; its time is that of who brought it last."""
        full = self._full(path)
        try:
            if self._local:
                if os.stat(full).st_size != size:
                    return False
                os.utime(full)
                return True
            info = self._fs.info(full)
        except (FileNotFoundError, PermissionError):
            return False
        return int(info["size"]) == size and time.time() - _modified(info) < _FRESH_S

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
                yield Listed(name, folder, int(info["size"] or 0), _modified(info))

    def _open(self, full: str) -> IO[bytes]:
        return open(full, "rb") if self._local else cast(IO[bytes], self._fs.open(full, "rb"))

    def _digest(self, full: str) -> tuple[str, int]:
        sha256, size = hashlib.sha256(), 0
        with self._open(full) as file:
            while piece := file.read(_PIECE):
                sha256.update(piece)
                size += len(piece)
        return sha256.hexdigest(), size

    @contextmanager
    def _aside(self, sha256: str) -> Iterator[str]:
        """The full path of a picture that nobody sees meanwhile; where it was on a remote store."""
        path = picture_path(sha256)
        full = self._full(path)
        with self._reported(path), aside(full) if self._local else nullcontext(full) as held:
            yield held

    @contextmanager
    def _reported(self, path: str) -> Iterator[None]:
        try:
            yield
        except (BeholderError, ValueError):
            raise
        except FileNotFoundError:
            raise NotFound(f"the store {self} has no {path}.") from None
        except OSError as error:
            if error.errno in _FULL:
                raise StorageFull(f"no room left in the store {self}: free some space.") from None
            raise self._unusable(error) from None
        except Exception as error:
            if self._local or not foreign(error):
                raise
            raise self._unusable(error) from None

    def _unusable(self, error: Exception) -> ServiceUnavailable:
        reason = " ".join(str(error).split())
        return ServiceUnavailable(f"the store {self} can't be used: {reason}")


def _modified(info: dict[str, Any]) -> float:
    """When a remote file was written; where that is not said, now: then nobody removes it."""
    found = next((info[key] for key in _TIMES if info.get(key)), None)
    if isinstance(found, datetime):
        return found.timestamp()
    return float(found) if isinstance(found, int | float) else time.time()

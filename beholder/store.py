"""The store of pictures and results: a local folder, or anything that fsspec reaches (s3://...).

A file is there whole or not at all. Paths are relative, with forward slashes:
`pictures/<2 hex>/<sha256>` and `results/<job>/<token>/<name>`, where the token is that of the claim
under which a worker wrote; so no two workers ever write the same file.
"""

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from beholder.errors import BeholderError, NotFound, ServiceUnavailable, StorageFull

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def picture_path(sha256: str) -> str:
    """Where the picture with this hash (64 hex digits) is kept."""
    return f"pictures/{sha256[:2]}/{sha256}"


def job_folder(job_id: str) -> str:
    """The folder with all of a job's results."""
    return f"results/{job_id}"


def result_folder(job_id: str, token: str) -> str:
    """The folder that a claim's results go to."""
    return f"{job_folder(job_id)}/{token}"


class Store:
    """One folder or bucket. Methods raise StorageFull, NotFound or ServiceUnavailable."""

    def __init__(self, fs: Any, root: str) -> None:
        self._fs = fs
        self._root = root.rstrip("/")
        self._local = isinstance(fs, LocalFileSystem)

    @classmethod
    def open(cls, url: str) -> "Store":
        """The store at an fsspec URL or a local path; nothing is created until something is put."""
        try:
            fs, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise ServiceUnavailable(f"the store {url!r} can't be opened: {reason}") from None
        return cls(fs, root)

    def put_picture(self, data: bytes) -> str:
        """Keep a picture once, whoever brings it; its SHA-256 in hex."""
        sha256 = hashlib.sha256(data).hexdigest()
        path = picture_path(sha256)
        if not self.exists(path):
            self.put(path, data)
        return sha256

    def picture(self, sha256: str) -> bytes:
        """The bytes of the picture with this hash."""
        return self.get(picture_path(sha256))

    def put(self, path: str, data: bytes) -> None:
        """Write a file, visible only once it is whole and, on a local disk, flushed to it."""
        with self._reported(path):
            if self._local:
                _write_local(Path(self._full(path)), data)
            else:
                self._fs.pipe_file(self._full(path), data)

    def get(self, path: str) -> bytes:
        """A file's bytes. Raises NotFound when there is none."""
        with self._reported(path):
            return bytes(self._fs.cat_file(self._full(path)))

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

    def local_path(self, path: str) -> Path | None:
        """The file on this machine's disk, or None for a remote store."""
        return Path(self._full(path)) if self._local else None

    def __str__(self) -> str:
        return self._root if self._local else str(self._fs.unstrip_protocol(self._root))

    def _full(self, path: str) -> str:
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts:
            raise ValueError(f"a path inside the store is relative and has no ..: {path!r}")
        return f"{self._root}/{parts}"

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
                raise StorageFull(
                    f"no room left in the store {self}: free some space, then try again."
                ) from None
            reason = " ".join(str(error).split())
            raise ServiceUnavailable(f"the store {self} can't be used: {reason}") from None


def _write_local(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Hidden, and unique to the writer: two may bring the same picture at the same time.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise

"""The store of pictures and results: `Store`, and where in it each thing is kept.

`pictures/<2 hex>/<sha256>` and `results/<job>/<token>/<name>`, where the token is that of the claim
under which a worker wrote; so no two workers ever write the same file. The exception are
`checkpoints/<job>/<position>`, which say the same whoever wrote them. files.py moves the bytes.
"""

import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from beholder.aside import aside, bring_back
from beholder.durable import flush_filesystem
from beholder.errors import PictureError
from beholder.files import Files, modified

CHECKPOINTS = "checkpoints"
FOLDERS = tuple(f"{number:02x}" for number in range(256))  # of pictures
_LOOKS = 2  # at what came over a network, and is not what was sent
_THREADS = 16  # that ask a remote store, of one picture each, whoever wants to know
_FRESH_S = 3600.0  # a remote picture brought again is rewritten once it is older than this


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


def damaged(sha256: str) -> PictureError:
    """What there is to say of a kept picture whose bytes are not its own."""
    return PictureError(
        f"{picture_path(sha256)} is damaged in the store: `beholder verify --mend` removes it, "
        "then send it again."
    )


class Store(Files):
    """The files, and pictures among them, each kept once under its hash."""

    def __init__(self, fs: Any, root: str) -> None:
        super().__init__(fs, root)
        self._asking = ThreadPoolExecutor(_THREADS, "store")  # starts none before it is asked

    def put_picture(self, data: bytes, *, flush: bool = True, sure: bool = False) -> str:
        """Keep a picture once, whoever brings it; its SHA-256 in hex.

        One that is there counts as brought now, which keeps it from `drop_picture`.
        Without `flush` a power cut may take it back until `flush()` has returned. What that
        leaves is shorter than the picture, so one of its size is whole, and not written again;
        unless `sure` reads it, and finds it damaged.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        path = picture_path(sha256)
        with self._reported(path):
            here = self._brought_again(path, len(data))
            if not here or (sure and self._digest(self._full(path))[0] != sha256):
                self._write(path, data, flush=flush)
                if flush:
                    self.flush_names(os.path.dirname(path))
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
        raise damaged(sha256)

    def lacking(self, sizes: Mapping[str, int]) -> set[str]:
        """Those of these pictures, bytes by hash, that are not here with so many bytes.

        What a damaged one has of the same length only `digest` tells.
        """

        def lacks(sha256: str) -> bool:
            path = picture_path(sha256)
            with self._reported(path):
                return self._length(self._full(path)) != sizes[sha256]

        if self._local:
            return set(filter(lacks, sizes))
        found = self._asking.map(lacks, sizes)
        return {sha256 for sha256, it in zip(sizes, found, strict=True) if it}

    def drop_picture(self, sha256: str, *, before: float) -> bool:
        """Remove a picture that nobody has brought since `before` (epoch); whether that was so.

        On a local disk it is moved aside first: whoever brings it again either marks it before,
        which is seen then, or finds none and writes it anew. A remote store can't do that, and
        leaves the moment between a look at the picture's time and its removal.
        """
        with self._aside(sha256) as full:
            old = modified(self._fs.info(full)) < before
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
        return int(info["size"]) == size and time.time() - modified(info) < _FRESH_S

    def _length(self, full: str) -> int | None:
        """A file's bytes; None where it is not there, which a bucket may call forbidden."""
        try:
            return os.stat(full).st_size if self._local else int(self._fs.info(full)["size"])
        except (FileNotFoundError, PermissionError):
            return None

    @contextmanager
    def _aside(self, sha256: str) -> Iterator[str]:
        """The full path of a picture that nobody sees meanwhile; where it was on a remote store."""
        path = picture_path(sha256)
        full = self._full(path)
        with self._reported(path), aside(full) if self._local else nullcontext(full) as held:
            yield held

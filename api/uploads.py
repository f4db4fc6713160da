"""Pictures sent ahead in pieces: `Uploads`, a folder of files that grow until they are whole.

What has arrived is on the disk, so an upload goes on after a broken line or a restart.
"""

import fcntl
import hashlib
import json
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from anyio import CapacityLimiter
from starlette.concurrency import run_in_threadpool

from api.problems import RoomTaken, TooLarge
from beholder.errors import Conflict, InvalidInput, NotFound, StorageFull
from beholder.upkeep.garbage import is_given_up

READ_AT_ONCE = 2  # whole ones, which are in memory then
_INFO, _DATA = "info.json", "data"


@dataclass(frozen=True)
class Upload:
    """One upload. bytes, sha256: of the whole; offset: how many bytes are here. owner: whose."""

    id: str
    bytes: int
    sha256: str
    offset: int
    owner: str = ""


class Uploads:
    """The uploads of one server. total_bytes: how much room all of them may take.

    reading: who reads a whole one, each in a thread besides those of other requests.
    """

    def __init__(self, folder: Path, *, total_bytes: int) -> None:
        self._folder = folder
        self._total_bytes = total_bytes
        self.reading = CapacityLimiter(READ_AT_ONCE)

    def create(self, size: int, sha256: str, owner: str = "") -> Upload:
        """Begin one, or find what its owner has begun of the same bytes.

        Those left alone for a day are dropped. Raises TooLarge, StorageFull, and RoomTaken where
        it has to wait for others to be finished.
        """
        fresh = list(self._fresh())
        same = (one for one in fresh if (one.bytes, one.sha256, one.owner) == (size, sha256, owner))
        if begun := next(same, None):
            return begun
        if size > self._total_bytes:
            raise TooLarge(
                f"all uploads may have {self._total_bytes:,} bytes; this alone has {size:,}."
            )
        taken = sum(upload.bytes for upload in fresh)
        if taken + size > self._total_bytes:
            raise RoomTaken(
                f"unfinished uploads take {taken:,} bytes of {self._total_bytes:,}: finish or "
                "delete some, or try again later."
            )
        upload = Upload(secrets.token_hex(8), size, sha256, 0, owner)
        folder = self._folder / upload.id
        try:
            folder.mkdir(mode=0o700, parents=True)
            (folder / _DATA).touch()
            (folder / _INFO).write_text(json.dumps(asdict(upload)), encoding="utf-8")
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise _no_room(error) from None
        return upload

    def get(self, upload_id: str) -> Upload:
        """How far an upload is. Raises NotFound."""
        folder = self._folder / upload_id
        try:
            info = json.loads((folder / _INFO).read_text(encoding="utf-8"))
            return Upload(**{**info, "offset": (folder / _DATA).stat().st_size})
        except (FileNotFoundError, ValueError):
            raise _unknown(upload_id) from None

    def drop(self, upload_id: str) -> None:
        """Forget an upload and what has arrived of it. Raises NotFound."""
        self.get(upload_id)
        shutil.rmtree(self._folder / upload_id, ignore_errors=True)

    async def append(self, upload_id: str, offset: int, body: AsyncIterator[bytes]) -> Upload:
        """Add what comes, from `offset` on. Raises Conflict where that is not the next byte."""
        upload = self.get(upload_id)
        with self._locked(upload_id) as file:
            here = file.seek(0, 2)
            if offset != here:
                raise Conflict(
                    f"upload {upload_id} goes on at byte {here:,}, not at {offset:,}: ask "
                    "with HEAD."
                )
            async for piece in body:
                here += len(piece)
                if here > upload.bytes:
                    raise InvalidInput(
                        f"upload {upload_id} was announced with {upload.bytes:,} bytes."
                    )
                await run_in_threadpool(_write, file, piece)
        return self.get(upload_id)

    def whole(self, upload: Upload) -> bytes:
        """A complete upload's bytes. Raises InvalidInput if they are not as announced."""
        try:
            data = (self._folder / upload.id / _DATA).read_bytes()
        except FileNotFoundError:
            raise _unknown(upload.id) from None  # another request has finished it meanwhile
        if hashlib.sha256(data).hexdigest() != upload.sha256:
            self.drop(upload.id)
            raise InvalidInput(
                f"the bytes of upload {upload.id} are not those of {upload.sha256[:12]}...: "
                "begin again."
            )
        return data

    @contextmanager
    def _locked(self, upload_id: str) -> Iterator[IO[bytes]]:
        with (self._folder / upload_id / _DATA).open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Conflict(
                    f"upload {upload_id} is being written: wait for that request to end."
                ) from None
            yield file

    def _fresh(self) -> Iterator[Upload]:
        for folder in self._folder.glob("*/"):
            try:
                if is_given_up(folder, time.time()):
                    shutil.rmtree(folder, ignore_errors=True)
                else:
                    yield self.get(folder.name)
            except (FileNotFoundError, NotFound):
                continue  # ended meanwhile


def _write(file: IO[bytes], piece: bytes) -> None:
    try:
        file.write(piece)
        file.flush()
    except OSError as error:
        raise _no_room(error) from None


def _no_room(error: OSError) -> StorageFull:
    return StorageFull(f"no room for uploads ({error.strerror}): try again later.")


def _unknown(upload_id: str) -> NotFound:
    return NotFound(
        f"no upload {upload_id!r}: it has ended, or nothing came for a day. Begin again."
    )

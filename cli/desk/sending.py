"""Pictures on their way to a server: `Sender` sends those that it lacks, several at a time.

A large one goes in pieces, and goes on where the line broke, in this command or in the next.
"""

import hashlib
import os
from collections.abc import Generator, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from beholder.errors import Conflict, InvalidInput, NotFound, PictureError, ServiceUnavailable
from beholder.intake import Found, find_pictures, read_file, spread
from beholder.jobs.spool import Entry, Role, StoredPicture
from beholder.pictures import peek
from cli.desk.reading import read
from cli.desk.refusals import TooLarge
from cli.desk.wire import Wire

THREADS = 8  # each with one picture in memory, and one on its way
TOGETHER = 32  # pictures that one question is about
PIECE = 4 << 20  # bytes; what is larger can go on after a cut
BYTES = "application/octet-stream"
_TRIES = 8  # pieces in a row of which nothing arrives
_PAUSE_S = 0.25


class Sender:
    """max_pixels, max_bytes: of a picture that the server takes."""

    def __init__(self, wire: Wire, *, max_pixels: int, max_bytes: int) -> None:
        self._wire = wire
        self._max_pixels = max_pixels
        self._max_bytes = max_bytes

    def take_in(self, found: Iterable[Found], role: Role | None) -> Generator[Entry]:
        """Have the server keep the pictures; of each, in order, its hash or what is wrong."""

        def take(batch: list[Found]) -> list[Entry]:
            return self._take(batch, role)

        give_up = self._wire.hurry.set
        return spread(found, take, threads=THREADS, together=TOGETHER, on_break=give_up)

    def take_one(self, file: Path) -> StoredPicture:
        """Have the server keep one picture. Raises InvalidInput for what is none."""
        (found,) = find_pictures((file,), ())
        (entry,) = self._take([found], None)
        if entry.picture is None:
            raise InvalidInput(f"{found.source}: {entry.error}")
        return entry.picture

    def kept(self, sha256: str) -> StoredPicture:
        """What the server knows of a picture that somebody is about to name. Raises NotFound."""
        if self._missing([sha256]):
            raise NotFound(f"{self._wire.url} has no picture {sha256[:12]}...")
        return read(StoredPicture, self._wire.get(f"/v1/pictures/{sha256}"))

    def _take(self, batch: list[Found], role: Role | None) -> list[Entry]:
        entries = [self._look(one, role) for one in batch]
        here = dict.fromkeys(one.picture.sha256 for one in entries if one.picture)
        missing = set(self._missing(list(here)))
        for number, (one, entry) in enumerate(zip(batch, entries, strict=True)):
            if entry.picture and entry.picture.sha256 in missing:
                entries[number] = sent = self._sent(one, entry)
                if sent.picture:  # else the next of the same bytes is not there yet either
                    missing.discard(sent.picture.sha256)
        return entries

    def _look(self, found: Found, role: Role | None) -> Entry:
        """A picture by its hash, or what is wrong with it, so that it need not be sent."""
        try:
            self._insist_on_size(found.path)
            data = read_file(found.path)
            info = peek(data, max_pixels=self._max_pixels)
        except PictureError as error:
            return Entry(found.source, None, role=role, group=found.group, error=str(error))
        sha256 = hashlib.sha256(data).hexdigest()
        picture = StoredPicture(sha256, info.width, info.height, info.format, len(data))
        return Entry(found.source, picture, role=role, group=found.group)

    def _insist_on_size(self, path: str) -> None:
        try:
            size = os.stat(path).st_size
        except OSError:
            return  # whoever reads it says why it can't be read
        if size > self._max_bytes:
            raise PictureError(
                f"the file has {size:,} bytes, and the server takes {self._max_bytes:,} at most."
            )

    def _missing(self, hashes: list[str]) -> list[str]:
        if not hashes:
            return []
        found = self._wire.ask("POST", "/v1/pictures/missing", body={"sha256": hashes}, again=True)
        missing: list[str] = found["missing"]
        return missing

    def _sent(self, found: Found, entry: Entry) -> Entry:
        """The entry once its picture is at the server, or with what the server says of it."""
        try:
            # Read again: kept until it is known what is missing, a batch would fill the memory.
            data = read_file(found.path)
            send = self._in_pieces if len(data) > PIECE else self._at_once
            return replace(entry, picture=send(data))
        except (PictureError, TooLarge) as error:
            return replace(entry, picture=None, error=str(error))

    def _at_once(self, data: bytes) -> StoredPicture:
        _, row = self._wire.send("POST", "/v1/pictures", data, BYTES, again=True)
        return read(StoredPicture, row)

    def _in_pieces(self, data: bytes) -> StoredPicture:
        sha256 = hashlib.sha256(data).hexdigest()
        upload = self._announce(data, sha256)
        stuck = 0
        while stuck < _TRIES:
            before = upload["offset"]
            try:
                upload = self._piece(upload, data)
                if upload["picture"]:
                    return read(StoredPicture, upload["picture"])
            except NotFound:  # it has ended: whole, while the answer was lost, or by another
                with suppress(NotFound):
                    return self.kept(sha256)
                upload = self._announce(data, sha256)
            stuck = 0 if upload["offset"] > before else stuck + 1
            self._wire.hurry.wait(_PAUSE_S * stuck)  # the server may still be at what broke off
        raise ServiceUnavailable(
            f"{self._wire.url} takes no more of an upload: submit again, and it goes on from there."
        )

    def _announce(self, data: bytes, sha256: str) -> dict[str, Any]:
        """A new upload, or the one that a cut left behind."""
        about = {"bytes": len(data), "sha256": sha256}
        upload: dict[str, Any] = self._wire.ask("POST", "/v1/uploads", body=about, again=True)
        return upload

    def _piece(self, upload: dict[str, Any], data: bytes) -> dict[str, Any]:
        """The upload after one more piece, or, where that broke off, as it is now."""
        path, offset = f"/v1/uploads/{upload['id']}", upload["offset"]
        piece = memoryview(data)[offset : offset + PIECE]
        headers = {"Upload-Offset": str(offset)}
        try:
            _, sent = self._wire.send("PATCH", path, bytes(piece), BYTES, headers=headers)
        except (ServiceUnavailable, Conflict):
            sent = self._wire.get(path)
        row: dict[str, Any] = sent
        return row

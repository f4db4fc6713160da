"""Fetching one file over HTTP: `fetch` streams it, checks its hash and only then gives it its name.

torch.hub can do the same but waits forever on a silent server; a worker must not.
"""

import contextlib
import hashlib
import sys
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from http.client import HTTPException
from pathlib import Path
from threading import Thread
from typing import IO
from urllib.request import Request, urlopen

from beholder.durable import NO_ROOM, has_room
from beholder.errors import NetworkUnavailable, StorageFull

_CHUNK = 1 << 18  # bytes a read
_LOOK_S = 0.2
Piece = tuple[bytes, int | None]  # with the whole's length in bytes, where the server told it


class Unreachable(Exception):
    """The server can't be reached, refuses, or fell silent; str() says which."""


def fetch(
    url: str,
    target: Path,
    *,
    hash_prefix: str,
    progress: bool = False,
    timeout_s: float = 15.0,
    look: Callable[[], object] | None = None,
) -> None:
    """Download `url` to `target`; its SHA-256 must begin with `hash_prefix`.

    The bytes go to a temporary file beside `target`, renamed when they are whole and right, so that
    several processes may fetch the same file at once. `timeout_s` bounds connecting and each
    silence, not the whole; `look` is called every moment, and what it raises ends it. Proxies are
    taken from the environment. Raises Unreachable; NetworkUnavailable for wrong bytes or a folder
    that can't be written; StorageFull, where the server tells the size before anything is fetched
    in vain.
    """
    with _temporary(target) as (path, file):
        digest = hashlib.sha256()
        bar = _Bar(target.name, sys.stderr if progress else None)
        chunks = _chunks(url, timeout_s)
        for chunk, total in chunks if look is None else _looked_after(chunks, look):
            if bar.done == 0 and total and not has_room(target.parent, total):
                raise _no_room(target, total)
            file.write(chunk)
            digest.update(chunk)
            bar.advance(len(chunk), total)
        bar.close()
        file.close()
        if not digest.hexdigest().startswith(hash_prefix):
            raise NetworkUnavailable(
                f"what {url} sent is not {target.name}: its SHA-256 begins with "
                f"{digest.hexdigest()[: len(hash_prefix)]}, not {hash_prefix}. Try again, or copy "
                f"the file to {target.parent} from another machine."
            )
        path.replace(target)


def sha256_of(path: Path) -> str:
    """A file's SHA-256 as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _looked_after(chunks: Iterator[Piece], look: Callable[[], object]) -> Iterator[Piece]:
    """The same pieces, each waited for on a thread: a server may be slow, or silent, for long.

    Where `look` raises, the thread is left to it: no process waits for it to end.
    """
    while True:
        piece: Future[Piece | None] = Future()
        Thread(target=_bring, args=(chunks, piece), name="download", daemon=True).start()
        while not wait([piece], _LOOK_S).done:
            look()
        if (found := piece.result()) is None:
            return
        yield found
        look()


def _bring(chunks: Iterator[Piece], piece: "Future[Piece | None]") -> None:
    try:
        piece.set_result(next(chunks, None))
    except BaseException as error:
        piece.set_exception(error)


def _chunks(url: str, timeout_s: float) -> Iterator[Piece]:
    """The body in pieces."""
    try:
        with urlopen(Request(url, headers={"User-Agent": "beholder"}), timeout=timeout_s) as body:
            length = body.headers.get("Content-Length", "")
            while chunk := _read(body):
                yield chunk, int(length) if length.isdecimal() else None
    except (OSError, HTTPException) as error:  # URLError and timeouts are OSErrors
        raise Unreachable(" ".join(str(error).split()) or type(error).__name__) from None


def _read(body: IO[bytes]) -> bytes:
    return body.read(_CHUNK)


@contextlib.contextmanager
def _temporary(target: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """A new file beside `target`, gone afterwards unless it was renamed."""
    path = target.with_name(f"{target.name}.{uuid.uuid4().hex}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            yield path, file
    except OSError as error:
        if error.errno in NO_ROOM:
            raise _no_room(target, 0) from None
        raise NetworkUnavailable(
            f"{target.name} can't be written to {target.parent}: {error.strerror or error}."
        ) from None
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def _no_room(target: Path, size: int) -> StorageFull:
    much = f" ({size / 1e6:.0f} MB)" if size else ""
    words = f"no room for {target.name}{much} in {target.parent}: free some space there."
    return StorageFull(words, folder=target.parent, size=size)


class _Bar:
    """A line on `stream` that says how far a download is; silent without a stream."""

    def __init__(self, name: str, stream: IO[str] | None) -> None:
        self._name, self._stream = name, stream
        self.done = 0
        self._shown = ""

    def advance(self, count: int, total: int | None) -> None:
        self.done += count
        text = f"{self._name}: {self.done / 1e6:.0f} MB"
        if total:
            share = min(self.done / total, 1.0)
            filled = int(30 * share)
            text = f"{self._name} [{'#' * filled}{'.' * (30 - filled)}] {share:4.0%} of "
            text += f"{total / 1e6:.0f} MB"
        if self._stream is not None and text != self._shown:
            self._stream.write(f"\r{text}")
            self._stream.flush()
            self._shown = text

    def close(self) -> None:
        if self._stream is not None:
            self._stream.write("\n")
            self._stream.flush()

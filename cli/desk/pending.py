"""Requests that may have been cut off: `pending_key` gives the same request the same key again.

A job is made by one request. Where its answer does not arrive, nobody here knows whether there is a
job; so the request's key is kept in a file until it does, for whoever asks the same again.
"""

import hashlib
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from cli.files import reported

_PIECE = 1 << 20
FORGOTTEN_S = 24 * 3600.0  # who asks the same a day later means another job


@contextmanager
def pending_key(folder: Path, address: str, body: IO[bytes]) -> Iterator[str]:
    """The key for this request, kept in `folder` until the block ends without an error."""
    path = folder / _digest(address, body)
    with reported(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = _kept(path) or _new(path)
    yield key
    path.unlink(missing_ok=True)


def _digest(address: str, body: IO[bytes]) -> str:
    digest = hashlib.sha256(address.encode())
    body.seek(0)
    while piece := body.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest()


def _kept(path: Path) -> str | None:
    try:
        if time.time() - path.stat().st_mtime > FORGOTTEN_S:
            return None
        return path.read_text(encoding="ascii").strip() or None
    except (FileNotFoundError, ValueError):
        return None


def _new(path: Path) -> str:
    for old in path.parent.iterdir():
        if _kept(old) is None:
            old.unlink(missing_ok=True)
    key = f"beholder-{secrets.token_hex(16)}"
    path.write_text(key, encoding="ascii")
    return key

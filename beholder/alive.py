"""Which workers of this machine have surely ended: `Locks` tells, and a worker is `Alive`.

Each holds a lock on a file in the data folder that the kernel drops when its process ends, however
that came. So whoever asks on the same machine knows at once, and waits for no lease.
"""

import fcntl
import os
import re
import secrets
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

STRANGER_S = 86_400.0  # after which what another host name left behind is nobody's
_NAME = re.compile(r"([^/]+)-\d+-[0-9a-f]{6}")  # host, process id, and what is its own


def worker_name() -> str:
    """A name for this process that no other has had: containers may share host names and ids."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


class Locks:
    """The locks of this machine's workers, in a data folder. Where there are none, leases do alone.

    home: the data folder.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / "workers"

    def is_dead(self, name: str) -> bool:
        """Whether the worker of this name ran here and has ended; False where it can't be told."""
        if not _ran_here(name):  # of another machine's lock only that machine knows for certain
            return False
        try:
            with (self._folder / name).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:  # it is held, or there is none
            return False
        return True

    def ended(self) -> list[str]:
        """The names of those that ran here and have ended."""
        return [path.name for path in self._folder.glob("*") if self.is_dead(path.name)]

    def forget_strangers(self, now: float) -> None:
        """Remove what nobody holds nor has touched for a day, of host names that are not ours.

        Containers that are made anew have a new one over the same data folder. now: seconds since
        the epoch.
        """
        for path in self._folder.glob("*"):
            with suppress(OSError), path.open("rb") as file:
                if not _ran_here(path.name) and now - path.stat().st_mtime > STRANGER_S:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    path.unlink()

    def silence(self, now: float) -> float | None:
        """How long ago, in seconds, any of this machine's workers said a word; None without one.

        now: seconds since the epoch.
        """
        heard = [
            path.stat().st_mtime
            for path in self._folder.glob("*")
            if _ran_here(path.name) and not self.is_dead(path.name)
        ]
        return now - max(heard) if heard else None

    def forget(self, names: Sequence[str]) -> None:
        """Remove the files of these, once what they left goes on elsewhere."""
        for name in names:
            (self._folder / name).unlink(missing_ok=True)


class Alive(Locks):
    """The same, with a lock of this process's own."""

    def __init__(self, home: Path, name: str) -> None:
        """Say that the worker of this name lives, from now until its process ends."""
        super().__init__(home)
        self.forget_strangers(time.time())
        self._file = _locked(self._folder, name)

    def say_so(self) -> None:
        """For those who ask how long this worker has been silent."""
        if self._file is not None:
            os.utime(self._file.fileno())


def _ran_here(name: str) -> bool:
    match = _NAME.fullmatch(name)
    return match is not None and match[1] == socket.gethostname()


def _locked(folder: Path, name: str) -> IO[bytes] | None:
    hidden = folder / f".{name}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = hidden.open("ab")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        hidden.rename(folder / name)  # others see it locked, or not at all
    except OSError:
        return None
    return file

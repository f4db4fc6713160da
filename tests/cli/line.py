"""`Line`: a TCP line to a server on loopback that can be cut, and that counts what goes over it.

`submit` and `noise` give it something to carry.
"""

import io
import random
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

_REQUEST = re.compile(rb"\b(GET|HEAD|POST|PATCH|PUT|DELETE) (/[^ ]*) HTTP/1\.1\r\n")


@dataclass
class Line:
    """url: where clients connect. requests: each as "POST /v1/dreams", in order of arrival.

    up, down: bytes to and from the server. cut_up, cut_down: by how many more bytes each of the
    next connections is cut, one entry a cut. deaf: requests whose answers never arrive.
    """

    server: int
    url: str = ""
    requests: list[str] = field(default_factory=list)
    up: int = 0
    down: int = 0
    cut_up: list[int] = field(default_factory=list)
    cut_down: list[int] = field(default_factory=list)
    deaf: set[str] = field(default_factory=set)
    dead: bool = False
    _open: set[socket.socket] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def kill(self) -> None:
        """Cut all there is, and let nobody through until `revive`."""
        self.dead = True
        for one in list(self._open):
            _shut(one)

    def revive(self) -> None:
        """Let them through again."""
        self.dead = False

    def count(self, request: str) -> int:
        """How many requests began so."""
        return sum(one.startswith(request) for one in self.requests)

    def serve(self, listening: socket.socket) -> None:
        """Take connections until the socket is closed."""
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            if self.dead:
                _shut(client)
                continue
            server = socket.create_connection(("127.0.0.1", self.server))
            self._open |= {client, server}
            for way in (self._up, self._down):
                threading.Thread(target=way, args=(client, server), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        for data in _received(client):
            with self._lock:
                self.requests += [
                    b" ".join(found.groups()).decode() for found in _REQUEST.finditer(data)
                ]
                self.up += len(data)
                cut = self._is_cut(self.cut_up, len(data))
            with suppress(OSError):
                server.sendall(data[: cut if cut is not None else None])
            if cut is not None:
                break
        self._close(client, server)

    def _down(self, client: socket.socket, server: socket.socket) -> None:
        for data in _received(server):
            with self._lock:
                self.down += len(data)
                cut = self._is_cut(self.cut_down, len(data))
                if self.requests and self.requests[-1] in self.deaf:
                    cut = 0
            with suppress(OSError):
                client.sendall(data[: cut if cut is not None else None])
            if cut is not None:
                break
        self._close(client, server)

    def _is_cut(self, cuts: list[int], size: int) -> int | None:
        """After how many of these bytes the line is cut; None if it is not."""
        if not cuts:
            return None
        if cuts[0] > size:
            cuts[0] -= size
            return None
        return cuts.pop(0)

    def _close(self, *both: socket.socket) -> None:
        for one in both:
            _shut(one)
            self._open.discard(one)


@contextmanager
def line_to(url: str) -> Iterator[Line]:
    """A line to the server at this address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = urlsplit(url).port
        assert port is not None
        line = Line(port, f"http://127.0.0.1:{listening.getsockname()[1]}")
        threading.Thread(target=line.serve, args=(listening,), daemon=True).start()
        yield line
        line.kill()
        listening.shutdown(socket.SHUT_RDWR)


def submit(beholder: Callable[..., Any], folder: Path, *more: str) -> Any:
    """Submit a folder's pictures; what the command did."""
    return beholder("submit", "--dir", str(folder), "--network", "specimens", *more)


def noise(seed: int, side: int = 160) -> bytes:
    """A picture that takes some 75 kB."""
    pixels = random.Random(seed).randbytes(3 * side * side)
    buffer = io.BytesIO()
    Image.frombytes("RGB", (side, side), pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _received(one: socket.socket) -> Iterator[bytes]:
    with suppress(OSError):
        while data := one.recv(16 << 10):
            yield data


def _shut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()

"""A store on S3, as a real server speaks it, over lines that break."""

import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from beholder import remote
from beholder.errors import NotFound, PictureError, ServiceUnavailable
from beholder.store import Store, picture_path
from tests.e2e.bucket import KEY, SECRET, moto_server, s3_server

pytestmark = pytest.mark.slow
CUT_AFTER = 1500  # bytes of an answer


class Flaky:
    """A line to a server that breaks in the middle of every third connection's first answer."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = self.cuts = 0
        self.broken = True
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                server = socket.create_connection(self._server)
                limit = CUT_AFTER if self.broken and self.connections % 3 == 1 else None
                for pair in ((client, server, None), (server, client, limit)):
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, limit: int | None) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(1 << 16):
                passed += len(data)
                if limit is not None and passed > limit:
                    self.cuts += 1
                    sink.sendall(data[:100])
                    break
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real S3 server."""
    with s3_server(tmp_path_factory.mktemp("s3")) as url:
        yield url


@pytest.fixture
def at(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """A store by way of an address, with a bucket of its own."""
    s3fs = pytest.importorskip("s3fs")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    direct = s3fs.S3FileSystem(endpoint_url=server, skip_instance_cache=True)
    direct.mkdir("travels")

    def opened(url: str, bucket: str = "travels") -> Store:
        s3fs.S3FileSystem.clear_instance_cache()
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        return Store.open(f"s3://{bucket}/store")

    yield opened
    direct.invalidate_cache()
    direct.rm("travels", recursive=True)
    s3fs.S3FileSystem.clear_instance_cache()


def test_what_goes_over_a_line_that_breaks_arrives_whole(server, at):
    parts = urlsplit(server)
    line = Flaky(parts.hostname, parts.port)
    store = at(line.url)
    pictures = [os.urandom(30_000) for _ in range(6)]
    hashes = [store.put_picture(one) for one in pictures]
    assert [store.picture(sha256) for sha256 in hashes] == pictures
    for data, sha256 in zip(pictures, hashes, strict=True):
        assert store.digest(picture_path(sha256)) == (hashlib.sha256(data).hexdigest(), 30_000)
    assert line.cuts, "nothing was cut"
    line.close()


def test_a_large_file_goes_by_parts_and_appears_whole_or_not_at_all(server, at, monkeypatch):
    monkeypatch.setattr(remote, "LARGE_BYTES", 6 << 20)
    monkeypatch.setattr(remote, "PART_BYTES", 5 << 20)  # the least that S3 takes
    store = at(server)
    halves = [os.urandom(4 << 20), memoryview(os.urandom(3 << 20))]
    store.put("checkpoints/job/0000000", halves)
    assert b"".join(store.stream("checkpoints/job/0000000")) == b"".join(halves)
    assert store.get("checkpoints/job/0000000") == b"".join(halves)

    def ends(parts):
        yield memoryview(b"a" * (5 << 20))
        raise KeyboardInterrupt

    monkeypatch.setattr(remote, "_pieces", ends)
    with pytest.raises(KeyboardInterrupt):
        store.put("checkpoints/job/0000001", halves)
    assert [one.name for one in store.list("checkpoints/job")] == ["0000000"]
    with pytest.raises(NotFound):
        next(store.stream("checkpoints/job/0000001"))


def test_a_picture_that_is_not_its_own_is_told_apart(server, at):
    store = at(server)
    sha256 = store.put_picture(b"picture")
    store.put(picture_path(sha256), b"another")
    with pytest.raises(PictureError, match="verify --mend"):
        store.picture(sha256)


def test_where_nobody_answers_or_nothing_is_it_is_an_outage(server, at, monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{probe.getsockname()[1]}"
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(ServiceUnavailable, match="can't be used: Could not connect"):
        at(nowhere).put("results/a", b"a")
    with moto_server() as other, pytest.raises(ServiceUnavailable, match="make it first"):
        at(other, "elsewhere").put("results/a", b"a")
    with pytest.raises(NotFound):
        at(server).get("results/a")


def test_a_folder_is_gone_with_its_files(server, at):
    """SeaweedFS lists its name for minutes more."""
    store = at(server)
    for name in ("a", "token/a", "token/within/a"):
        store.put(f"results/job/{name}", b"a")
    store.put("results/job2/a", b"a")
    store.remove_folder("results/job")
    assert list(store.walk("results")) == [("job2/a", 1)]
    store.remove_folder("results/job")
    store.remove_folder("nothing")


@pytest.fixture
def asked(monkeypatch):
    """The requests that s3fs makes, each with its range: to have a price, and milliseconds."""
    s3fs, found = pytest.importorskip("s3fs"), []
    call = s3fs.S3FileSystem._call_s3

    async def counted(self, method, *arguments, **options):
        found.append((method, options.get("Range")))
        return await call(self, method, *arguments, **options)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", counted)
    return found


def test_a_read_asks_once(server, at, asked):
    store = at(server)
    store.put("results/a", b"a")
    asked.clear()
    assert store.get("results/a") == b"a"
    assert asked == [("get_object", None)]


def test_a_stream_holds_one_range_at_a_time(server, at, asked):
    store, most = at(server), remote.RANGE_BYTES
    data = os.urandom(2 * most + 1000)
    store.put("results/a", data)
    asked.clear()
    pieces = store.stream("results/a", begin=500)
    first = next(pieces)
    assert (first, asked) == (data[500 : most + 500], [("get_object", f"bytes=500-{most + 499}")])
    assert first + b"".join(pieces) == data[500:]
    assert [method for method, _ in asked] == ["get_object"] * 3
    assert store.digest("results/a") == (hashlib.sha256(data).hexdigest(), len(data))


@pytest.mark.parametrize("ranges", [0, 1])
def test_a_stream_ends_where_a_range_does(server, at, ranges):
    store, data = at(server), os.urandom(ranges * remote.RANGE_BYTES)
    store.put("results/a", data)
    assert b"".join(store.stream("results/a")) == data
    assert store.digest("results/a")[1] == len(data)
    with pytest.raises(NotFound):
        next(store.stream("results/b"))

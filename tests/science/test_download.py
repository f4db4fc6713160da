"""Downloading VGG19's weights from a real server on this machine, and every way that fails."""

import hashlib
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
import torch
from torchvision.models import VGG19_Weights

from beholder.errors import NetworkUnavailable, StorageFull
from beholder.science import imagenet
from beholder.science.download import Unreachable, fetch, sha256_of
from beholder.science.networks import load_network

FILE = "vgg19-dcbb9e9d.pth"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.path)
        if self.path.startswith("/missing"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        if self.path.startswith("/silent"):
            self.server.released.wait(10)
            return
        sent = self.server.body
        self.wfile.write(sent[: len(sent) // 2] if self.path.startswith("/cut") else sent)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    """A server whose `body` is sent for every path; `address` is where it listens."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.body, server.requests, server.released = b"weights", [], threading.Event()
        server.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def published(server, monkeypatch, make_state, tmp_path):
    """The server holds a small network's file, and that file's hash is the one expected."""
    torch.save(make_state(), tmp_path / "small.pth")
    server.body = (tmp_path / "small.pth").read_bytes()
    monkeypatch.setattr(imagenet, "URL", f"{server.address}/{FILE}")
    monkeypatch.setattr(imagenet, "HASH_PREFIX", hashlib.sha256(server.body).hexdigest()[:8])
    return server


def test_the_real_address_and_hash():
    assert VGG19_Weights.IMAGENET1K_V1.url == imagenet.URL
    assert imagenet.HASH_PREFIX in FILE


def test_downloads_once(published, narrow, tmp_path, capsys):
    folder = tmp_path / "data" / "networks"
    first = load_network("vgg19", folder=folder)
    assert load_network("vgg19", folder=folder).sha256 == first.sha256 == narrow.sha256
    assert first.name == "vgg19"
    assert published.requests == [f"/{FILE}"]
    assert [path.name for path in folder.iterdir()] == [FILE]
    assert capsys.readouterr().err == ""


def test_without_a_folder_it_is_torch_hubs(published, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    load_network("vgg19")
    assert (tmp_path / "torch" / "hub" / "checkpoints" / FILE).is_file()


def test_progress_bar(published, tmp_path, capsys):
    load_network("vgg19", folder=tmp_path / "kept", progress=True)
    lines = capsys.readouterr().err
    assert f"\r{FILE} [{'#' * 30}] 100%" in lines
    assert lines.endswith("\n")


def test_wrong_bytes_are_not_kept(published, tmp_path, monkeypatch):
    monkeypatch.setattr(imagenet, "HASH_PREFIX", "dcbb9e9d")
    with pytest.raises(NetworkUnavailable, match=r"not dcbb9e9d\. Try again, or copy"):
        load_network("vgg19", folder=tmp_path / "kept")
    assert list((tmp_path / "kept").iterdir()) == []


def test_damaged_file_is_named_and_left(published, tmp_path):
    (tmp_path / FILE).write_bytes(b"cut short")
    with pytest.raises(NetworkUnavailable, match=rf"{FILE} is damaged .*: delete it"):
        load_network("vgg19", folder=tmp_path)
    assert published.requests == []
    assert (tmp_path / FILE).read_bytes() == b"cut short"


def test_two_at_once(server, tmp_path):
    server.body = bytes(3_000_000)
    target, errors = tmp_path / "file.bin", []

    def run():
        try:
            fetch(
                f"{server.address}/x", target, hash_prefix=hashlib.sha256(server.body).hexdigest()
            )
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert target.read_bytes() == server.body
    assert list(tmp_path.iterdir()) == [target]
    assert sha256_of(target) == hashlib.sha256(server.body).hexdigest()


def refused_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_offline_names_three_ways_out(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(imagenet, "URL", f"{refused_address()}/{FILE}")
    started = time.monotonic()
    with pytest.raises(NetworkUnavailable) as caught:
        load_network("vgg19", folder=tmp_path)
    assert time.monotonic() - started < 5
    message = str(caught.value)
    assert "\n" not in message
    for words in (
        "(1) connect this machine once",
        "548 MB",
        f"(2) put {FILE} from another machine into {tmp_path}, or pass its path as --network",
        "(3) use --network specimens, which is built in",
    ):
        assert words in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("path", "words"), [("missing", "404"), ("silent", "timed out")])
def test_unreachable(server, tmp_path, path, words):
    started = time.monotonic()
    with pytest.raises(Unreachable, match=words):
        fetch(f"{server.address}/{path}", tmp_path / "x", hash_prefix="", timeout_s=0.2)
    assert time.monotonic() - started < 5
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_too_small_is_not_filled_in_vain(server, tmp_path, monkeypatch):
    server.body = bytes(3_000_000)
    monkeypatch.setattr(
        "shutil.disk_usage", lambda path: SimpleNamespace(free=len(server.body) - 1)
    )
    with pytest.raises(StorageFull, match=r"no room for x \(3 MB\) in .*: free some") as caught:
        fetch(f"{server.address}/x", tmp_path / "x", hash_prefix="")
    assert (caught.value.folder, caught.value.size) == (tmp_path, 3_000_000)
    assert list(tmp_path.iterdir()) == []


def test_cut_short(server, tmp_path):
    server.body = bytes(1000)
    right = hashlib.sha256(server.body).hexdigest()
    with pytest.raises((NetworkUnavailable, Unreachable)):
        fetch(f"{server.address}/cut", tmp_path / "x", hash_prefix=right, timeout_s=2)
    assert list(tmp_path.iterdir()) == []


def test_folder_that_is_a_file(published, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NetworkUnavailable, match="can't be written to"):
        load_network("vgg19", folder=tmp_path / "file")

"""A worker has one network in memory at a time, and is stopped while it waits for the next."""

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from beholder.science import imagenet
from beholder.science.networks import Network, load_network
from beholder.specs import DreamSpec
from worker.lease import Stopping
from worker.loaded import Loaded

pytestmark = pytest.mark.slow  # imports torch


def test_a_network_leaves_before_the_next_is_loaded(
    bench: Any,
    network: str,
    draw: Callable[..., bytes],
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = tmp_path / "other.safetensors"
    other.write_bytes(open(network, "rb").read())  # noqa: SIM115
    loaded: list[weakref.ref[nn.Module]] = []
    in_memory: list[int] = []

    def load(*arguments: Any, **options: Any) -> Network:
        gc.collect()
        in_memory.append(sum(module() is not None for module in loaded))
        found = load_network(*arguments, **options)
        loaded.append(weakref.ref(found.module))
        return found

    monkeypatch.setattr("worker.loaded.load_network", load)
    specs = [
        DreamSpec(network=name, size="keep", layers=(5,), steps=2)
        for name in (network, str(other), network)
    ]
    jobs = [bench.submit(spec, [bench.entry(draw(1))]) for spec in specs]
    # The last two share a load.
    jobs.append(bench.submit(specs[-1], [bench.entry(draw(2))]))
    assert bench.runner().run() == len(jobs)
    assert bench.states(jobs) == ["done"] * len(jobs)
    assert in_memory == [0, 0, 0]


class Trickle(BaseHTTPRequestHandler):
    """Sends a byte now and then for half a minute; 256 KiB would take hours."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        with suppress(OSError):
            for _ in range(600):
                self.wfile.write(b"w")
                time.sleep(0.05)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def trickling(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """vgg19's weights are on a server that never comes to their end."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Trickle) as server:
        monkeypatch.setattr(imagenet, "URL", f"http://127.0.0.1:{server.server_port}/weights")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("trickling")
def test_a_stop_ends_a_download_and_costs_its_pictures_nothing(
    bench: Any, draw: Callable[..., bytes]
) -> None:
    folder: Path = bench.settings.networks_dir
    job = bench.submit(
        DreamSpec(network="vgg19", size=48, layers=(5,), steps=1), [bench.entry(draw(1))]
    )

    def stop() -> None:
        bench.until(lambda: any(path.name.endswith(".partial") for path in folder.glob("*")))
        bench.stopping.set()

    stopping = threading.Thread(target=stop)
    stopping.start()
    begun = time.monotonic()
    assert bench.runner().run() == 0
    assert time.monotonic() - begun < 5
    stopping.join()
    assert (bench.chunk(job).state, bench.chunk(job).attempts) == ("queued", 0)
    assert list(folder.iterdir()) == []
    reading = [one for one in threading.enumerate() if one.name.startswith("download")]
    assert all(one.daemon for one in reading)  # else the process would wait for them


def test_a_stop_ends_the_wait_for_another_network(network: str, tmp_path: Path) -> None:
    loaded, looks = Loaded(tmp_path, "cpu"), 0

    def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            raise Stopping

    first = loaded.lend(network, look)
    with pytest.raises(Stopping):
        loaded.lend("specimens", look)
    assert looks == 3
    assert loaded.lend(network, look) is first

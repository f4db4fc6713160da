"""The real processes: `beholder up` has its page soon, and the API needs no torch."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from PIL import Image

from beholder import service
from beholder.settings import Settings
from beholder.tokens import Tokens
from cli import main
from tests.e2e.conftest import free_port

SOON_S = 5.0
PATIENCE_S = 60.0
_WITHOUT_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "numpy"):
            raise ImportError(f"{name} is not to be imported here")

sys.meta_path.insert(0, NoTorch())
from api.app import create_app
from beholder.settings import Settings
print(len(create_app(Settings()).openapi()["paths"]))
"""


def _env(home: Path, **extra: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BEHOLDER_")}
    return {**kept, "BEHOLDER_HOME": str(home), **extra}


def _beholder(home: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli", *arguments]
    return subprocess.run(
        command, env=_env(home, **extra), capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.slow
def test_up_has_its_page_within_five_seconds(tmp_path):
    """The quickest of three starts: the others met what else the machine had to do."""
    took = []
    while len(took) < 3 and min(took, default=SOON_S) >= SOON_S:
        took.append(_seconds_to_the_page(tmp_path / str(len(took))))
    assert min(took) < SOON_S, took


def _seconds_to_the_page(home: Path) -> float:
    port = free_port()
    began = time.monotonic()
    up = subprocess.Popen(
        [sys.executable, "-m", "cli", "up", "--port", str(port)],
        env=_env(home, BEHOLDER_NETWORK="specimens"),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _until_heard(port)
        answer = httpx.get(f"http://127.0.0.1:{port}/", timeout=4 * SOON_S)
        took = time.monotonic() - began
    finally:
        up.send_signal(signal.SIGTERM)
        said = up.communicate(timeout=60)[1]
    assert answer.status_code == 200
    assert "text/html" in answer.headers["content-type"]
    assert f"The page: http://127.0.0.1:{port}/" in said
    assert up.returncode == 0
    return took


@pytest.mark.slow
def test_an_api_that_is_stopped_ends_the_streams_that_are_watched(tmp_path):
    port = free_port()
    Image.new("RGB", (64, 64)).save(tmp_path / "grey.png")
    made = _beholder(
        tmp_path, "submit", str(tmp_path / "grey.png"), "--layer", "7", BEHOLDER_NETWORK="specimens"
    )
    command = [sys.executable, "-m", "api"]
    env = _env(tmp_path, BEHOLDER_API_PORT=str(port))
    api = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    url = f"http://127.0.0.1:{port}/v1/jobs/{made.stdout.strip()}/events"
    try:
        _until_heard(port)
        with httpx.stream("GET", url, timeout=10) as answer:
            lines = answer.iter_lines()
            assert "event: progress" in (next(lines) for _ in range(4))
            asked = time.monotonic()
            api.send_signal(signal.SIGTERM)
            list(lines)  # a stream that is cut off raises here
            assert time.monotonic() - asked < 2.5  # less than requests in hand are given
    finally:
        api.terminate()
        said = api.communicate(timeout=30)[1]
    assert "Traceback" not in said
    assert "graceful shutdown exceeded" not in said


def _until_heard(port: int) -> None:
    _until(lambda: _is_heard(port))


def _is_heard(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.05)


@pytest.mark.slow
def test_the_api_needs_no_torch(tmp_path):
    finished = subprocess.run(
        [sys.executable, "-c", _WITHOUT_TORCH],
        env=_env(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert int(finished.stdout) > 20


@pytest.fixture
def refused(tmp_path, capsys, monkeypatch):
    """`refused(*arguments)`: what a command says that ends in this process, and starts nothing."""
    for name in [name for name in os.environ if name.startswith("BEHOLDER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("BEHOLDER_HOME", str(tmp_path))
    for start in ("Service.start", "become"):
        monkeypatch.setattr(f"beholder.service.{start}", lambda *_, **__: pytest.fail("started"))

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["beholder", *arguments])
        with pytest.raises(SystemExit) as ended:
            main.run()
        assert ended.value.code == 2
        return capsys.readouterr().err

    return call


def test_other_machines_are_let_in_with_tokens_only(refused, tmp_path):
    assert "set BEHOLDER_API_TOKENS" in refused("up", "--host", "0.0.0.0")
    assert not (tmp_path / "redis").exists()  # nothing was started
    assert "set BEHOLDER_API_TOKENS" in refused("api", "--host", "0.0.0.0")


def test_a_port_in_use_is_said_at_once(refused):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"port {port} of 127.0.0.1 can't be used" in refused("up", "--port", port)


@pytest.mark.slow
def test_the_token_command(refused, tmp_path):
    token, entry = _beholder(tmp_path, "token", "ada", "--scope", "submit").stdout.split()
    assert re.fullmatch(r"ada:submit:[0-9a-f]{64}", entry)
    assert Tokens(entry).caller(token).scope == "submit"
    said = refused("token", "x", "--scope", "root")
    assert said == "beholder: --scope 'root': write read, submit or admin.\n"
    assert "a name is of up to 64 letters, digits" in refused("token", "a:b")


def test_without_the_packages_there_is_no_api(monkeypatch):
    assert service.has_api()
    monkeypatch.setattr(service.importlib.util, "find_spec", lambda name: None)
    assert not service.has_api()


def test_the_address_is_one_that_a_browser_takes():
    for host, shown in (("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "[::1]")):
        assert Settings(api_host=host, api_port=80).api_address == f"http://{shown}:80/"


@pytest.mark.slow
@pytest.mark.parametrize("command", ["up", "api", "worker"])
def test_why_a_service_can_t_run_is_in_the_form_of_its_log(tmp_path, command):
    nowhere = f"sqlite:///{tmp_path}/nowhere.db"
    refused = _beholder(tmp_path, command, BEHOLDER_LOG="json", BEHOLDER_DATABASE_URL=nowhere)
    assert refused.returncode == 2
    (line,) = map(json.loads, refused.stderr.splitlines())
    assert line["level"] == "critical"
    assert "beholder db upgrade" in line["message"]


@pytest.mark.slow
def test_a_service_alone_is_frugal_and_takes_its_settings_from_files(tmp_path):
    """As `up` has it for its own: glibc's heap for each thread keeps what it once held."""
    port, given = free_port(), {}
    for name, value in (("DEVICE", "cpu"), ("API_HOST", "127.0.0.1"), ("API_PORT", str(port))):
        (tmp_path / name).write_text(value)
        given[f"BEHOLDER_{name}_FILE"] = str(tmp_path / name)
    env = _env(tmp_path, **given)
    with _running("api", env) as api:
        _until_heard(port)
        there = _environment(api)
        assert (there["MALLOC_ARENA_MAX"], there["BEHOLDER_API_PORT"]) == ("1", str(port))
        assert there["MALLOC_MMAP_THRESHOLD_"] == "131072"
    with _running("worker", env) as worker:
        children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children")
        _until(lambda: worker.poll() is not None or children.read_text())
        there = _environment(worker)
        assert (there["MALLOC_ARENA_MAX"], there["BEHOLDER_DEVICE"]) == ("2", "cpu")
        assert "MALLOC_MMAP_THRESHOLD_" not in there  # tensors would be mapped anew each time


@contextlib.contextmanager
def _running(command, env):
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", command], env=env, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            said = process.communicate(timeout=30)[1]
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert "are both set" not in said


def _environment(process):
    entries = Path(f"/proc/{process.pid}/environ").read_text().split("\0")
    return dict(entry.split("=", 1) for entry in entries if entry)

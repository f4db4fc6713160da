"""The page in Debian's Chromium, on a real server with a real worker, on a data folder of its own.

`site` is `beholder up` for the whole folder; `page` is a browser page that fails its test when the
browser complained of anything, such as something that the content security policy forbids.
"""

import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from beholder.specimens.draw import draw

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
ENDED = ("done", "failed", "cancelled")


@dataclass
class Site:
    """A running server."""

    address: str
    process: subprocess.Popen[str]
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=self.address, timeout=30)

    def submit(self, kind: str, files: list[tuple[str, tuple[str, bytes]]], **body: Any) -> str:
        """Queue a job over the API; its id."""
        import json

        data = {key: value if key == "name" else json.dumps(value) for key, value in body.items()}
        if not files:
            answer = self.http.post(f"/v1/{kind}", json=body)
        else:
            answer = self.http.post(f"/v1/{kind}", data=data, files=files)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """A job's row."""
        row: dict[str, Any] = self.http.get(f"/v1/jobs/{job_id}").json()
        return row

    def ended(self, job_id: str, *, timeout_s: float = 120) -> dict[str, Any]:
        """The job's row once it has finished."""
        return self.until(job_id, lambda row: row["state"] in ENDED, timeout_s=timeout_s)

    def until(
        self, job_id: str, fits: Callable[[dict[str, Any]], bool], *, timeout_s: float = 60
    ) -> dict[str, Any]:
        """The job's row once it fits."""
        deadline = time.monotonic() + timeout_s
        while not fits(row := self.job(job_id)):
            assert time.monotonic() < deadline, row
            time.sleep(0.2)
        return row


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """`beholder up` on the built-in network."""
    home = tmp_path_factory.mktemp("site")
    running = _start(home, "-m", "cli", "up")
    yield running
    _stop(running)


@pytest.fixture
def bare_site(tmp_path: Path) -> Iterator[Site]:
    """A server alone, with nothing in it and no worker."""
    running = _start(tmp_path, "-m", "api")
    yield running
    _stop(running)


def _start(home: Path, *arguments: str) -> Site:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {name: value for name, value in os.environ.items() if not name.startswith("BEHOLDER_")}
    env |= {
        "BEHOLDER_HOME": str(home / "data"),
        "BEHOLDER_NETWORK": "specimens",
        "BEHOLDER_API_PORT": str(port),
        "BEHOLDER_SWEEP_S": "1",
        "PYTHONUNBUFFERED": "1",
    }
    begun = time.monotonic()
    with (home / "out.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *arguments], env=env, stdout=log, stderr=log, text=True
        )
    address = f"http://127.0.0.1:{port}/"
    while True:
        try:
            httpx.get(address, timeout=5).raise_for_status()
            break
        except httpx.HTTPError:
            written = (home / "out.log").read_text()
            assert process.poll() is None, written
            assert time.monotonic() < begun + 60, written
            time.sleep(0.05)
    running = Site(address, process)
    running.log = home / "out.log"  # type: ignore[attr-defined]
    return running


def _stop(site: Site) -> None:
    site.http.close()
    site.process.send_signal(signal.SIGTERM)
    try:
        site.process.wait(30)
    except subprocess.TimeoutExpired:
        site.process.kill()
        site.process.wait()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium; tests that need it are skipped where there is none."""
    if not CHROMIUM.exists():
        pytest.skip("no /usr/bin/chromium: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Makes browser pages: `open_page(site, width=375, color_scheme="dark", ...)`."""
    contexts, complaints = [], []

    def make(site: Site, *, width: int = 1280, height: int = 900, **options: Any) -> Any:
        context = browser.new_context(
            base_url=site.address, viewport={"width": width, "height": height}, **options
        )
        context.set_default_timeout(20_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda told: complaints.append(told.text) if _bad(told) else None)
        return page

    yield make
    for context in contexts:
        context.close()
    assert complaints == []


def _bad(told: Any) -> bool:
    # Chromium reports every answer of 400 and more that a page asked for; some tests want those.
    return told.type in ("error", "warning") and "the server responded with" not in told.text


@pytest.fixture
def page(site: Site, open_page: Callable[..., Any]) -> Any:
    """A page of a desktop browser."""
    return open_page(site)


@pytest.fixture(scope="session")
def spirals() -> list[tuple[str, bytes]]:
    """Five drawn spirals, by file name."""
    return [_drawn("spirals", "spiral", seed) for seed in range(1, 6)]


@pytest.fixture(scope="session")
def others() -> list[tuple[str, bytes]]:
    """One drawn picture of each of five other classes."""
    labels = ("stripes", "checks", "star", "honeycomb", "heart")
    return [_drawn("others", label, 1) for label in labels]


def _drawn(folder: str, label: str, seed: int) -> tuple[str, bytes]:
    image: Image.Image = draw(label, seed=seed, size=192)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return f"{folder}/{label}-{seed}.png", buffer.getvalue()


@pytest.fixture(scope="session")
def dream(site: Site, spirals: list[tuple[str, bytes]]) -> str:
    """A finished dream of four layers and five pictures, with five steps kept."""
    files = [("pictures", file) for file in spirals]
    spec = {
        "layers": [12, 20, 26, 34],
        "steps": 20,
        "snapshots": [4, 8, 12, 16],
        "size": 128,
        "learning_rate": 0.4,
    }
    job = site.submit("dreams", files, spec=spec, name="Spirals, four layers deep")
    assert site.ended(job)["state"] == "done"
    return job


@pytest.fixture(scope="session")
def study(site: Site, spirals: list[tuple[str, bytes]], others: list[tuple[str, bytes]]) -> str:
    """A finished study of spirals with controls."""
    files = [*(("targets", file) for file in spirals), *(("controls", file) for file in others)]
    job = site.submit("studies", files, spec={"size": 96}, name="Spirals against the rest")
    assert site.ended(job)["state"] == "done"
    return job

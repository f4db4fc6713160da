"""`python -m benchmarks.soak --minutes 30`: does memory stay flat under mixed load?

Starts what `beholder up` does on a folder of its own, lets dreams, studies, cancels, reads, fetches
and deletions come over HTTP, and looks at each process's memory. Exit code 1 if one grew, was not
there or was replaced by another. `--write docs/reliability.md` brings that page's table up to date.
"""

import argparse
import itertools
import json
import random
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from api.thumbnails import KEPT_BYTES
from beholder.service import Service
from beholder.settings import Settings
from beholder.specimens.blinding import update
from beholder.specimens.draw import CLASSES, draw
from benchmarks.growth import Memory
from benchmarks.report import markdown

EVERY_S = 5.0
WARM_UP = 1 / 3  # of the time: code is loaded, pools and caches fill up
OPEN_JOBS = 6  # at a time
THUMB_SIZES = range(48, 129)
_THUMB_BYTES = 6_000  # of one, about, of noise
OPEN = ("queued", "running")
EXPECTED = ("api", "redis", "worker", "worker's child 1")


class Load:
    """Mixed requests, one after the other, on threads: every answer is looked at."""

    def __init__(self, address: str) -> None:
        self._http = httpx.Client(base_url=address, timeout=60)
        self._random = random.Random(0)
        self._pictures = [_picture(label, seed) for seed in range(3) for label in CLASSES[:6]]
        self.done = dict.fromkeys(("dream", "study", "cancel", "fetch", "read", "delete"), 0)

    def fill_thumbnails(self) -> None:
        """As many as the server keeps, so that the load's own are not taken for growth."""
        noise = Image.effect_noise((128, 128), 200)  # compresses badly
        for number in range(KEPT_BYTES // (len(THUMB_SIZES) * _THUMB_BYTES) + 1):
            buffer = BytesIO()
            Image.merge("RGB", [noise.rotate(90 * band + number) for band in range(3)]).save(
                buffer, "PNG"
            )
            made = _checked(self._http.post("/v1/pictures", content=buffer.getvalue())).json()
            for size in THUMB_SIZES:
                self._page(f"/v1/pictures/{made['sha256']}/image?size={size}")

    def step(self) -> None:
        """Do what comes next."""
        jobs = self._get("/v1/jobs", limit=100)["jobs"]
        still = [job for job in jobs if job["state"] in OPEN]
        ended = [job for job in jobs if job["state"] not in OPEN]
        acts: list[tuple[str, Callable[[], object]]] = [("read", lambda: self._read(jobs))]
        if len(still) < OPEN_JOBS:
            acts += [("dream", self._dream), ("dream", self._dream), ("study", self._study)]
        if still:
            acts.append(("cancel", lambda: self._post(f"/v1/jobs/{self._one(still)}/cancel", {})))
        if ended:
            acts.append(("fetch", lambda: self._fetch(self._one(ended))))
        if len(ended) > 40:
            acts.append(("delete", lambda: self._delete(ended[-1]["id"])))
        name, act = self._random.choice(acts)
        act()
        self.done[name] += 1

    def _dream(self) -> None:
        spec = {
            "layers": self._random.sample(range(37), self._random.randint(1, 3)),
            "steps": self._random.randint(1, 12),
            "size": self._random.choice((48, 64, 96)),
            "snapshots": [1] if self._random.random() < 0.5 else [],
            "noise": self._random.randint(0, 3),
            "seed": self._random.randrange(10**6),
        }
        self._post("/v1/dreams", {"spec": spec, "name": "soak"}, pictures=self._some(4))

    def _study(self) -> None:
        fields = {"spec": {"size": 64}, "name": "soak"}
        self._post("/v1/studies", fields, targets=self._some(5), controls=self._some(3))

    def _read(self, jobs: Sequence[dict[str, Any]]) -> None:
        for path in ("/", "/channels", "/metrics", "/v1/channels?layer=35", "/new"):
            self._page(path)
        for job in self._random.sample(list(jobs), min(3, len(jobs))):
            self._page(f"/jobs/{job['id']}")
            for item in self._get(f"/v1/jobs/{job['id']}/items", limit=20).get("items", ()):
                for file in item["files"][:1]:
                    at = f"/v1/jobs/{job['id']}/items/{item['position']}/pictures/{file['step']}"
                    self._page(f"{at}?thumb=128")

    def _fetch(self, job_id: str) -> None:
        self._page(f"/v1/jobs/{job_id}/results.zip")

    def _delete(self, job_id: str) -> None:
        _checked(self._http.delete(f"/v1/jobs/{job_id}"))

    def _some(self, most: int) -> list[bytes]:
        return self._random.sample(self._pictures, self._random.randint(1, most))

    def _one(self, jobs: Sequence[dict[str, Any]]) -> str:
        return str(self._random.choice(jobs)["id"])

    def _get(self, path: str, **query: int) -> dict[str, Any]:
        answer = self._http.get(path, params=query)
        found: dict[str, Any] = _checked(answer).json() if answer.status_code == 200 else {}
        return found

    def _page(self, path: str) -> None:
        _checked(self._http.get(path))

    def _post(self, path: str, fields: dict[str, Any], **parts: list[bytes]) -> None:
        if not parts:
            _checked(self._http.post(path, json=fields))
            return
        data = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in fields.items()
        }
        files = [
            (name, (f"{number}.png", picture, "image/png"))
            for name, pictures in parts.items()
            for number, picture in enumerate(pictures)
        ]
        _checked(self._http.post(path, data=data, files=files))


def soak(minutes: float) -> tuple[Memory, str]:
    """Run for so long; what each process held, and what was done."""
    with tempfile.TemporaryDirectory(prefix="beholder-") as folder:
        settings = Settings(
            home=Path(folder),
            network="specimens",
            api_port=_free_port(),
            database_url=None,
            redis_url=None,
            store_url=None,
        )
        service, memory = Service(settings, api=True), Memory()
        with service, ThreadPoolExecutor(1) as thread:
            load = Load(settings.api_address)
            _wait_until_up(settings.api_address)
            load.fill_thumbnails()
            begun, ends = time.monotonic(), time.monotonic() + 60 * minutes
            looking = thread.submit(_look_on, service, memory, begun, ends)
            while time.monotonic() < ends and not looking.done():
                load.step()
            looking.result()
        return memory, ", ".join(f"{count:,} x {name}" for name, count in load.done.items())


def main(argv: Sequence[str]) -> int:
    """Print the table; 1 if a process grew, or if one was not the same all along."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--write", type=Path, help="the page whose table is to be updated")
    asked = parser.parse_args(argv)
    memory, done = soak(asked.minutes)
    return report(memory, done, asked.minutes, asked.write)


def report(memory: Memory, done: str, minutes: float, page: Path | None) -> int:
    """Print the table, and write it unless it says nothing; the exit code."""
    warm_s = 60 * minutes * WARM_UP
    trends = list(memory.rows(warm_s))
    head = ["process", "start, MiB", "end, MiB", "most, MiB", "growth", "MiB an hour", "verdict"]
    about = f"{done}. {minutes:g} minutes, of which {minutes * WARM_UP:.3g} warm up."
    text = f"{about}\n\n{markdown([head, *(trend.cells() for trend in trends)])}"
    print(text)
    for fault in (faults := list(memory.faults(warm_s, EXPECTED))):
        print(fault, file=sys.stderr)
    if page and not faults:
        update(page, f"\n{text}\n", name="soak")
    return 1 if faults or not all(trend.flat for trend in trends) else 0


def _look_on(service: Service, memory: Memory, begun: float, ends: float) -> None:
    for number in itertools.count(1):
        memory.look(_processes(service), time.monotonic() - begun)
        until = min(begun + number * EVERY_S, ends)
        time.sleep(max(0.0, until - time.monotonic()))
        if until == ends:
            return


def _processes(service: Service) -> dict[str, int]:
    """The service's programs, and the worker's children by their number."""
    found = dict(service.pids())
    parent = found.get("worker")
    if parent is not None:
        path = Path(f"/proc/{parent}/task/{parent}/children")
        children = path.read_text().split() if path.exists() else []
        found |= {f"worker's child {n}": int(pid) for n, pid in enumerate(children, 1)}
    return found


def _checked(answer: httpx.Response) -> httpx.Response:
    """Raise where the server failed; that a job has moved on meanwhile (404, 409) is no failure."""
    if answer.is_error and answer.status_code not in (404, 409):
        raise RuntimeError(f"{answer.request.url}: {answer.status_code} {answer.text[:300]}")
    return answer


def _wait_until_up(address: str) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{address}readyz", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise RuntimeError("the service did not come up in two minutes")


def _picture(label: str, seed: int) -> bytes:
    buffer = BytesIO()
    draw(label, seed=seed, size=128).save(buffer, "PNG")
    return buffer.getvalue()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The installed command in real processes, on a data folder of its own.

Everything a test starts is stopped by its id, and dies with the test process at the latest.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from beholder.errors import ServiceUnavailable
from beholder.jobs.database import Database
from beholder.jobs.models import FINISHED
from beholder.jobs.queries import get_job
from beholder.jobs.schema import create_if_empty
from beholder.jobs.submit import create_job, noise_entries
from beholder.jobs.turns import waiting
from beholder.jobs.views import JobView
from beholder.settings import Settings
from beholder.specimens.draw import draw
from beholder.specs import DreamSpec
from beholder.store import Store
from cli.context import make_home
from tests.e2e.servers import ALL, servers
from worker.app import make_app
from worker.queue import MOST_BELLS, Queue

__all__ = ["servers"]  # a fixture

TIMEOUT_S = 240


@dataclass
class Machine:
    """A user's machine: `run` a command to its end, or `start` one that stays."""

    home: Path
    env: dict[str, str]
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)  # data folders that it had before
    opened: dict[str, Database] = field(default_factory=dict)  # by URL

    def __post_init__(self) -> None:
        # Batches and their times are then much the same on every machine.
        self.env |= {"OMP_NUM_THREADS": "2", "BEHOLDER_DEVICE": "cpu"}

    @property
    def data(self) -> Path:
        """The data folder."""
        return Path(self.env["BEHOLDER_HOME"])

    @property
    def database_url(self) -> str:
        """Its database's."""
        here = f"sqlite:///{self.data / 'beholder.db'}"
        return self.env.get("BEHOLDER_DATABASE_URL", here)

    @property
    def settings(self) -> Settings:
        """As the service has them."""
        mine = [name for name in self.env if name.startswith("BEHOLDER_")]
        names = {name.removeprefix("BEHOLDER_").lower(): name for name in mine}
        given = {field: self.env[names[field]] for field in Settings.model_fields if field in names}
        return Settings(**given)  # type: ignore[arg-type]

    @property
    def db(self) -> Database:
        """The service's database, kept open; it is made first, as by any command.

        Only first: to open and close SQLite's file here by other means would end its locks.
        """
        url = self.database_url
        if url not in self.opened:
            if (settings := self.settings).database_url is None:
                make_home(settings)
                create_if_empty(url)
            self.opened[url] = Database.open(url)
        return self.opened[url]

    @property
    def store(self) -> Store:
        """Its store."""
        return Store.open(self.env.get("BEHOLDER_STORE_URL", str(self.data / "store")))

    def stored(self, folder: str) -> list[str]:
        """The paths of all that its store has in a folder, at any depth."""
        found = []
        for one in self.store.list(folder):
            path = f"{folder}/{one.name}"
            found += self.stored(path) if one.is_folder else [path]
        return sorted(found)

    def run(self, *arguments: object, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run `beholder ARGUMENTS`; `code` is the exit code to expect (None: any)."""
        finished = subprocess.run(
            self._command(arguments),
            env=self.env,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert "Traceback" not in finished.stderr, finished.stderr
        if code is not None:
            assert finished.returncode == code, finished.stdout + finished.stderr
        return finished

    def json(self, *arguments: object, code: int | None = 0) -> Any:
        """What `beholder ARGUMENTS --json` prints."""
        return json.loads(self.run(*arguments, "--json", code=code).stdout)

    def start(self, *arguments: object) -> subprocess.Popen[bytes]:
        """Start `beholder ARGUMENTS`; it is stopped when the test ends.

        What it says goes to a file, since a pipe that nobody reads would stop it.
        """
        with (self.home / f"{len(self.started)}-{arguments[0]}.log").open("wb") as said:
            process = subprocess.Popen(
                self._command(arguments),
                env=self.env,
                cwd=self.home,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
        self.started.append(process)
        return process

    def up(self, *, page: bool = False, wait: bool = True) -> subprocess.Popen[bytes]:
        """Start Redis and a worker, and the page where it is asked for.

        Returns when the worker's child is there, or with `wait=False` at once.
        """
        process = self.start("up", *([] if page else ["--no-page"]))
        if wait:
            self.until(self.children)
        return process

    def view(self, job_id: str) -> JobView:
        """A job, read here: a command that says it takes as long as ten dreams."""
        return get_job(self.db, job_id)

    def job(self, job_id: str) -> dict[str, Any]:
        """The job's row, which `jobs --json` prints."""
        return self.view(job_id).row()

    def dreams(
        self,
        count: int,
        *,
        steps: int,
        size: int = 64,
        layer: int = 12,
        snapshots: Sequence[int] = (),
        **told: Any,
    ) -> str:
        """Submit a job of `count` dreams from noise, here as well; its id.

        told: more for `create_job`.
        """
        spec = DreamSpec.build(
            noise=count, steps=steps, size=size, layers=[layer], snapshots=list(snapshots),
            network="specimens",
        )  # fmt: skip
        job_id = create_job(self.db, spec, noise_entries(spec), **told).id
        # Without Redis nothing is lost: a worker's sweep finds it.
        with suppress(ServiceUnavailable), make_app(self.settings.broker) as app:
            Queue(app).ring_all(waiting(self.db, limit=MOST_BELLS))
        return job_id

    def until(
        self, condition: Callable[[], Any], *, timeout_s: float = 120, every_s: float = 0.2
    ) -> Any:
        """Wait for `condition` to give something true; that."""
        deadline = time.monotonic() + timeout_s
        while not (found := condition()):
            if time.monotonic() > deadline:
                raise AssertionError(f"did not happen in {timeout_s:g} s\n{self.logs()}")
            time.sleep(every_s)
        return found

    def reaches(self, job_id: str, done: float, *, timeout_s: float = 300) -> None:
        """Wait until so many of the job's items are done."""
        self.until(lambda: self.view(job_id).done >= done, timeout_s=timeout_s)

    def end_of(self, job_id: str, *, timeout_s: float = 600) -> JobView:
        """The job once it has finished."""
        self.until(lambda: self.view(job_id).state in FINISHED, timeout_s=timeout_s)
        return self.view(job_id)

    def ended(self, job_id: str, *, timeout_s: float = 120) -> dict[str, Any]:
        """The job's row once it has finished."""
        self.end_of(job_id, timeout_s=timeout_s)
        return self.job(job_id)

    def live_in(self, folder: Path) -> None:
        """From now on its data are there."""
        self.left.append(self.env["BEHOLDER_HOME"])
        self.env["BEHOLDER_HOME"] = str(folder)

    def pids(self, word: str) -> list[int]:
        """Processes of this machine whose command line holds `word`, oldest first."""
        return _processes(word, self.env["BEHOLDER_HOME"])

    def parents(self) -> list[int]:
        """Workers' main processes."""
        workers = self.pids("-m worker")
        return [pid for pid in workers if _parent_of(pid) not in workers]

    def children(self) -> list[int]:
        """Workers' child processes that a parent looks after."""
        workers = self.pids("-m worker")
        return [pid for pid in workers if _parent_of(pid) in workers]

    def kill(self, *pids: int) -> None:
        """With -9; such as have ended are left out."""
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def log(self, program: str = "worker") -> str:
        """What one of the service's programs wrote."""
        file = self.data / "logs" / f"{program}.log"
        return file.read_text() if file.exists() else ""

    def logs(self) -> str:
        """The end of all that was said."""
        files = sorted([*(self.data / "logs").glob("*.log"), *self.home.glob("*.log")])
        return "\n".join(f"== {file.name}\n{file.read_text()[-3000:]}" for file in files)

    def stop(self) -> None:
        """Kill what is still running: first those who would start others again."""
        for process in self.started:
            process.kill()
        self.until(lambda: not self._kill_all(), timeout_s=30, every_s=0.02)
        for process in self.started:
            process.wait(30)
        for database in self.opened.values():
            database.dispose()

    def _kill_all(self) -> list[int]:
        homes = [*self.left, self.env["BEHOLDER_HOME"]]
        self.kill(*(left := [pid for home in homes for pid in _processes("", home)]))
        return left

    def _command(self, arguments: tuple[object, ...]) -> list[str]:
        return [sys.executable, "-m", "cli", *map(str, arguments)]


def _processes(word: str, home: str) -> list[int]:
    """Those of a data folder whose command line holds `word`, oldest first."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        # Redis writes its title over its environment; the title names its socket.
        redis = "redis-server " in command and f"{home}/" in command
        if word in command and (redis or f"BEHOLDER_HOME={home}\0".encode() in environment):
            found.append(int(entry.name))
    return sorted(found)


def own_env(home: Path, **settings: object) -> dict[str, str]:
    """This process's environment, with these settings alone and a data folder under `home`."""
    given = os.environ.items()
    # A worker settles by itself how its threads wait.
    env = {name: value for name, value in given if not name.startswith(("BEHOLDER_", "OMP_WAIT"))}
    env |= {"BEHOLDER_HOME": str(home / "data"), "BEHOLDER_API_PORT": str(free_port())}
    return env | {f"BEHOLDER_{name.upper()}": str(value) for name, value in settings.items()}


def _machine(request: pytest.FixtureRequest, home: Path) -> Machine:
    machine = Machine(home, own_env(home, network="specimens", lease_s=4, sweep_s=1))
    if getattr(request, "param", "servers" if ALL else "files") == "servers":
        machine.env |= request.getfixturevalue("servers").settings()
    return machine


@pytest.fixture
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    """On a SQLite file and a folder, or (marked `everywhere`) on Postgres and S3 too."""
    machine = _machine(request, tmp_path)
    yield machine
    machine.stop()


@pytest.fixture(scope="module")
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """A machine with a service that a module's tests share."""
    machine = _machine(request, tmp_path_factory.mktemp("running"))
    machine.up()
    yield machine
    machine.stop()


@pytest.fixture
def spirals(tmp_path: Path) -> Path:
    """A folder with five drawn spirals."""
    return _folder(tmp_path / "spirals", [("spiral", seed) for seed in range(5)])


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """A folder with one drawn picture of each of five other classes."""
    labels = ("stripes", "checks", "star", "honeycomb", "heart")
    return _folder(tmp_path / "others", [(label, 1) for label in labels])


def free_port() -> int:
    """A TCP port of this machine that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _parent_of(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def _folder(folder: Path, pictures: list[tuple[str, int]]) -> Path:
    folder.mkdir()
    for label, seed in pictures:
        image: Image.Image = draw(label, seed=seed, size=160)
        image.save(folder / f"{label}-{seed}.png")
    return folder

"""The embedded service: a private Redis, a worker and the API on this machine, supervised.

`Service` is what `beholder up` keeps running, and what `--wait` runs, without the API, for as long
as it waits. One runs per data folder, held by a lock that the kernel drops when its holder dies.
"""

import fcntl
import importlib.util
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, NoReturn

from pydantic import SecretStr

from beholder.devices import insist_on_name, worker_devices
from beholder.errors import ServiceUnavailable, StorageFull
from beholder.extras import install
from beholder.private_redis import (
    answers,
    redis_program,
    wait_until_free,
    wait_until_ready,
)
from beholder.processes import Program, Supervisor
from beholder.settings import Settings
from beholder.store import Store
from beholder.urls import insist_on_redis

_TRIES, _TRY_EVERY_S = 5, 0.05  # to take the lock
_LEAST_FREE_BYTES = 64 << 20
# glibc's heap for each thread keeps what it once held. Of the API's, which keeps thumbnails that
# any thread makes and any other drops, even two grew for hours; large blocks stay out of its one.
_FRUGAL = {
    "api": {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": str(128 << 10)},
    "worker": {"MALLOC_ARENA_MAX": "2"},
}
# All that Redis gets of the environment, which has secrets of S3's, Postgres's and OTLP's too.
_OF_REDIS = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ")


class Service:
    """Starts with `start()`, which says whether it did: False when one runs here already.

    api: serve the API and the page too.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        api: bool = False,
        on_event: Callable[[str], None] | None = None,
    ) -> None:
        self._settings = settings
        self._api = api
        self._on_event = on_event
        self._lock: IO[bytes] | None = None
        self._supervisors: list[Supervisor] = []

    @property
    def logs(self) -> Path:
        """The folder with each program's log."""
        return self._settings.home / "logs"

    @property
    def started(self) -> bool:
        """Whether this object runs the service."""
        return self._lock is not None

    def start(self) -> bool:
        """Start the API, Redis (unless BEHOLDER_REDIS_URL names one), then the worker."""
        require_torch()
        check_settings(self._settings)
        self._lock = _lock(self._settings.home, tries=_TRIES)
        if self._lock is None:
            return False
        try:
            _insist_on_room(self._settings.home)
            if self._api:  # first, since it answers without the others
                self._supervise(_api_program(self._settings, self.logs / "api.log"))
            if self._settings.redis_url is None:
                self._start_redis(self._settings.redis_socket)
            self._supervise(*worker_programs(self._settings, logs=self.logs))
        except BaseException:
            self.stop()
            raise
        return True

    def stop(self) -> None:
        """Stop the workers, then Redis, then the API; returns when all have ended.

        May come at any time.
        """
        for supervisor in reversed(self._supervisors):
            supervisor.stop()
        self._supervisors.clear()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def pids(self) -> dict[str, int]:
        """The process id of each program that runs now."""
        return {name: pid for each in self._supervisors for name, pid in each.pids().items()}

    def __enter__(self) -> "Service":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start_redis(self, socket: Path) -> None:
        folder, log = self._settings.home / "redis", self.logs / "redis.log"
        env = {name: os.environ[name] for name in _OF_REDIS if name in os.environ}
        program = redis_program(socket, folder, log=log, env=env)
        wait_until_free(socket)  # that of a service which was killed ends when its disk lets it
        self._supervise(program)
        wait_until_ready(socket)

    def _supervise(self, *programs: Program) -> None:
        """These are stopped together, before what was started before them."""
        supervisor = Supervisor(programs, on_event=self._on_event)
        self._supervisors.append(supervisor)
        supervisor.start()


def _insist_on_room(home: Path) -> None:
    """Raise StorageFull where Redis, logs and results would have no room."""
    free = shutil.disk_usage(home).free
    if free < _LEAST_FREE_BYTES:
        raise StorageFull(
            f"only {free / 2**20:.0f} MiB are free in {home}: free some space, at least "
            f"{_LEAST_FREE_BYTES >> 20} MiB."
        )


def require_torch() -> None:
    """Raise ServiceUnavailable where jobs can be queued but not run."""
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("torchvision") is None:
        raise ServiceUnavailable(
            f"running jobs needs torch and torchvision here: {install('worker')}."
        )


def check_settings(settings: Settings) -> None:
    """Raise BeholderError for settings with which a program would end as often as it is started."""
    insist_on_name(settings.device)
    insist_on_redis(settings.broker)
    Store.open(settings.store)


def has_api() -> bool:
    """Whether what the API needs is installed."""
    return all(importlib.util.find_spec(name) for name in ("fastapi", "uvicorn", "jinja2"))


def service_runs(settings: Settings) -> bool:
    """Whether a service runs on this data folder, in whatever process."""
    if not settings.home.is_dir():
        return False
    lock = _lock(settings.home)
    if lock is None:
        return True
    lock.close()
    return False


def redis_answers(settings: Settings) -> bool:
    """Whether the private Redis answers now."""
    return answers(settings.redis_socket)


def _lock(home: Path, *, tries: int = 1) -> IO[bytes] | None:
    """The data folder's lock, or None if another process has it.

    tries: a command that asks `service_runs` has it for a moment, so once is not enough to start.
    """
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (home / "service.lock").open("ab")
    except OSError as error:
        raise ServiceUnavailable(
            f"the data folder {home} can't be used ({error.strerror}): set BEHOLDER_HOME to one "
            "that can."
        ) from None
    for left in reversed(range(tries)):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if left:
                time.sleep(_TRY_EVERY_S)
        else:
            return file
    file.close()
    return None


def worker_programs(
    settings: Settings, *, concurrency: int = 1, logs: Path | None = None
) -> list[Program]:
    """A worker for each GPU of this machine, or the one that the settings name.

    concurrency: processes of each. logs: a folder; None for this process's own output.
    """
    command = (sys.executable, "-m", "worker", "--concurrency", str(concurrency))
    devices = worker_devices(settings.device)
    names = ["worker"] if len(devices) == 1 else [f"worker-{n}" for n in range(len(devices))]
    return [
        Program(
            name,
            command,
            logs and logs / f"{name}.log",
            {**_env(settings, "worker"), "BEHOLDER_DEVICE": device},
            grace_s=15.0,
            may_end=True,
        )
        for name, device in zip(names, devices, strict=True)
    ]


def become(command: tuple[str, ...], **chosen: str) -> NoReturn:
    """Run a program in this process's place, with these settings instead of those it was given.

    command: `python -m`, then the program's name.
    """
    for name, value in chosen.items():
        variable = f"BEHOLDER_{name.upper()}"
        os.environ.pop(f"{variable}_FILE", None)  # both would be refused
        os.environ[variable] = value
    os.execve(command[0], command, {**_FRUGAL[command[2]], **os.environ})


def _api_program(settings: Settings, log: Path) -> Program:
    where = {"BEHOLDER_API_HOST": settings.api_host, "BEHOLDER_API_PORT": str(settings.api_port)}
    command = (sys.executable, "-m", "api")
    return Program("api", command, log, {**_env(settings, "api"), **where}, grace_s=6.0)


def _env(settings: Settings, program: str) -> dict[str, str]:
    """The environment in which a program reads these settings, and no others."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("BEHOLDER_")}
    for name, value in settings:
        if value is not None:
            plain = value.get_secret_value() if isinstance(value, SecretStr) else value
            env[f"BEHOLDER_{name.upper()}"] = str(plain)
    env["BEHOLDER_HOME"] = str(settings.home.absolute())
    return {**_FRUGAL[program], **env}

"""A service of its own for a benchmark: private Redis, SQLite, one real worker, a folder that goes.

`Running` submits and waits; nothing is swept, so that work begins when it rings and not before.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from beholder.intake import find_pictures, take_in
from beholder.jobs.database import Database
from beholder.jobs.models import FINISHED
from beholder.jobs.queries import get_job
from beholder.jobs.schema import upgrade
from beholder.jobs.spool import Entry, Role
from beholder.jobs.submit import create_job
from beholder.jobs.views import JobView
from beholder.jobs.workers import live_workers
from beholder.private_redis import redis_program, wait_until_ready
from beholder.processes import Supervisor
from beholder.settings import Settings
from beholder.specs import Spec
from beholder.store import Store, job_folder
from worker.app import make_app
from worker.queue import Queue

POLL_S = 0.1  # each look at a job takes some of the CPU that the worker is timed on
FILE_POLL_S = 0.01
NEVER_S = 1e6


class Running:
    """Redis from `with` on, a worker from `start` on; both have ended after the `with`."""

    def __init__(self, device: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="beholder-")
        self.settings = Settings(
            home=Path(self._folder.name),
            device=device,
            sweep_s=NEVER_S,
            database_url=None,
            redis_url=None,
            store_url=None,
        )
        self.store = Store.open(self.settings.store)
        self._worker: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        home = self.settings.home
        upgrade(self.settings.database)
        self.db = Database.open(self.settings.database)
        socket = self.settings.redis_socket
        environment = dict(os.environ)
        program = redis_program(socket, home / "redis", log=home / "redis.log", env=environment)
        self._redis = Supervisor([program])
        self._redis.start()
        wait_until_ready(socket)
        self._queue = Queue(make_app(self.settings.broker))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self._redis.stop()
        self.db.dispose()
        self._folder.cleanup()

    def start(self) -> None:
        """Start a worker. It looks for work at once."""
        with (self.settings.home / "worker.log").open("ab") as log:
            self._worker = subprocess.Popen(
                [sys.executable, "-m", "worker"],
                env=_environment(self.settings),
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def stop(self) -> None:
        """Stop the worker, if there is one."""
        if self._worker is not None:
            self._worker.send_signal(signal.SIGTERM)
            self._worker.wait()
            self._worker = None

    def wait_for_worker(self) -> None:
        """Return when a worker has given a sign of life."""
        self._until(lambda: bool(live_workers(self.db, within_s=60)))

    def take_in(self, folder: Path, *, role: Role | None = None) -> Iterable[Entry]:
        """The entries of a folder's pictures, which are kept in the store."""
        found = find_pictures((), [folder])
        return take_in(self.store, found, max_pixels=self.settings.max_pixels, role=role)

    def submit(self, spec: Spec, entries: Iterable[Entry]) -> str:
        """Queue a job, ringing for nobody; its id."""
        return create_job(self.db, spec, entries).id

    def run(self, jobs: Sequence[str]) -> list[JobView]:
        """Ring, and wait until the jobs have ended. Raises RuntimeError unless all succeeded."""
        self._queue.ring(1)
        self._until(lambda: all(self._job(job).state in FINISHED for job in reversed(jobs)))
        ended = [self._job(job) for job in jobs]
        wrong = [job for job in ended if job.state != "done" or job.failed]
        if wrong:
            raise RuntimeError(f"{len(wrong)} jobs failed, the first: {wrong[0].error}")
        return ended

    def first_file_s(self, job_id: str) -> float:
        """Start a worker; seconds until the first of the job's files is there."""
        folder = self.settings.home / "store" / job_folder(job_id)
        begun = time.perf_counter()
        self.start()
        self._until(lambda: any(folder.rglob("*.png")), FILE_POLL_S)
        return time.perf_counter() - begun

    def _job(self, job_id: str) -> JobView:
        return get_job(self.db, job_id)

    def _until(self, condition: Callable[[], bool], every_s: float = POLL_S) -> None:
        """Raises RuntimeError, with the worker's last words, when the worker ends before."""
        while not condition():
            if self._worker is not None and self._worker.poll() is not None:
                log = (self.settings.home / "worker.log").read_text()
                raise RuntimeError(f"the worker ended: {log[-2000:]}")
            time.sleep(every_s)


def _environment(settings: Settings) -> dict[str, str]:
    """That of a worker on these settings, whatever is set here."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("BEHOLDER_")}
    own = {
        f"BEHOLDER_{name.upper()}": str(getattr(settings, name))
        for name in ("home", "device", "sweep_s")
    }
    return {**mine, **own}

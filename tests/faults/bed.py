"""A service in real processes to do harm to; `Bed.findings` is the one check of what came of it."""

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import select

from beholder.jobs.database import Database
from beholder.jobs.models import FINISHED, Chunk
from beholder.jobs.queries import get_job
from beholder.jobs.views import JobView
from beholder.settings import Settings
from beholder.store import Store
from beholder.upkeep.verify import verify
from tests.e2e.conftest import Machine

PROBE = Path(__file__).parent / "probe"
LAYER = 12


class Event(NamedTuple):
    """What the probe noted. items: (job, position) of a batch."""

    at: float
    pid: int
    event: str
    items: tuple[tuple[str, int], ...]


@dataclass
class Bed(Machine):
    """A machine whose workers are probed. Everything in it is real."""

    opened: list[Database] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.env |= {"PYTHONPATH": str(PROBE), "FAULTS_RUNS": str(self.home / "runs.jsonl")}

    @property
    def data(self) -> Path:
        """The data folder."""
        return Path(self.env["BEHOLDER_HOME"])

    @cached_property
    def settings(self) -> Settings:
        """As the service has them."""
        names = {name.removeprefix("BEHOLDER_").lower(): name for name in self.env}
        given = {field: self.env[names[field]] for field in Settings.model_fields if field in names}
        return Settings(**given)  # type: ignore[arg-type]

    @cached_property
    def db(self) -> Database:
        """The service's database."""
        self.opened.append(Database.open(self.settings.database))
        return self.opened[-1]

    def dreams(self, count: int, *, steps: int, size: int = 64, layer: int = LAYER) -> str:
        """Submit a job of `count` dreams from noise."""
        options = ("--steps", steps, "--size", size, "--layer", layer, "--network", "specimens")
        return str(self.json("submit", "--noise", count, *options)["id"])

    def view(self, job_id: str) -> JobView:
        """The job's row."""
        return get_job(self.db, job_id)

    def reaches(self, job_id: str, done: float, *, timeout_s: float = 300) -> None:
        """Wait until so many of the job's items are done."""
        self.until(lambda: self.view(job_id).done >= done, timeout_s=timeout_s)

    def end_of(self, job_id: str, *, timeout_s: float = 600) -> JobView:
        """The job once it has finished."""
        self.until(lambda: self.view(job_id).state in FINISHED, timeout_s=timeout_s)
        return self.view(job_id)

    def findings(self, *jobs: str, failed: int = 0) -> list[str]:
        """All that is wrong with jobs that should have ended with so many failures; [] if nothing.

        Lost items, doubled rows or files, wrong counters, files that are nobody's: `verify` looks
        at every row and every byte.
        """
        views = [self.view(job_id) for job_id in jobs]
        wrong = [
            f"job {view.id} is {view.state}: {view.done} done, {view.failed} failed of {view.total}"
            for view in views
            if (view.state, view.done + view.failed) != ("done", view.total)
        ]
        if sum(view.failed for view in views) != failed:
            wrong.append(f"{sum(view.failed for view in views)} items failed, not {failed}")
        found = verify(self.db, Store.open(self.settings.store))
        return [*wrong, *(finding.line() for finding in found)]

    def up(self) -> Any:
        """Start everything; returns when the worker's child is there."""
        process = self.start("up")
        self.until(lambda: self.children())
        return process

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

    def events(self) -> list[Event]:
        """What the probe has noted."""
        file = self.home / "runs.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        rows = map(json.loads, lines)
        return [
            Event(row["at"], row["pid"], row["event"], tuple(map(tuple, row["items"])))
            for row in rows
        ]

    def run_again(self) -> tuple[int, int]:
        """Items that ran more than once: in all, and beyond those that a dead worker had in hand.

        A batch that began and did not end was in its worker's hand when that died.
        """
        begun: Counter[tuple[str, int]] = Counter()
        in_hand: Counter[tuple[str, int]] = Counter()
        for _, batch, ended in self._batches():
            begun.update(batch)
            if not ended:
                in_hand.update(batch)
        again = {item: count - 1 for item, count in begun.items() if count > 1}
        return sum(again.values()), sum(max(0, n - in_hand[item]) for item, n in again.items())

    def completed_twice(self) -> int:
        """Items whose dream came to its end more than once."""
        ended = Counter(item for _, batch, ended in self._batches() if ended for item in batch)
        return sum(count > 1 for count in ended.values())

    def _batches(self) -> Iterator[tuple[int, tuple[tuple[str, int], ...], bool]]:
        """(pid, items, whether it came to its end) of each batch that began."""
        open_of: dict[int, tuple[tuple[str, int], ...]] = {}
        for one in self.events():
            if one.event == "begun":
                if one.pid in open_of:
                    yield one.pid, open_of[one.pid], False
                open_of[one.pid] = one.items
            elif one.pid in open_of:
                yield one.pid, open_of.pop(one.pid), one.event == "ended"
        for pid, items in open_of.items():
            yield pid, items, False

    def running(self, job_id: str) -> list[tuple[int, int, str, str]]:
        """(first position, last position, token, worker) of the job's running chunks."""
        columns = (Chunk.first_position, Chunk.last_position, Chunk.token, Chunk.worker)
        statement = select(*columns).where(Chunk.job_id == job_id, Chunk.state == "running")
        with self.db.read() as session:
            return [tuple(row) for row in session.execute(statement)]  # type: ignore[misc]

    def attempts(self, job_id: str) -> list[int]:
        """Of each of the job's chunks that came to its end."""
        statement = select(Chunk.attempts).where(Chunk.job_id == job_id, Chunk.state == "done")
        with self.db.read() as session:
            return list(session.scalars(statement))

    def stop(self) -> None:
        """Stop what is still running."""
        for database in self.opened:
            database.dispose()
        super().stop()


def _parent_of(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0

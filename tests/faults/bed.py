"""A service in real processes to do harm to; `Bed.findings` is the one check of what came of it."""

import json
import re
import socket
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select

from beholder.jobs.models import Chunk
from beholder.store import Store
from beholder.upkeep.verify import verify
from tests.e2e.conftest import Machine

PROBE = Path(__file__).parent / "probe"
Span = tuple[int, int]  # a chunk's first and last position


class Event(NamedTuple):
    """What the probe noted. items: (job, position) of a batch."""

    at: float
    pid: int
    event: str
    items: tuple[tuple[str, int], ...]


@dataclass
class Bed(Machine):
    """A machine whose workers are probed. Everything in it is real."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.env |= {"PYTHONPATH": str(PROBE), "FAULTS_RUNS": str(self.home / "runs.jsonl")}

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

    def running(self, job_id: str) -> dict[Span, int]:
        """The job's running chunks, each with its worker's process."""
        columns = (Chunk.first_position, Chunk.last_position, Chunk.worker)
        statement = select(*columns).where(Chunk.job_id == job_id, Chunk.state == "running")
        with self.db.read() as session:
            return {(row[0], row[1]): _pid_of(row[2]) for row in session.execute(statement)}

    def held_by(self, job_id: str, pids: Collection[int]) -> set[Span]:
        """Those of the job's chunks that run under one of these processes."""
        return {span for span, pid in self.running(job_id).items() if pid in pids}

    def attempts(self, job_id: str) -> list[int]:
        """Of each of the job's chunks that came to its end."""
        statement = select(Chunk.attempts).where(Chunk.job_id == job_id, Chunk.state == "done")
        with self.db.read() as session:
            return list(session.scalars(statement))


def _pid_of(worker: str) -> int:
    """The process in a worker's name, which may go on after it."""
    found = re.match(rf"{re.escape(socket.gethostname())}-(\d+)", worker)
    assert found, worker
    return int(found[1])

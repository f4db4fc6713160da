"""Who is silent, workers and submitters, judged by one process's own clock: `Silence`.

Clocks of machines differ, and any of them may be set, so no time that another process wrote is
compared with the time here. A worker that renews its leases changes them: a chunk whose lease has
not changed for as long as a lease lasts, as measured by whoever looks, has no live worker.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar


class Running(NamedTuple):
    """A running chunk as it was looked at."""

    chunk_id: int
    job_id: str
    worker: str | None
    token: str | None
    lease_until: float | None

    @property
    def sign(self) -> tuple[str | None, float | None]:
        """Of life: each renewal changes it."""
        return self.token, self.lease_until


class Submission(NamedTuple):
    """A job that is being written, and when, by its submitter's clock, its latest rows came."""

    job_id: str
    written_at: datetime | None


class Sign(NamedTuple):
    """A worker's sign of life: each heartbeat changes it."""

    name: str
    seen_at: datetime


Seen = TypeVar("Seen", Running, Submission, Sign)


@dataclass
class Unchanged(Generic[Seen]):
    """Remembers for how long each of the things that one process looks at has been the same.

    look_s: how much time at most lies between two looks where nothing is in the way. What is more
        does not count: whoever looks was stopped then, or waited for the database, and so may the
        others have.
    """

    look_s: float
    _for_s: dict[Seen, float] = field(default_factory=dict)
    _looked: float | None = None

    def look(self, seen: Iterable[Seen], now: float) -> dict[Seen, float]:
        """All that there is now, and for how many seconds it has been as it is.

        now: seconds of a clock that is never set, such as `time.monotonic()`.
        """
        passed = 0.0 if self._looked is None else min(now - self._looked, self.look_s)
        self._looked = now
        before = self._for_s
        self._for_s = {one: before[one] + passed if one in before else 0.0 for one in seen}
        return self._for_s


@dataclass
class Silence:
    """What one process has seen of running chunks and of jobs that are being written.

    lease_s: how long a worker may be silent, in seconds. look_s: as for `Unchanged`.
    is_dead: whether the worker of this name has surely ended.
    """

    lease_s: float
    look_s: float
    is_dead: Callable[[str], bool] = lambda worker: False
    submissions: Unchanged[Submission] = field(init=False)
    _running: Unchanged[Running] = field(init=False)

    def __post_init__(self) -> None:
        self.submissions = Unchanged(self.look_s)
        self._running = Unchanged(self.look_s)

    def abandoned(self, running: Iterable[Running], now: float) -> list[Running]:
        """Those of all running chunks that nobody works on any more. now: as for `Unchanged`."""
        silent = self._running.look(running, now)
        dead = {name: self.is_dead(name) for name in {one.worker for one in silent} if name}
        return [
            one
            for one, silent_s in silent.items()
            if silent_s >= self.lease_s or dead.get(one.worker or "")
        ]

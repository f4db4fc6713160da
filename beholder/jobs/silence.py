"""Which running chunks are silent, judged by one process's own clock: `Silence`.

Clocks of machines differ, and any of them may be set, so no time that another process wrote is
compared with the time here. A worker that renews its leases changes them: a chunk whose lease has
not changed for as long as a lease lasts, as measured by whoever looks, has no live worker.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple


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


@dataclass
class Silence:
    """Remembers each running chunk's sign of life, and for how long it has been the same.

    lease_s: how long a worker may be silent, in seconds.
    look_s: how much time at most lies between two looks where nothing is in the way. What is more
        does not count: whoever looks was stopped then, or waited for the database, and so may the
        workers have.
    is_dead: whether the worker of this name has surely ended.
    """

    lease_s: float
    look_s: float
    is_dead: Callable[[str], bool] = lambda worker: False
    _silent_s: dict[Running, float] = field(default_factory=dict)
    _looked: float | None = None

    def abandoned(self, running: Iterable[Running], now: float) -> list[Running]:
        """Those of all running chunks that nobody works on any more.

        now: seconds of a clock that is never set, such as `time.monotonic()`.
        """
        passed = 0.0 if self._looked is None else min(now - self._looked, self.look_s)
        self._looked = now
        before = self._silent_s
        self._silent_s = {one: before[one] + passed if one in before else 0.0 for one in running}
        dead = {name: self.is_dead(name) for name in {one.worker for one in self._silent_s} if name}
        return [
            one
            for one, silent_s in self._silent_s.items()
            if silent_s >= self.lease_s or dead.get(one.worker or "")
        ]

"""Who of many workers keeps watch: `Watch`. A thousand that all look after all would be a million.

The first few by their names do; others take over when one of those has been silent, as measured by
their own clocks (`beholder.jobs.silence`).
"""

from dataclasses import dataclass, field

from sqlalchemy import select

from beholder.jobs.database import Database
from beholder.jobs.service_models import Worker
from beholder.jobs.silence import Sign, Unchanged

WATCHERS = 8


@dataclass
class Watch:
    """What one worker knows of those before it.

    lease_s: how long one of them may be silent. look_s: as for `Unchanged`. watchers: how many do.
    """

    name: str
    lease_s: float
    look_s: float
    watchers: int = WATCHERS
    _before: Unchanged[Sign] = field(init=False)

    def __post_init__(self) -> None:
        self._before = Unchanged(self.look_s)

    def is_mine(self, database: Database, now: float) -> bool:
        """Whether fewer than `watchers` that are alive come before it. now: as `Unchanged`."""
        first = select(Worker.name, Worker.seen_at).where(Worker.name < self.name)
        with database.read() as session:
            signs = [
                Sign(*row) for row in session.execute(first.order_by(Worker.name).limit(_READ))
            ]
        silent = self._before.look(signs, now)
        return sum(silent_s < self.lease_s for silent_s in silent.values()) < self.watchers


_READ = 64  # were so many dead that nobody has forgotten yet, all who come after them would watch

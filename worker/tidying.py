"""The thread of a worker that removes what nobody needs any more: a `Tidier`.

A job's files on a store across the network may take minutes, in which nobody would sweep, and the
worker would seem dead.
"""

import logging
import threading
import time
from collections.abc import Callable

from beholder.errors import BeholderError
from beholder.jobs.database import Database
from beholder.jobs.watch import Watch
from beholder.settings import Settings
from beholder.store import Store
from beholder.upkeep.checkpoints import Tidying
from beholder.upkeep.last_claims import remove_last
from beholder.upkeep.retention import Retention, remove_hidden
from worker.lease import Flag

log = logging.getLogger(__name__)


class Tidier:
    """Goes round as often as the sweep does, however long a round takes.

    tidy_up: what this worker has to remove itself, whoever is first.
    """

    def __init__(
        self,
        db: Database,
        store: Store,
        settings: Settings,
        name: str,
        stopping: Flag,
        *,
        tidy_up: Callable[[], None] = lambda: None,
    ) -> None:
        self._db = db
        self._store = store
        self._sweep_s = settings.sweep_s
        self._stopping = stopping
        self._tidy_up = tidy_up
        self._tidying = Tidying(db, store)
        self._retention = Retention(db, settings.retention_days)
        self._first = Watch(name, settings.lease_s, settings.look_s, watchers=1)

    def start(self) -> None:
        """Begin, in a thread of its own that ends with the process."""
        threading.Thread(target=self._go_round, name="tidying", daemon=True).start()

    def step(self) -> None:
        """One round, whose parts hold up none of the others. What lies in the store is the first
        worker's to look through and to remove: a thousand that all list it would be most of what
        the store is asked.
        """
        _on_its_own(self._tidy_up)
        _on_its_own(self._go_through_store)
        _on_its_own(self._put_away)

    def _go_through_store(self) -> None:
        if self._first.is_mine(self._db, time.monotonic()):
            _on_its_own(lambda: remove_hidden(self._db, self._store))
            _on_its_own(lambda: remove_last(self._db, self._store))
            _on_its_own(self._tidying.step)

    def _put_away(self) -> None:
        if removed := self._retention.step():
            log.info("job %s removed for its age", removed, extra={"job": removed})

    def _go_round(self) -> None:
        while not self._stopping.is_set():
            self.step()
            time.sleep(self._sweep_s)


def _on_its_own(part: Callable[[], None]) -> None:
    """What goes wrong in it holds up no other part, and is said."""
    try:
        part()
    except BeholderError as error:
        log.warning("tidying: %s", error)
    except Exception:
        log.exception("tidying")

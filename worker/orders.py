"""`Orders`: what an operator told a worker, by way of its heartbeat: to pause, or to drain."""

import logging
import time

from beholder.jobs.service_models import Order
from worker.flag import SharedFlag
from worker.lease import Flag

log = logging.getLogger(__name__)
_GLANCE_S = 0.2  # how soon a paused worker goes on, or ends


class Orders:
    """What a child process was told last. Used by several threads.

    stopping: set when the worker is asked to stop. draining: to be set when one of its children is
    told to drain, for all of them.
    """

    def __init__(self, stopping: Flag, draining: SharedFlag) -> None:
        self._stopping = stopping
        self._draining = draining
        self._told: Order | None = None

    def take(self, told: Order | None) -> None:
        """Do as told from now on."""
        if told != self._told:
            log.info("told to %s", told or "resume")
        self._told = told
        if told == "drain":
            self._draining.set()

    def claiming(self) -> bool:
        """Whether the worker may take more work."""
        return self._told is None and not self._draining.is_set()

    def ending(self) -> bool:
        """Whether the worker is asked to end, at once or with what it has."""
        return self._stopping.is_set() or self._draining.is_set()

    @property
    def paused(self) -> bool:
        """Whether it is to wait with what it is, and not asked to end."""
        return self._told == "pause" and not self.ending()

    def wait(self) -> None:
        """Until it is no longer paused."""
        while self.paused:
            time.sleep(_GLANCE_S)

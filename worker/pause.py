"""`Pause`: work that finds no room left waits until there is some, and says so meanwhile."""

import logging
import time
from collections.abc import Callable
from itertools import chain, repeat

from beholder.errors import BeholderError, StorageFull
from worker.lease import Flag

log = logging.getLogger(__name__)
ROOM_BYTES = 8 << 20  # that have to be free in store and database before work goes on
LOOKS_S = (1.0, 2.0, 4.0, 8.0, 15.0)  # from look to look, the last of them for ever
_GLANCE_S = 0.2  # how soon a worker that is asked to stop does


class Pause:
    """Around a worker's runs.

    insist_on_room: raises StorageFull while there is none. say: told the reason, and None when
    work goes on.
    """

    def __init__(
        self,
        insist_on_room: Callable[[], object],
        say: Callable[[str | None], object],
        stopping: Flag,
        looks_s: tuple[float, ...] = LOOKS_S,
    ) -> None:
        self._insist_on_room = insist_on_room
        self._say = say
        self._stopping = stopping
        self._looks_s = looks_s

    def around(self, run: Callable[[], int]) -> None:
        """Run, and again after each pause, until it comes to its end or the worker is to stop."""
        # One for all pauses: what fits the room that was found may still be too large.
        waits = chain(self._looks_s, repeat(self._looks_s[-1]))
        while True:
            try:
                run()
                return
            except StorageFull as full:
                reason = str(full)
            while reason:
                log.warning("paused: %s", reason)
                self._say(reason)
                if not self._wait(next(waits)):
                    return
                reason = self._reason()
            log.info("there is room again")
            self._say(None)

    def _reason(self) -> str:
        """Why work still can't go on; empty when it can."""
        try:
            self._insist_on_room()
        except BeholderError as error:  # an outage on top of it: likewise to be waited for
            return str(error)
        return ""

    def _wait(self, seconds: float) -> bool:
        """Whether that time has passed without the worker being asked to stop."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._stopping.is_set():
                return False
            time.sleep(min(_GLANCE_S, seconds))
        return not self._stopping.is_set()

"""`Pause`: work that finds no room, or no store, waits for it, and says so meanwhile."""

import logging
import time
from collections.abc import Callable
from itertools import chain, repeat

from beholder.durable import has_room
from beholder.errors import BeholderError, StorageFull, StoreMissing

log = logging.getLogger(__name__)
ROOM_BYTES = 8 << 20  # that have to be free in store and database before work goes on
LOOKS_S = (1.0, 2.0, 4.0, 8.0, 15.0)  # from look to look, the last of them for ever
Lack = StorageFull | StoreMissing
_GLANCE_S = 0.2  # how soon a worker that is asked to end does


class Pause:
    """Around a worker's runs.

    insist: raises StorageFull while there is no room, StoreMissing while there is no store. say:
    told the reason, and None when a run has come to its end. ending: whether the worker is asked to
    end, which then has nothing in hand.
    """

    def __init__(
        self,
        insist: Callable[[], object],
        say: Callable[[str | None], object],
        ending: Callable[[], bool],
        looks_s: tuple[float, ...] = LOOKS_S,
    ) -> None:
        self._insist = insist
        self._say = say
        self._ending = ending
        self._looks_s = looks_s
        self._paused = False

    def around(self, run: Callable[[], int]) -> None:
        """Run, and again after each pause, until it comes to its end or the worker is to end."""
        # One for all pauses: what fits the room that was found may still be too large.
        waits = chain(self._looks_s, repeat(self._looks_s[-1]))
        while (lack := _what_is_lacking(run)) is not None:
            self._paused = True
            reason = str(lack)
            while reason:
                log.warning("paused: %s", reason)
                self._say(reason)
                if not self._wait(next(waits)):
                    return
                reason = self._reason(lack)
            log.info("work goes on")
        if self._paused:
            self._paused = False
            self._say(None)

    def _reason(self, lack: Lack) -> str:
        """Why work still can't go on; empty when it can."""
        if isinstance(lack, StorageFull) and lack.folder and not has_room(lack.folder, lack.size):
            return str(lack)
        try:
            self._insist()
        except BeholderError as error:  # an outage on top of it: likewise to be waited for
            return str(error)
        return ""

    def _wait(self, seconds: float) -> bool:
        """Whether that time has passed without the worker being asked to end."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._ending():
                return False
            time.sleep(min(_GLANCE_S, seconds))
        return not self._ending()


def _what_is_lacking(run: Callable[[], int]) -> Lack | None:
    """What ended a run, without all that the run had in memory; None where it came to its end."""
    try:
        run()
    except (StorageFull, StoreMissing) as lack:
        return lack.with_traceback(None)
    return None

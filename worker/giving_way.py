"""`GivingWay`: a work of long dreams lets others pass between two of its steps."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

EVERY_S = 5.0


@dataclass
class GivingWay:
    """Asked after each step of a work, at the device.

    New jobs get no more time than the work has had, so that they don't keep it for ever.
    """

    _passed_s: float = 0.0
    _begun_at: float = field(default_factory=time.monotonic)
    _asked_at: float = field(default_factory=time.monotonic)

    def __call__(self, let_pass: Callable[[bool], None]) -> None:
        """Let one pass, if it is time to look.

        let_pass: does a work that goes before this one, if there is one: of a higher priority, or
        where it is told so of a new job.
        """
        now = time.monotonic()
        if now - self._asked_at < EVERY_S:
            return
        let_pass(self.own_s > self._passed_s)
        self._asked_at = time.monotonic()
        self._passed_s += self._asked_at - now

    @property
    def own_s(self) -> float:
        """Seconds of the work so far, without those of what has passed it."""
        return time.monotonic() - self._begun_at - self._passed_s

"""`GivingWay`: a batch of long dreams lets other work pass between two of its steps."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

EVERY_S = 5.0


@dataclass
class GivingWay:
    """Asked after each step of a batch, at the device.

    let_pass: does a work that goes before the batch, if there is one: one of a higher priority, or
    where it is told so one of a new job. Those get no more time than the batch has had, so that
    they don't keep it for ever.
    """

    let_pass: Callable[[bool], None] | None
    _passed_s: float = 0.0
    _begun_at: float = field(default_factory=time.monotonic)
    _asked_at: float = field(default_factory=time.monotonic)

    def __call__(self) -> None:
        """Let one pass, if it is time to look."""
        now = time.monotonic()
        if self.let_pass is None or now - self._asked_at < EVERY_S:
            return
        self.let_pass(self.own_s > self._passed_s)
        self._asked_at = time.monotonic()
        self._passed_s += self._asked_at - now

    @property
    def own_s(self) -> float:
        """Seconds of the batch so far, without those of what has passed it."""
        return time.monotonic() - self._begun_at - self._passed_s

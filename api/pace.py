"""How fast items end, from one look at their number to the next: `Pace`."""

import threading
from dataclasses import dataclass, field


@dataclass
class Pace:
    """Items a second, from one scrape to the next."""

    _at: float | None = None
    _ended: int = 0
    _rate: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def rate(self, ended: int, now: float) -> float:
        """ended: how many items have ended so far. Jobs that are deleted count for nothing."""
        with self._lock:
            if self._at is not None and now > self._at:
                self._rate = max(0, ended - self._ended) / (now - self._at)
            self._at, self._ended = now, ended
            return self._rate

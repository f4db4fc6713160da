"""Whether the work in hand goes on: `Signs`, which its steps give and its leases' keeper counts."""

from collections.abc import Callable
from dataclasses import dataclass

PATIENCE = 5.0  # times the longest silence that came to an end


@dataclass
class Signs:
    """A worker process's. Used by several threads: signs are given by all, counted by one.

    limit_s: how long a silence is believed in at least. excused: whether none can be asked for now.
    """

    limit_s: float
    excused: Callable[[], bool] = lambda: False
    longest_s: float = 0.0
    silent_s: float = 0.0
    _given: int = 0
    _counted: int = 0

    def give(self) -> None:
        """Something was done."""
        self._given += 1

    def too_long_since(self, passed_s: float) -> bool:
        """Whether the work hangs, now that the counter has looked for so many seconds more.

        What passes while nobody looks, as in a stopped process, does not count.
        """
        if self._given != self._counted or self.excused():
            self.longest_s = max(self.longest_s, self.silent_s)
            self._counted, self.silent_s = self._given, 0.0
            return False
        self.silent_s += passed_s
        return self.silent_s >= max(self.limit_s, PATIENCE * self.longest_s)

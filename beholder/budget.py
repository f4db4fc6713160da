"""So much at a time, over all threads of a process: `Budget`."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Budget:
    """Amounts that are taken at a time add up to no more than `most`; who waits, waits in turn.

    One that is larger than all of it is let through when nothing else is taken. Whoever has taken
    some takes no more and waits for nobody who might, so that every wait ends.
    """

    def __init__(self, most: int) -> None:
        self._most = self._left = most
        self._turn = threading.Lock()
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, amount: int) -> Iterator[None]:
        """Around what takes this amount: begins when it is there."""
        amount = min(amount, self._most)
        with self._turn, self._changed:  # else small ones would pass a large one for ever
            self._changed.wait_for(lambda: self._left >= amount)
            self._left -= amount
        try:
            yield
        finally:
            with self._changed:
                self._left += amount
                self._changed.notify()

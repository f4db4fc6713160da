"""`give_back`: memory that was freed goes back to the system."""

import ctypes
import os
from collections.abc import Callable
from functools import cache


def give_back() -> None:
    """Return freed memory to the system, where that has to be asked for.

    Left alone, glibc keeps what was freed in blocks under 32 MiB, for as long as anything above
    them is in use.
    """
    _trim()(0)


@cache
def _trim() -> Callable[[int], object]:
    found: Callable[[int], object] | None = None
    if os.name == "posix":
        found = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return found or (lambda _: None)

"""Local files that may be about to be removed: out of everybody's sight while that is decided.

Whoever brings such a file again either did so before it was moved, which its time shows, or finds
none and writes it anew. A name that ends in AWAY is what a process that was killed has left.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

AWAY = ".away"


@contextmanager
def aside(path: str) -> Iterator[str]:
    """Move a file aside; it comes back at the end, unless it has been removed there.

    Raises FileNotFoundError.
    """
    away = _away(path)
    os.replace(path, away)
    try:
        yield away
    finally:
        bring_back(path)


def bring_back(path: str) -> None:
    """Bring back what has been moved aside; what was written in its place meanwhile stays."""
    away = _away(path)
    with suppress(FileNotFoundError):
        try:
            os.link(away, path)
        except FileExistsError:
            pass
        except PermissionError:  # a disk without hard links
            if not os.path.exists(path):
                os.replace(away, path)
                return
        os.unlink(away)


def away_name(name: str) -> str:
    """What a file of this name is called meanwhile."""
    return f".{name}{AWAY}"


def _away(path: str) -> str:
    folder, name = os.path.split(path)
    return f"{folder}/{away_name(name)}"

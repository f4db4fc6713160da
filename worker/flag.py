"""A flag between a worker's parent and its children, without a lock."""

import mmap


class SharedFlag:
    """One byte of memory that forked children share.

    multiprocessing's Event would do, but asking it takes a lock: a child that is killed while it
    asks would keep the lock, and every other child would wait for it for ever.
    """

    def __init__(self) -> None:
        self._byte = mmap.mmap(-1, 1)

    def set(self) -> None:
        """Raise the flag, for every process that shares it."""
        self._byte[0] = 1

    def is_set(self) -> bool:
        """Whether anyone has raised it."""
        return self._byte[0] != 0

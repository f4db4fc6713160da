"""A worker process's sign of life, for `/readyz` and `/metrics`: what it is, what it has done."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import torch

from beholder.jobs.database import Database
from beholder.jobs.models import utc_now
from beholder.jobs.workers import WorkerView, beat, forget


@dataclass
class Heartbeat:
    """Times the chunks of one process; `beat()` writes it down. Used by several threads.

    paused: why the process takes no work for now; None while it does.
    """

    db: Database
    name: str
    device: str
    started_at: datetime = field(default_factory=utc_now)
    chunk_id: int | None = None
    chunk_seconds: float = 0.0
    paused: str | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ended: bool = False

    @contextmanager
    def working(self, chunk_id: int) -> Iterator[None]:
        """Around the work on a chunk, for which there is room again if there was none before."""
        begun, self.chunk_id, self.paused = time.monotonic(), chunk_id, None
        try:
            yield
        finally:
            self.chunk_id = None
            self.chunk_seconds += time.monotonic() - begun

    def beat(self, chunks: int, passing_over: str | None = None) -> None:
        """Write the sign of life. chunks: how many were claimed so far.

        passing_over: why some jobs are left to others, said where nothing else keeps the process.
        Raises ServiceUnavailable where the database is away.
        """
        view = WorkerView(
            name=self.name,
            host=socket.gethostname(),
            pid=os.getpid(),
            device=self.device,
            started_at=self.started_at,
            seen_at=utc_now(),
            chunk_id=self.chunk_id,
            chunks=chunks,
            chunk_seconds=self.chunk_seconds,
            gpu_bytes=_gpu_bytes(),
            paused=self.paused or passing_over,
        )
        with self._lock:
            if not self._ended:
                beat(self.db, view)

    def end(self) -> None:
        """Sign off: nothing is heard of it any more. Raises ServiceUnavailable, as `beat`."""
        with self._lock:
            self._ended = True
            forget(self.db, [self.name])


def _gpu_bytes() -> int | None:
    """GPU memory held by this process. Asks only once CUDA is in use: asking would start it."""
    started = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return torch.cuda.memory_reserved() if started else None

"""A worker process's sign of life: what it is, what it has done; its answer is what it is told."""

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import torch

from beholder.jobs.database import Database
from beholder.jobs.models import utc_now
from beholder.jobs.service_models import Order
from beholder.jobs.workers import WorkerView, beat, forget

RATE_S = 60.0  # over which the rate is taken


@dataclass
class Heartbeat:
    """Times the chunks of one process; `beat()` writes it down. Used by several threads.

    paused: why the process takes no work for now; None while it does. told: by an operator, as of
    the last beat.
    """

    db: Database
    name: str
    device: str
    started_at: datetime = field(default_factory=utc_now)
    chunk_id: int | None = None
    paused: str | None = None
    told: Order | None = None
    _spent: tuple[float, float | None] = (0.0, None)  # before this batch, and when that began
    _since: tuple[int, datetime] | None = None  # the chunk, and when it was begun
    _beats: deque[tuple[float, int]] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ended: bool = False

    @contextmanager
    def working(self, chunk_id: int) -> Iterator[None]:
        """Around the work on a chunk, for which there is room again if there was none before.

        Within that on another, which it passes: then that one is worked on again.
        """
        outer, outer_since = self.chunk_id, self._since
        self.chunk_id, self.paused = chunk_id, None
        self._spent = self._chunk_seconds(), time.monotonic()
        if self._since is None or self._since[0] != chunk_id:  # else another of its batches
            self._since = (chunk_id, utc_now())
        try:
            yield
        finally:
            self.chunk_id = outer
            self._spent = self._chunk_seconds(), None if outer is None else time.monotonic()
            if outer is not None:
                self._since = outer_since

    def _chunk_seconds(self) -> float:
        """Those of the batch in hand too, which may take minutes; never less than before."""
        spent, begun = self._spent  # both at once, since others may ask meanwhile
        return spent if begun is None else spent + time.monotonic() - begun

    def beat(self, chunks: int, items: int = 0, passing_over: str | None = None) -> None:
        """Write the sign of life. chunks, items: how many were claimed, and ended, so far.

        passing_over: why some jobs are left to others, said where nothing else keeps the process.
        Raises ServiceUnavailable where the database is away.
        """
        chunk_id, since = self.chunk_id, self._since
        view = WorkerView(
            name=self.name,
            host=socket.gethostname(),
            pid=os.getpid(),
            device=self.device,
            started_at=self.started_at,
            seen_at=None,
            chunk_id=chunk_id,
            chunks=chunks,
            chunk_seconds=self._chunk_seconds(),
            gpu_bytes=_gpu_bytes(self.device),
            paused=self.paused or passing_over,
            since=since[1] if since and since[0] == chunk_id else None,
            items=items,
            rate=self._rate(items),
            told=self.told,
        )
        with self._lock:
            if not self._ended:
                self.told = beat(self.db, view)

    def _rate(self, items: int) -> float | None:
        """Items a second, of the last minute; None before two beats."""
        now = time.monotonic()
        self._beats.append((now, items))
        while len(self._beats) > 2 and now - self._beats[1][0] >= RATE_S:
            self._beats.popleft()
        begun, before = self._beats[0]
        return (items - before) / (now - begun) if now > begun else None

    def end(self) -> None:
        """Sign off: nothing is heard of it any more. Raises ServiceUnavailable, as `beat`."""
        with self._lock:
            self._ended = True
            forget(self.db, [self.name])


def _gpu_bytes(device: str) -> int | None:
    """What this process holds of a GPU. Asks only once CUDA is in use: asking would start it."""
    started = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return torch.cuda.memory_reserved(device) if started and device != "cpu" else None

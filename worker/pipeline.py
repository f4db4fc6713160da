"""Works overlap: one is decoded ahead of the device, one is on it, some are stored behind it."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import Any

import torch

from worker.lease import Stopping
from worker.pictures import Batch
from worker.work import Work

AnyWork = Work[Any, Any]
Step = tuple[AnyWork, Batch | None]  # a batch for the device, or None: the work's end

AHEAD = 1  # batches that are decoded, or about to be, before the device has time for them
BEHIND = 2  # works that are stored at a time; a third waits, and the device with it


@dataclass(frozen=True)
class Stations:
    """What a work passes. `take` and `batches` have a thread of their own, `close` has others.

    take: the next work, or None where there is none now.
    sooner: what came since a work was taken and goes before it; new: whether a new job may, or only
        a higher priority; None before its first batch, where that depends. Raises no Exception.
    batches: its batches, decoded as they are asked for.
    run: does one of them on the device. Raises no Exception.
    close: the work's end, whatever became of it. Raises no Exception.
    stop: asks all of them to be quick, since the worker ends.
    """

    take: Callable[[], AnyWork | None]
    sooner: Callable[[AnyWork, bool | None], AnyWork | None]
    batches: Callable[[AnyWork], Iterator[Batch]]
    run: Callable[[AnyWork, Batch], None]
    close: Callable[[AnyWork], None]
    stop: Callable[[], None]


@dataclass(frozen=True)
class Pipeline:
    """Drives works through their stations."""

    stations: Stations
    _steps: SimpleQueue[Step | None] = field(default_factory=SimpleQueue)
    _slots: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(AHEAD))

    def drive(self) -> int:
        """Work until there is nothing to take; how many works there were. Raises what `take` does.

        Every work that was taken has been closed by then.
        """
        torch.get_num_threads()  # settles this thread's, before one of the others says its own
        # With a team of torch's own, each thread would take the cores from the device's.
        alone = partial(ThreadPoolExecutor, initializer=torch.set_num_threads, initargs=(1,))
        with alone(1, "ahead") as ahead, alone(BEHIND, "behind") as behind:
            fed = ahead.submit(self._feed)
            try:
                works = self._work(behind)
            except BaseException:
                self.stations.stop()
                self._work(behind)  # gives back what is in hand
                raise
            fed.result()
        return works

    def _feed(self) -> None:
        """Put every step of every work in line, decoding no further ahead than AHEAD batches."""
        try:
            self._slots.acquire()
            while (work := self.stations.take()) is not None:
                for batch in self._batches(work):
                    self._steps.put((work, batch))
                    self._slots.acquire()
                self._steps.put((work, None))
        finally:
            self._steps.put(None)

    def _work(self, behind: ThreadPoolExecutor) -> int:
        """Do the steps in their order; how many works came to their end."""
        closing: deque[Future[None]] = deque()
        works = 0

        def close(work: AnyWork) -> None:
            nonlocal works
            works += 1
            closing.append(behind.submit(self.stations.close, work))
            if len(closing) > BEHIND:
                closing.popleft().result()

        def let_pass(work: AnyWork, new: bool | None) -> None:
            if (sooner := self.stations.sooner(work, new)) is not None:
                # It lets no new job pass itself, else ever more would lie half done.
                self._pass(sooner, lambda _: let_pass(sooner, False), close)

        begun: AnyWork | None = None
        while (step := self._steps.get()) is not None:
            work, batch = step
            if batch is None:
                close(work)
                continue
            with _at_device(work, partial(let_pass, work)):
                try:
                    if work is not begun:
                        let_pass(work, None)
                finally:
                    self._slots.release()
                self.stations.run(work, batch)
            begun = work
        for end in closing:
            end.result()
        return works

    def _pass(
        self, work: AnyWork, let_pass: Callable[[bool], None], close: Callable[[AnyWork], None]
    ) -> None:
        """Do a whole work, while another waits; the device waits for its pictures."""
        try:
            with _at_device(work, let_pass):
                for batch in self._batches(work):
                    self.stations.run(work, batch)
        finally:
            close(work)

    def _batches(self, work: AnyWork) -> Iterator[Batch]:
        """A work's batches, up to where it fails."""
        try:
            yield from self.stations.batches(work)
        except Exception as error:
            work.fail(error)


@contextmanager
def _at_device(work: AnyWork, let_pass: Callable[[bool], None]) -> Iterator[None]:
    """Around its work there. Where the process is to end, what is half done is given back."""
    work.let_pass = let_pass
    try:
        yield
    except BaseException:
        work.fail(Stopping())
        raise
    finally:
        work.let_pass = None  # it knows the work, which would be in memory for longer

"""Works overlap: one is decoded ahead of the device, one is on it, some are stored behind it."""

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
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
    """What a work passes. `take` and `batches` have a thread of their own, `close` has others; what
    passes another is taken and decoded on the device's.

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


class Line:
    """Steps that wait for the device, put by one thread and taken by another."""

    def __init__(self) -> None:
        self._steps: SimpleQueue[Step | None] = SimpleQueue()
        self._seen: deque[Step | None] = deque()  # by who takes them
        self._slots = threading.Semaphore(AHEAD)

    def wait(self) -> None:
        """Until there is room for a batch more."""
        self._slots.acquire()

    def make_room(self) -> None:
        """A batch that was taken is on the device."""
        self._slots.release()

    def put(self, step: Step | None) -> None:
        """At the end; None ends the line."""
        self._steps.put(step)

    def get(self) -> Step | None:
        """The next, waited for."""
        return self._seen.popleft() if self._seen else self._steps.get()

    def first_but(self, works: Collection[AnyWork]) -> AnyWork | None:
        """The first work here that is none of these; None where none is ready."""
        with suppress(Empty):
            while True:
                self._seen.append(self._steps.get_nowait())
        return next((step[0] for step in self._seen if step and step[0] not in works), None)

    def batches_of(self, work: AnyWork) -> Iterator[Batch]:
        """Take all steps of a work that is here, past those of others, and make room for more."""
        while (batch := self._step_of(work)[1]) is not None:
            self.make_room()
            yield batch

    def _step_of(self, work: AnyWork) -> Step:
        while True:
            for place, step in enumerate(self._seen):
                if step is not None and step[0] is work:
                    del self._seen[place]
                    return step
            self._seen.append(self._steps.get())


@dataclass(frozen=True)
class Pipeline:
    """Drives works through their stations."""

    stations: Stations
    _line: Line = field(default_factory=Line)

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
            self._line.wait()
            while (work := self.stations.take()) is not None:
                for batch in self._batches(work):
                    self._line.put((work, batch))
                    self._line.wait()
                self._line.put((work, None))
        finally:
            self._line.put(None)

    def _work(self, behind: ThreadPoolExecutor) -> int:
        """Do the steps in their order; how many works came to their end."""
        closing: deque[Future[None]] = deque()
        in_hand: list[AnyWork] = []  # behind the first, what passes the one before it
        works = 0

        def close(work: AnyWork) -> None:
            nonlocal works
            works += 1
            closing.append(behind.submit(self.stations.close, work))
            if len(closing) > BEHIND:
                closing.popleft().result()

        def let_pass(new: bool | None) -> None:
            work = in_hand[-1]
            ahead = None if new is None else self._line.first_but(in_hand)
            if ahead is not None and work.lets(ahead, new=bool(new)):
                run_all(ahead, self._line.batches_of(ahead))
                close(ahead)
            elif (sooner := self.stations.sooner(work, new)) is not None:
                try:
                    run_all(sooner, self._batches(sooner))
                finally:
                    close(sooner)

        def run_all(work: AnyWork, batches: Iterator[Batch]) -> None:
            # It lets no new job pass itself, else ever more would lie half done.
            with _at_device(work, in_hand, lambda _: let_pass(False)):
                for batch in batches:
                    self.stations.run(work, batch)

        begun: AnyWork | None = None
        while (step := self._line.get()) is not None:
            work, batch = step
            if batch is None:
                close(work)
                continue
            with _at_device(work, in_hand, let_pass):
                try:
                    if work is not begun:
                        begun = work
                        let_pass(None)
                finally:
                    self._line.make_room()
                self.stations.run(work, batch)
        for end in closing:
            end.result()
        return works

    def _batches(self, work: AnyWork) -> Iterator[Batch]:
        """A work's batches, up to where it fails."""
        try:
            yield from self.stations.batches(work)
        except Exception as error:
            work.fail(error)


@contextmanager
def _at_device(
    work: AnyWork, in_hand: list[AnyWork], let_pass: Callable[[bool], None]
) -> Iterator[None]:
    """Around its work there. Where the process is to end, what is half done is given back."""
    work.let_pass = let_pass
    in_hand.append(work)
    try:
        yield
    except BaseException:
        work.fail(Stopping())
        raise
    finally:
        in_hand.pop()
        work.let_pass = None  # it knows the work, which would be in memory for longer

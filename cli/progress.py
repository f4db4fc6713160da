"""Following a job to its end: a bar with rate and time left on a terminal, plain lines elsewhere.

`follow` asks the desk, so it shows the same whichever process or machine does the work.
`counting` is for what this command does itself.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from beholder.durations import duration
from beholder.errors import NotFound
from beholder.priorities import PRIORITIES
from cli.output import remarks, say

if TYPE_CHECKING:
    from beholder.jobs.views import JobView
    from cli.desk import Desk

LINE_EVERY_S = 10.0  # without a terminal
RUNNING_LOOKED_AT = 100
_DRAWN_EVERY_S = 0.1
FINAL = frozenset({"done", "failed", "cancelled"})


def follow(desk: "Desk", job_id: str, *, on_look: Callable[[], object] = lambda: None) -> "JobView":
    """Show a job's progress until it ends; its final state. `on_look` is called before each look.

    Raises NotFound when the job is deleted meanwhile.
    """
    show = _Bar() if sys.stderr.isatty() else _Lines()
    pace = _Pace()
    with show:
        on_look()
        for job, through in desk.watch(job_id):
            line = pace.line(job, through) if job.state != "queued" else waiting_words(desk, job)
            line = f"paused: {job.paused}" if job.paused else line
            show.update(job, through, line)
            if job.state in FINAL:
                return job
            on_look()
    raise NotFound(f"job {job_id} is gone: `beholder jobs` lists those that are left.")


def waiting_words(desk: "Desk", job: "JobView") -> str:
    """What a queued job waits for: its turn, and a worker where all are busy."""
    turn = _turn_words(desk, job)
    return f"{turn}; {job.waits}" if job.waits else turn


def _turn_words(desk: "Desk", job: "JobView") -> str:
    """Whether those of a higher priority go first, or it has its turn among the others."""
    looked_at = desk.jobs(state="running", limit=RUNNING_LOOKED_AT)
    running = [other for other in looked_at if other.id != job.id]  # it may have begun meanwhile
    if not running:
        return "queued"
    first = min(running, key=lambda other: PRIORITIES.index(other.priority))
    at = f"{first.kind} {first.id}, {first.done:,} of {first.total:,}"
    if PRIORITIES.index(first.priority) < PRIORITIES.index(job.priority):
        return f"queued, {first.priority} priority goes first: {at}"
    return f"queued, next in turn with {at}"


def outcome_words(job: "JobView", *states: str) -> str:
    """ "5 of 6 done, 1 failed": failed and cancelled items, or those in `states`, where any are."""
    counts = {name: getattr(job, name) for name in states or ("failed", "cancelled")}
    rest = [f"{count:,} {name}" for name, count in counts.items() if count]
    return ", ".join([f"{job.done:,} of {job.total:,} done", *rest])


@dataclass
class _Pace:
    """Rate and time left, from what has been done since it was first seen to run."""

    begun: float = 0.0
    at_first: float | None = None

    def line(self, job: "JobView", through: float) -> str:
        """State, rate and time left, once `through` items are done."""
        if self.at_first is None:
            self.begun, self.at_first = time.monotonic(), through
        elapsed, gained = time.monotonic() - self.begun, through - self.at_first
        parts = [job.state if job.stage is None or job.state != "running" else job.stage]
        if gained > 0:
            rate = gained / elapsed
            parts.append(f"{rate:.2g}/s" if rate >= 1 else f"{rate * 60:.2g}/min")
            if job.state not in FINAL:
                parts.append(f"{duration((job.total - through) / rate)} left")
        if job.failed:
            parts.append(f"{job.failed} failed")
        return ", ".join(parts)


def _done(job: "JobView", through: float) -> str:
    from beholder.jobs.completion import fruitful

    return f"{fruitful(job, through):,} of {job.total:,}"


class _Bar:
    """A live bar on a terminal."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[done]}"),
            TextColumn("{task.fields[pace]}"),
            console=remarks(),
        )
        self._task = self._progress.add_task("", total=None, done="", pace="")

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def update(self, job: "JobView", through: float, pace: str) -> None:
        self._progress.update(
            self._task,
            description=f"{job.kind} {job.id}",
            total=job.total,
            completed=int(through),
            done=_done(job, through),
            pace=pace,
        )


class _Lines:
    """A line now and then, for logs and pipes."""

    def __init__(self) -> None:
        self._state: tuple[str, str | None] | None = None
        self._line = ""
        self._at = 0.0

    def __enter__(self) -> "_Lines":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, job: "JobView", through: float, pace: str) -> None:
        now, state = time.monotonic(), (job.state, job.stage)
        line = f"{job.kind} {job.id}: {_done(job, through)}, {pace}"
        if state == self._state and (now - self._at < LINE_EVERY_S or line == self._line):
            return
        self._state, self._line, self._at = state, line, now
        say(line)


@contextmanager
def counting(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar with rate and time left; what it gives is called once for each of `total`."""
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    words, rate = TextColumn(what), TextColumn("{task.fields[rate]}")
    console = remarks()
    hidden = not console.is_terminal  # in a pipe it would leave an empty line
    begun = drawn = time.monotonic()
    done = 0
    with Progress(
        words,
        MofNCompleteColumn(),
        rate,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=hidden,
    ) as progress:
        task = progress.add_task("", total=total, rate="")

        def on_one() -> None:
            nonlocal done, drawn
            done += 1
            now = time.monotonic()
            if now - drawn >= _DRAWN_EVERY_S or done == total:  # it costs more than most of them
                drawn = now
                progress.update(task, completed=done, rate=f"{done / (now - begun):,.0f}/s")

        yield on_one

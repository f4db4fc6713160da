"""Child processes that are kept running: started, restarted when they die, stopped in order.

`Supervisor` runs a list of `Program`s. Each child asks the kernel to end it when its parent dies,
so that even a supervisor killed with -9 leaves no orphan (Linux only).
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded before any fork

FIRST_DELAY_S, LONGEST_DELAY_S = 0.5, 30.0  # before a restart; doubled at each death in a row
HEALTHY_AFTER_S = 10.0  # a child that lived this long starts again without delay
POLL_S = 0.2


@dataclass(frozen=True)
class Program:
    """What to run. Its output is appended to `log`; `grace_s` lies between SIGTERM and SIGKILL.

    log: None for the supervisor's own output. may_end: exit code 0 is its end, and no death.
    mend: called before the program is started again after it failed at its start; says in a few
    words what was mended, or None.
    """

    name: str
    command: tuple[str, ...]
    log: Path | None
    env: Mapping[str, str]
    grace_s: float = 10.0
    mend: Callable[[], str | None] | None = None
    may_end: bool = False


@dataclass
class _Child:
    program: Program
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    deaths: int = 0
    ended: bool = False
    start_at: float = field(default_factory=time.monotonic)


class Supervisor:
    """Keeps programs running between `start()` and `stop()`, or as a context manager.

    on_event is told, in one line, when a program had to be started again.
    """

    def __init__(
        self, programs: Sequence[Program], *, on_event: Callable[[str], None] | None = None
    ) -> None:
        self._children = [_Child(program) for program in programs]
        self._on_event = on_event or (lambda _: None)
        self._stopping = threading.Event()
        # The kernel counts the thread that started a child as its parent, so one thread starts
        # all of them, and outlives them.
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self) -> None:
        """Start every program, in order."""
        self._thread.start()

    def stop(self) -> None:
        """Stop every program, all at once; returns when all have ended."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def __enter__(self) -> "Supervisor":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def ended(self) -> bool:
        """Whether every program has come to its end, so that nothing is left to look after."""
        return all(child.ended for child in self._children)

    def pids(self) -> dict[str, int]:
        """The process id of each program that runs now."""
        return {
            child.program.name: child.process.pid
            for child in self._children
            if child.process and child.process.poll() is None
        }

    def _watch(self) -> None:
        try:
            while not self._stopping.wait(POLL_S):
                for child in self._children:
                    if not child.ended:
                        self._look_after(child)
        finally:
            _end(self._children)

    def _look_after(self, child: _Child) -> None:
        now = time.monotonic()
        if child.process is not None:
            code = child.process.poll()
            if code is None:
                return
            if code == 0 and child.program.may_end:
                child.ended, child.process = True, None
                self._tell(f"{child.program.name} has ended, as it was told to.")
                return
            self._bury(child, code, now)
        if now >= child.start_at:
            self._start(child, now)

    def _bury(self, child: _Child, code: int, now: float) -> None:
        healthy = now - child.started > HEALTHY_AFTER_S
        child.process = None
        child.deaths = 0 if healthy else child.deaths + 1
        mended = None if healthy or code <= 0 else _mend(child.program)
        self._again(child, now, f"ended ({_reason(code)})" + (f"; {mended}" if mended else ""))

    def _start(self, child: _Child, now: float) -> None:
        try:
            child.process = _spawn(child.program)
            child.started = now
        except OSError as error:  # no room for its log, no processes left
            child.deaths += 1
            self._again(child, now, f"can't start ({error.strerror})")

    def _again(self, child: _Child, now: float, what: str) -> None:
        delay = min(FIRST_DELAY_S * 2 ** (child.deaths - 1), LONGEST_DELAY_S) if child.deaths else 0
        child.start_at = now + delay
        when = f" in {delay:g} s" if delay else ""
        log = f" Its log: {child.program.log}" if child.program.log else ""
        self._tell(f"{child.program.name} {what}; starting it again{when}.{log}")

    def _tell(self, event: str) -> None:
        with suppress(OSError):  # that nobody is left to read it ends no program
            self._on_event(event)


def _spawn(program: Program) -> subprocess.Popen[bytes]:
    with _output(program) as log:
        return subprocess.Popen(
            program.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(program.env),
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which stops them
            preexec_fn=partial(die_with, os.getpid()) if _LIBC else None,
        )


def _output(program: Program) -> AbstractContextManager[IO[bytes] | None]:
    if program.log is None:
        return nullcontext()
    program.log.parent.mkdir(parents=True, exist_ok=True)
    return program.log.open("ab")


def die_with(parent: int) -> None:
    """Have this process end when that one does, as far as the system can (Linux)."""
    if _LIBC is None:
        return
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before that was asked for
        os._exit(1)


def _mend(program: Program) -> str | None:
    try:
        return program.mend() if program.mend else None
    except OSError:  # a full disk, say: it is tried again as it is
        return None


def _end(children: Sequence[_Child]) -> None:
    """All are told before any is waited for: else the last would work on until the first ends."""
    running = [(child.program, child.process) for child in children if child.process]
    for _, process in running:
        process.terminate()
    told = time.monotonic()
    for program, process in running:
        try:
            process.wait(max(0.0, told + program.grace_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _reason(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"

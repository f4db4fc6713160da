"""Holding claims while they are worked on: `Leases` renews all that a process has in hand.

What runs together is one `Lease`. Its `check()` reads flags, so it may be called after every step.
Where nothing calls it for long, the process hangs, and renewing for it would be a lie: it ends.
"""

import logging
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn, Protocol

from beholder.errors import BeholderError
from beholder.jobs.claim import Claim
from beholder.jobs.claims import give_up, renew_all
from beholder.jobs.database import Database
from worker.signs import Signs
from worker.told import fields

log = logging.getLogger(__name__)
RENEWALS_PER_LEASE = 4
LONGEST_BEAT_S = 1.5  # also how soon a cancelled job is noticed


class Flag(Protocol):
    """A SharedFlag, or an event of threading; only asked whether it is set."""

    def is_set(self) -> bool:
        """Whether the worker was asked to stop."""


class Interrupted(Exception):
    """The work on a claim ends here."""


class Cancelled(Interrupted):
    """The job was cancelled."""


class LeaseLost(Interrupted):
    """Another worker has the chunk now."""


class Stopping(Interrupted):
    """This worker was asked to stop."""


class Lease:
    """Claims that run together, renewed until `end()`."""

    def __init__(self, leases: "Leases", claims: Sequence[Claim]) -> None:
        self.claims = tuple(claims)
        self.progress = 0.0
        self._leases = leases
        self._interrupted: dict[str, Interrupted] = {}
        self._further: set[str] = set()

    def check(self, progress: float | None = None) -> None:
        """Raise Interrupted if all of the work should end; note how far it is (0 to 1)."""
        if progress is not None:
            self.progress = progress
        self.sign()
        self.look()

    def sign(self) -> None:
        """Note that something was done: of all that this process holds, nothing hangs."""
        self._leases.signs.give()

    def look(self) -> None:
        """Raise Interrupted as `check` does, while something is waited for that may never come."""
        if self._leases.stopping:
            raise Stopping
        if len(self._interrupted) == len(self.claims):
            raise next(iter(self._interrupted.values()))

    @property
    def stopping(self) -> bool:
        """Whether the worker is to end all work."""
        return self._leases.stopping

    def interruption(self, claim: Claim) -> Interrupted | None:
        """Why this one of the claims is not to be worked on any more; None while it stands."""
        return self._interrupted.get(claim.token)

    def interrupt(self, token: str, reason: Interrupted) -> None:
        """The claim with this token no longer stands."""
        self._interrupted[token] = reason

    def went_further(self, claim: Claim) -> None:
        """More of a claim's work is kept now than any claim before it had kept."""
        self._further.add(claim.token)

    @property
    def further(self) -> frozenset[str]:
        """The tokens of the claims that went further."""
        return frozenset(self._further)

    def end(self) -> None:
        """Renew no more."""
        self._leases.forget(self)


class Leases:
    """Renews in the background, inside a `with`, everything that was begun and has not ended.

    stopping: whether the worker was `asked` to stop; `stop()` also says it, of this work alone.
    signs: without any for long, what is held is given up, and the process ends.
    """

    def __init__(self, db: Database, *, lease_s: float, stop: Flag | None, signs: Signs) -> None:
        self.signs = signs
        self._db = db
        self._lease_s = lease_s
        self._stop_of_worker = stop
        self._stopped = False
        self._held: list[Lease] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    @property
    def asked(self) -> bool:
        """Whether the worker was asked to stop, and is killed if it takes long."""
        return self._stop_of_worker is not None and self._stop_of_worker.is_set()

    @property
    def stopping(self) -> bool:
        """Whether to end all work."""
        return self._stopped or self.asked

    def stop(self) -> None:
        """End all work at its next `check()`."""
        self._stopped = True

    @property
    def in_hand(self) -> list[Claim]:
        """What was begun and has not ended."""
        with self._lock:
            return [claim for lease in self._held for claim in lease.claims]

    def begin(self, claims: Sequence[Claim]) -> Lease:
        """Hold these claims from now on."""
        lease = Lease(self, claims)
        lease.sign()
        with self._lock:
            self._held.append(lease)
        return lease

    def forget(self, lease: Lease) -> None:
        """Hold its claims no longer."""
        with self._lock:
            if lease in self._held:
                self._held.remove(lease)

    def __enter__(self) -> "Leases":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _keep(self) -> None:
        beat_s = min(self._lease_s / RENEWALS_PER_LEASE, LONGEST_BEAT_S)
        while not self._ended.wait(beat_s):
            with self._lock:
                held = list(self._held)
            if held and self.signs.too_long_since(beat_s):
                self._end_process(held)
            for lease in held:
                # A failure concerns this lease and beat alone: the next beat tries again. If the
                # lease runs out meanwhile, the token decides.
                try:
                    self._renew(lease)
                except BeholderError as error:
                    log.warning("lease not renewed: %s", error, extra=fields(lease.claims))
                except Exception:
                    log.exception("lease not renewed", extra=fields(lease.claims))

    def _end_process(self, held: Sequence[Lease]) -> NoReturn:
        """A thread that hangs can't be ended; as after a worker's death, another is started."""
        reason = (
            f"none of its work went on for {self.signs.silent_s:.0f} s, where BEHOLDER_HANG_S is "
            f"{self.signs.limit_s:g}"
        )
        for claim in (claim for lease in held for claim in lease.claims):
            log.critical(
                "job %s chunk %s: the worker ends: %s",
                claim.job_id,
                claim.chunk_id,
                reason,
                extra=fields([claim]),
            )
            with suppress(Exception):  # else its lease will say so
                give_up(self._db, claim, f"its worker hung, again and again: {reason}.")
        os._exit(1)

    def _renew(self, lease: Lease) -> None:
        standing = [claim for claim in lease.claims if lease.interruption(claim) is None]
        if not standing:
            return
        states = renew_all(
            self._db,
            standing,
            lease_s=self._lease_s,
            progress=lease.progress,
            further=lease.further,
        )
        for token, state in states.items():
            if state != "held":
                lease.interrupt(token, Cancelled() if state == "cancelled" else LeaseLost())

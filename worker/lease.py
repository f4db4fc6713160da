"""Holding a claim while its chunk runs: a thread renews the lease, the work asks `check()`.

`check()` reads a flag, so it may be called after every step.
"""

import logging
import threading
from typing import Protocol

from beholder.errors import BeholderError
from beholder.jobs.claims import Claim, renew
from beholder.jobs.database import Database

log = logging.getLogger(__name__)
RENEWALS_PER_LEASE = 4
LONGEST_BEAT_S = 1.5  # also how soon a cancelled job is noticed


class Flag(Protocol):
    """A SharedFlag, or an event of threading; only asked whether it is set."""

    def is_set(self) -> bool:
        """Whether the worker was asked to stop."""


class Interrupted(Exception):
    """The work on this chunk ends here."""


class Cancelled(Interrupted):
    """The job was cancelled."""


class LeaseLost(Interrupted):
    """Another worker has the chunk now."""


class Stopping(Interrupted):
    """This worker was asked to stop."""


class Lease:
    """Renews `claim` in the background until the block ends."""

    def __init__(
        self, db: Database, claim: Claim, *, lease_s: float, stopping: Flag | None
    ) -> None:
        self._db = db
        self._claim = claim
        self._lease_s = lease_s
        self._stopping = stopping
        self._ended = threading.Event()
        self._interruption: type[Interrupted] | None = None
        self._progress = 0.0
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def __enter__(self) -> "Lease":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def check(self, progress: float | None = None) -> None:
        """Raise Interrupted if the work should end; note how far it is (0 to 1)."""
        if progress is not None:
            self._progress = progress
        if self._stopping is not None and self._stopping.is_set():
            raise Stopping
        if self._interruption is not None:
            raise self._interruption

    def _keep(self) -> None:
        beat_s = min(self._lease_s / RENEWALS_PER_LEASE, LONGEST_BEAT_S)
        while not self._ended.wait(beat_s):
            try:
                state = renew(self._db, self._claim, lease_s=self._lease_s, progress=self._progress)
            except BeholderError as error:
                # The next beat tries again. If the lease runs out meanwhile, the token decides.
                log.warning("chunk %s: lease not renewed: %s", self._claim.chunk_id, error)
                continue
            if state != "held":
                self._interruption = Cancelled if state == "cancelled" else LeaseLost
                return

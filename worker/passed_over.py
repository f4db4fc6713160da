"""`PassedOver`: jobs that this worker can't run, though others do or may, for a while."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

RETRY_S = 60.0  # by then someone may have seen to it
MOST_SAID = 20  # reasons in a heartbeat, which is written every few seconds
_LONGEST = 500  # characters of one


class _Passed(NamedTuple):
    until: float
    reason: str


@dataclass
class PassedOver:
    """Remembers them with the reasons. Used by several threads."""

    _passed: dict[str, _Passed] = field(default_factory=dict)

    def add(self, job_id: str, reason: str) -> None:
        """Pass a job over for now."""
        self._passed[job_id] = _Passed(time.monotonic() + RETRY_S, reason)

    @property
    def jobs(self) -> frozenset[str]:
        """The ids of those that are passed over now."""
        return frozenset(job_id for job_id, _ in self._now())

    @property
    def reason(self) -> str | None:
        """Why, one to a line, of the first `MOST_SAID`; None if there are none."""
        reasons = (" ".join(reason.split())[:_LONGEST] for _, reason in self._now())
        return "\n".join(islice(reasons, MOST_SAID)) or None

    def _now(self) -> Iterator[tuple[str, str]]:
        for job_id, passed in self._passed.copy().items():
            if passed.until > time.monotonic():
                yield job_id, passed.reason
            else:
                self._passed.pop(job_id, None)

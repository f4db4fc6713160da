"""One line of `beholder doctor`: `Check`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """needed: whether jobs can't be queued and kept without it."""

    name: str
    ok: bool
    detail: str
    needed: bool = False

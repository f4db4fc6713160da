"""What is told of work as it goes on: log lines say what they are about, and jobs' traces grow.

`told("compute", claims)` around a station does both; `told_each` is for what comes piece by piece.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from beholder.jobs.claim import Claim
from beholder.logs import about
from beholder.traces import Attributes, span

Piece = TypeVar("Piece")


@contextmanager
def told(station: str, claims: Sequence[Claim], *, item: int | None = None) -> Iterator[None]:
    """Around the work on claims, or on one item of one, on the thread that does it.

    item: its position in the job.
    """
    of_item = {} if item is None else {"item": item}
    jobs = [(claim.job_id, {**attributes(claim), **of_item}) for claim in claims]
    with about(**fields(claims), **of_item), span(station, jobs):
        yield


def told_each(station: str, claims: Sequence[Claim], pieces: Iterator[Piece]) -> Iterator[Piece]:
    """The pieces, each told of while it is made, and not while it is used."""
    while True:
        with told(station, claims):
            try:
                piece = next(pieces)
            except StopIteration:
                return
        yield piece


def fields(claims: Sequence[Claim]) -> dict[str, object]:
    """What lines about work on claims say of it."""
    if len(claims) == 1:
        return {"job": claims[0].job_id, "chunk": claims[0].chunk_id}
    return {
        "jobs": sorted({claim.job_id for claim in claims}),
        "chunks": [claim.chunk_id for claim in claims],
    }


def attributes(claim: Claim) -> Attributes:
    """What spans say of a claim."""
    return {"chunk": claim.chunk_id, "stage": claim.stage, "attempt": claim.attempt}

"""Cutting a job's open items into chunks: `Ranges` forms them, `insert_chunks` stores them.

`most_items` says how many a stored one can have.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from sqlalchemy import insert
from sqlalchemy.orm import Session

from beholder.jobs.models import Chunk, Job
from beholder.specs import Spec, StudySpec

# Items in a chunk unless the submitter says otherwise. A batch of dreams takes as many chunks as it
# has room for, on a GPU eight of 224 px; a study's takes one.
_DREAMS, _STUDIED = 8, 32
_LARGE = 448  # pixels a side from which on fewer dreams share a chunk
_OF_UNKNOWN_SIZE = 2


def chunk_size_of(spec: Spec) -> int:
    """How many items of a job one worker takes at once."""
    if isinstance(spec, StudySpec):
        return _STUDIED
    if spec.size == "keep":
        return _OF_UNKNOWN_SIZE
    return max(1, min(_DREAMS, _DREAMS * _LARGE**2 // spec.size**2))


class Range(NamedTuple):
    """The positions of a chunk, both ends included, and the layer of a dream's."""

    first: int
    last: int
    layer: int | None = None


class Ranges:
    """Position ranges of at most `size` open items each, none across two layers.

    `add` open positions in ascending order; take what is complete with `closed()`, and at the end
    everything with `finish()`.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._done: list[Range] = []
        self._first = self._last = -1
        self._layer: int | None = None
        self._held = 0

    def add(self, position: int, layer: int | None = None) -> None:
        """One more item to run."""
        if self._held == self._size or (self._held and layer != self._layer):
            self._close()
        if not self._held:
            self._first, self._layer = position, layer
        self._last = position
        self._held += 1

    def closed(self) -> list[Range]:
        """The ranges completed since the last call."""
        done, self._done = self._done, []
        return done

    def finish(self) -> list[Range]:
        """What `closed()` would give, and the range that is not full."""
        if self._held:
            self._close()
        return self.closed()

    def _close(self) -> None:
        self._done.append(Range(self._first, self._last, self._layer))
        self._held = 0


def most_items(job: Job, chunk: Chunk) -> int:
    """At most how many open items a chunk has: its positions may go around many that are done."""
    return min(chunk.last_position - chunk.first_position + 1, job.chunk_size)


def ranges_of(items: Iterable[tuple[int, int | None]], size: int) -> Iterator[Range]:
    """The ranges of these (position, layer) pairs, as they become complete."""
    ranges = Ranges(size)
    for position, layer in items:
        ranges.add(position, layer)
        yield from ranges.closed()
    yield from ranges.finish()


def insert_chunks(session: Session, job: Job, ranges: Iterable[Range], **values: Any) -> int:
    """Queue a chunk for each range, in the job's stage; how many. `values`: for other columns."""
    rows = [
        {
            "job_id": job.id,
            "stage": job.stage,
            "first_position": first,
            "last_position": last,
            "layer": layer,
            **values,
        }
        for first, last, layer in ranges
    ]
    if rows:
        session.execute(insert(Chunk), rows)
    return len(rows)

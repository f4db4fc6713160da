"""`Checkpoints` of the long dreams of one work: read before they begin, written as they go.

They belong to items, not to claims: whoever works on an item next goes on from the last.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field

from beholder.errors import BeholderError, NotFound
from beholder.jobs.claim import Claim
from beholder.science.checkpoint import Checkpoint
from beholder.science.networks import Network
from beholder.science.prefix import Precision
from beholder.specs import DreamSpec
from beholder.store import checkpoint_path
from worker.checkpoint_file import Kept, dream_key, pack, unpack
from worker.pictures import Batch, Wanted
from worker.work import Means

log = logging.getLogger(__name__)
LONG = 2.0  # a dream is kept if it takes this many times as long as from one checkpoint to the next
STOPPING_S = 2.0  # that a worker which is asked to stop may take to keep more than so much work
_Place = tuple[str, int]  # an item: its claim's token, and its position


@dataclass
class Checkpoints:
    """Those of the items of some claims, which are dreams of one spec.

    network: on which they run, asked for once it is loaded. stands: whether a claim is still worth
    writing for. further: told of claims under which a later step was kept than was there before.
    """

    means: Means
    spec: DreamSpec
    network: Callable[[], Network]
    stands: Callable[[Claim], bool]
    further: Callable[[Claim], object]
    _steps: dict[_Place, int] = field(default_factory=dict)  # of what was there, used or not
    _kept: dict[_Place, Kept] = field(default_factory=dict)
    _written: set[_Place] = field(default_factory=set)
    _writing: list[Future[None]] = field(default_factory=list)

    def read(self, items: Sequence[Wanted]) -> None:
        """Look for what earlier claims have kept; what can't be used is passed over."""
        again = [wanted for wanted in items if _was_claimed(wanted.claim)]
        found = self.means.threads.map(self._read, again)
        for wanted, kept in zip(again, found, strict=True):
            if kept is not None:
                self._kept[_place(wanted)] = kept
                self._steps[_place(wanted)] = kept.checkpoint.step

    def groups(self, batch: Batch, precision: Precision) -> list[Batch]:
        """The batch in parts whose dreams are at the same step."""
        rows: defaultdict[int, list[int]] = defaultdict(list)
        for row, wanted in enumerate(batch.items):
            kept = self._kept.get(_place(wanted))
            if kept is not None and kept.precision != precision:
                log.info("%s: its checkpoint is in %s, not used", _name(wanted), kept.precision)
                del self._kept[_place(wanted)]
                kept = None
            rows[kept.checkpoint.step if kept else 0].append(row)
        return [batch.at(rows[step]) for step in sorted(rows)]

    def begun(self, items: Sequence[Wanted]) -> Checkpoint | None:
        """Where the dreams of a group go on; None where they begin."""
        kept = [self._kept[place] for place in map(_place, items) if place in self._kept]
        if not kept:
            return None
        found = Checkpoint.together([one.checkpoint for one in kept])
        for wanted in items:
            log.info("%s: goes on from step %d", _name(wanted), found.step)
        return found

    def write(self, items: Sequence[Wanted], checkpoint: Checkpoint, precision: Precision) -> None:
        """Keep it, on threads; who asks waits for nothing."""
        for row, wanted in enumerate(items):
            self._written.add(_place(wanted))
            written = self.means.threads.submit(self._write, wanted, checkpoint, row, precision)
            self._writing.append(written)

    @property
    def busy(self) -> bool:
        """Whether some are still being written."""
        self._writing = [one for one in self._writing if not one.done()]
        return bool(self._writing)

    @property
    def exist(self) -> bool:
        """Whether any was there, or has been begun to be written."""
        return bool(self._steps or self._written)

    def settle(self, within_s: float | None = None) -> None:
        """Wait for what is being written. What has not been begun by then, or at once, is not."""
        if within_s is not None:
            wait(self._writing, within_s)
        for one in self._writing:
            one.cancel()
        wait(self._writing)

    def drop(self, finished: Collection[Claim]) -> None:
        """Remove what nobody needs any more: of these claims' items."""
        for claim in finished:
            for item in claim.items:
                if _was_claimed(claim) or (claim.token, item.position) in self._written:
                    self._remove(checkpoint_path(claim.job_id, item.position))

    def _read(self, wanted: Wanted) -> Kept | None:
        try:
            kept = unpack(self.means.store.get(_path(wanted)), self._key(wanted))
        except NotFound:
            return None
        except (BeholderError, ValueError) as error:
            log.warning("%s: its checkpoint is not used: %s", _name(wanted), error)
            return None
        return kept if kept.checkpoint.step <= self.spec.steps else None

    def _write(
        self, wanted: Wanted, checkpoint: Checkpoint, row: int, precision: Precision
    ) -> None:
        if not self.stands(wanted.claim):
            return
        parts = pack(checkpoint.row(row), self._key(wanted), precision)
        try:
            self.means.place.put(_path(wanted), parts)
        except BeholderError as error:  # the dream itself may still come to its end
            log.warning("%s: no checkpoint: %s", _name(wanted), error)
        else:
            if checkpoint.step > self._steps.get(_place(wanted), 0):
                self.further(wanted.claim)

    def _key(self, wanted: Wanted) -> str:
        spec = wanted.claim.spec
        assert isinstance(spec, DreamSpec)
        before = wanted.claim.before.get(wanted.item.position)
        return dream_key(spec, wanted.item, self.network(), before.sha256 if before else None)

    def _remove(self, path: str) -> None:
        try:
            self.means.store.remove(path)
        except BeholderError as error:
            log.warning("%s is not removed: %s", path, error)


@dataclass
class Keeper:
    """When the dreams of a group are kept, as `dream` asks it after each step.

    items: of the group. begun: the step that it goes on from. stopping: whether the worker is to
    end. clock: seconds that the dreams have had.
    """

    checkpoints: Checkpoints
    items: Sequence[Wanted]
    precision: Precision
    begun: int
    stopping: Callable[[], bool]
    clock: Callable[[], float] = time.monotonic
    _begun_at: float = field(init=False)
    _last_at: float = field(init=False)

    def __post_init__(self) -> None:
        self._begun_at = self._last_at = self.clock()

    def __call__(self, step: int, take: Callable[[], Checkpoint]) -> None:
        """Keep what `take` gives if it is time to."""
        now = self.clock()
        if step == self.checkpoints.spec.steps:
            return
        if self.stopping():
            if now - self._last_at > STOPPING_S:
                self._write(take)
                self.checkpoints.settle(STOPPING_S)
        elif self.checkpoints.busy:
            self._last_at = now  # where writing takes long, as long again passes before the next
        elif self._due(step, now):
            self._write(take)

    def _due(self, step: int, now: float) -> bool:
        every_s = self.checkpoints.means.checkpoint_s
        if now - self._last_at < every_s:
            return False
        whole_s = (now - self._begun_at) / (step - self.begun) * self.checkpoints.spec.steps
        return whole_s >= LONG * every_s

    def _write(self, take: Callable[[], Checkpoint]) -> None:
        self.checkpoints.write(self.items, take(), self.precision)
        self._last_at = self.clock()


def _was_claimed(claim: Claim) -> bool:
    """Whether it was somebody's before: only then there may be something to go on from."""
    return bool(claim.stale_tokens) or claim.attempt > 1


def _place(wanted: Wanted) -> _Place:
    return wanted.claim.token, wanted.item.position


def _path(wanted: Wanted) -> str:
    return checkpoint_path(wanted.claim.job_id, wanted.item.position)


def _name(wanted: Wanted) -> str:
    return f"job {wanted.claim.job_id} item {wanted.item.position}"

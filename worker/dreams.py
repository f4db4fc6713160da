"""Dreams: a batch on the device, its pictures encoded and stored on threads behind it."""

import hashlib
import logging
import math
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from functools import cached_property

import torch
from torch import Tensor

from beholder.errors import BeholderError
from beholder.jobs.claim import Claim
from beholder.jobs.finish import finish_dreams
from beholder.jobs.outcomes import DreamOutcome, Finished, ItemFailure, StoredFile
from beholder.science.checkpoint import Checkpoint
from beholder.science.dream import Dream
from beholder.science.prefix import Precision, check_precision
from beholder.specs import DreamSpec
from beholder.store import result_folder
from worker.checkpoints import Checkpoints, Keeper
from worker.climbs import Calls, Climb
from worker.encoding import png
from worker.giving_way import GivingWay
from worker.lease import Cancelled, Lease
from worker.pictures import Batch, Wanted
from worker.provenance import provenance
from worker.rooms import Shape
from worker.told import told
from worker.work import Means, Work

log = logging.getLogger(__name__)
Outcome = DreamOutcome | ItemFailure
_ROWS = 256  # compared at once: a large picture has no room for copies


def dream_shape(spec: DreamSpec, layer: int, height: int, width: int) -> Shape:
    """What dreams of this spec, layer, height and width are to memory."""
    kept = len(spec.steps_kept)
    work = "dream" if spec.plain else f"dream of {spec.parameters} by {spec.optimiser}"
    return Shape(spec.network, work, layer, height, width, spec.precision, kept)


class DreamWork(Work[DreamSpec, DreamOutcome]):
    """Claims of dreams of one layer, perhaps of several jobs."""

    def __init__(self, lease: Lease, spec: DreamSpec, means: Means) -> None:
        super().__init__(lease, spec, means)
        self._pending: list[tuple[Claim, Future[Outcome | None]]] = []
        self._checkpoints = Checkpoints(
            means,
            spec,
            network=lambda: self.network,
            stands=lambda claim: self.error(claim) is None,
            further=lease.went_further,
        )

    def check_device(self) -> None:
        """Raises NoSuchPrecision."""
        check_precision(self.spec.precision, self.network.device)

    def batches(self) -> Iterator[Batch]:
        """As for all work; what earlier claims have kept of these dreams is read with them."""
        for batch in super().batches():
            self._checkpoints.read(batch.items)
            yield batch

    def run(self, batch: Batch) -> None:
        """Dream, and hand each picture to the threads."""
        self._refuse()
        for group in self._groups(batch):
            begun = self._way.own_s
            for part, result in self._fitting(group, self._dream):
                seconds = (self._way.own_s - begun) / len(part.items)
                for row, wanted in enumerate(part.items):
                    seed = wanted.item.seed if _from_noise(wanted) else None
                    start = self._climb.start(part.starts[row], seed)
                    kept = self.means.threads.submit(
                        self._keep, wanted, start, result, row, seconds
                    )
                    self._pending.append((wanted.claim, kept))
                begun = self._way.own_s

    def finish(self) -> dict[str, Finished | None]:
        """Every item's outcome, all claims' in one transaction; the files are in the store."""
        try:
            for claim, kept in self._pending:
                self._collect(claim, kept)
        finally:
            for _, kept in self._pending:
                kept.cancel()
            wait([kept for _, kept in self._pending])
            self._checkpoints.settle()
        ended = [(claim, self._outcomes[claim.token]) for claim in self.standing]
        for claim, outcomes in ended:
            if any(isinstance(one, DreamOutcome) for one in outcomes):
                self.means.place.seal(result_folder(claim.job_id, claim.token))
        lasting = self._checkpoints.exist  # they are dropped next
        finished = finish_dreams(self.means.db, ended, lasting=lasting) if ended else {}
        try:
            over = [claim for claim in self.lease.claims if self._over(claim, finished)]
            self._checkpoints.drop(over)
        except Exception:  # the results stand, whatever happens: their files are not to be removed
            log.exception("checkpoints are left to the tidying")
        return finished

    def let_go(self) -> bool:
        """Forget the network, and with it what goes through it."""
        self.__dict__.pop("_climb", None)
        return super().let_go()

    def _over(self, claim: Claim, finished: dict[str, Finished | None]) -> bool:
        """Whether nobody will go on with a claim's items."""
        cancelled = isinstance(self.lease.interruption(claim), Cancelled)
        return cancelled or finished.get(claim.token) is not None

    @property
    def layer(self) -> int:
        """The one that all of the dreams are about."""
        layer = self.lease.claims[0].items[0].layer
        assert layer is not None
        return layer

    @property
    def _precision(self) -> Precision:
        return self.means.precisions.of(self.network, self.spec, self.layer)

    def _shape(self, height: int, width: int) -> Shape:
        return dream_shape(self.spec, self.layer, height, width)

    def _groups(self, batch: Batch) -> Iterator[Batch]:
        """The batch in parts that are at the same step, and begin alike: with noise, or without."""
        for group in self._checkpoints.groups(batch, self._precision):
            rows: dict[bool, list[int]] = {}
            for row, wanted in enumerate(group.items):
                rows.setdefault(_from_noise(wanted), []).append(row)
            yield from (group.at(part) for part in rows.values()) if self._splits else (group,)

    @property
    def _splits(self) -> bool:
        return self.spec.parameters != "pixels"

    @cached_property
    def _climb(self) -> Climb:
        return Climb(self.spec, self.layer, self.network, self._precision, self.means.loader)

    @cached_property
    def _way(self) -> GivingWay:
        return GivingWay()

    def _dream(self, batch: Batch) -> Dream:
        def check(steps: float) -> None:
            self._check(len(batch.items) * steps / self.spec.steps)

        begun = self._checkpoints.begun(batch.items)
        step = begun.step if begun else 0
        keeper = Keeper(
            self._checkpoints,
            batch.items,
            self._precision,
            step,
            stopping=lambda: self.lease.stopping,
            clock=lambda: self._way.own_s,
        )

        def between(step: int, take: Callable[[], Checkpoint]) -> None:
            if self.let_pass is not None and step < self.spec.steps:
                self._way(self.let_pass)
            keeper(step, take)  # last, since others may be told to stop

        return self._climb.run(
            batch.wait(),
            [_seed(wanted) for wanted in batch.items],
            Calls(check, between),
            from_noise=_from_noise(batch.items[0]),
            begun=begun,
            channels=[_spec(wanted.claim).channels for wanted in batch.items],
        )

    def _refuse(self) -> None:
        """Fail claims of channels that the network lacks, which others beside them do not ask for.

        Only a network's file knows how many it has, so that not all are refused with their job.
        """
        for claim in self.standing if self._splits else ():
            try:
                self._climb.aim_at(_spec(claim).channels)
            except BeholderError as error:
                self.fail(error, [claim])

    def _collect(self, claim: Claim, kept: Future[Outcome | None]) -> None:
        try:
            outcome = kept.result()
        except Exception as error:
            self.fail(error, [claim])
        else:
            if outcome is not None:
                self._outcomes[claim.token].append(outcome)

    def _keep(
        self, wanted: Wanted, start: Tensor, result: Dream, row: int, seconds: float
    ) -> Outcome | None:
        """An item's outcome, once its pictures are written; None if its claim stands no more."""
        if self.error(wanted.claim) is not None:
            return None
        with told("store", [wanted.claim], item=wanted.item.position):
            stored = self._stored(wanted, start, result, row, seconds)
        self.lease.sign()
        return stored

    def _stored(
        self, wanted: Wanted, start: Tensor, result: Dream, row: int, seconds: float
    ) -> Outcome:
        item = wanted.item
        objective = result.objective[:, row].tolist()
        if not (all(map(math.isfinite, objective)) and result.pictures[row].isfinite().all()):
            return ItemFailure(
                item.position, "the gradient overflowed: use a lower --learning-rate."
            )
        files = tuple(
            self._put(wanted, step, pictures[row]) for step, pictures in result.snapshots.items()
        )
        kept: dict[str, object] = {"objective": objective, "precision": self._precision}
        if _is_unchanged(result.pictures[row], start):
            kept["silent"] = True
        if _from_noise(wanted) and item.layer == _spec(wanted.claim).layers[0]:
            # A start from noise is nowhere else; once a seed is enough for those who look.
            first = self._put(wanted, 0, start)
            kept |= {"start": first.path, "start_sha256": first.sha256, "start_bytes": first.bytes}
        return DreamOutcome(item.position, files, kept, seconds)

    def _put(self, wanted: Wanted, step: int, picture: Tensor) -> StoredFile:
        """Write the picture as it is after `step` steps; step 0 is the start."""
        says = provenance(wanted, self.network, self._precision, step)
        file = png(picture, says)
        folder = result_folder(wanted.claim.job_id, wanted.claim.token)
        path = f"{folder}/{wanted.item.position:07d}-{step:05d}.png"
        self.means.place.put(path, file.data)
        digest = hashlib.sha256(file.data).hexdigest()
        return StoredFile(step, path, digest, len(file.data), file.width, file.height)


def _from_noise(wanted: Wanted) -> bool:
    """Whether an item starts from noise; a film's later frames start from the one before."""
    return wanted.item.seed is not None and wanted.item.position not in wanted.claim.before


def _seed(wanted: Wanted) -> int:
    """Of what is random in an item's dream: its noise's, or its job's."""
    return _spec(wanted.claim).seed if wanted.item.seed is None else wanted.item.seed


def _spec(claim: Claim) -> DreamSpec:
    assert isinstance(claim.spec, DreamSpec)
    return claim.spec


def _is_unchanged(picture: Tensor, start: Tensor) -> bool:
    """Whether no step changed it, (3, H, W): the layer was silent, or answers without a gradient.

    A start from noise is not clipped, but the first step does that without any gradient.
    """
    pairs = zip(torch.split(picture, _ROWS, 1), torch.split(start, _ROWS, 1), strict=True)
    return all(torch.equal(rows, begun.clamp(0, 1).to(rows.dtype)) for rows, begun in pairs)

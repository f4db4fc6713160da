"""What runs together: `Work` is one claim, or several whose pictures share a batch.

Its parts run on three threads, so that one work's overlap with another's: `batches` ahead of the
device, `run` on the device, `finish` behind it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch

from beholder.errors import FileUnusable
from beholder.jobs.claim import Claim
from beholder.jobs.database import Database
from beholder.jobs.outcomes import DreamOutcome, Finished, ItemFailure, VerdictOutcome
from beholder.jobs.turns import passes
from beholder.science.networks import Network
from beholder.specs import Spec
from beholder.store import Store
from worker.kept_maps import KeptMaps
from worker.lease import Lease
from worker.memory import lacking
from worker.pictures import Batch, Failed, Loader, Wanted
from worker.place import Place
from worker.precisions import Precisions
from worker.rooms import Rooms, Shape

Outcome = DreamOutcome | VerdictOutcome | ItemFailure
AnySpec = TypeVar("AnySpec", bound=Spec)
AnyOutcome = TypeVar("AnyOutcome", DreamOutcome, VerdictOutcome)
Result = TypeVar("Result")


@dataclass(frozen=True)
class Means:
    """What a worker process has for all of its work. threads: for decoding and encoding.

    place: the store, for what is written. kept_maps: from studies' first passes for their second.
    checkpoint_s: how often long dreams are kept.
    """

    db: Database
    store: Store
    loader: Loader
    rooms: Rooms
    threads: Executor
    place: Place
    kept_maps: KeptMaps
    precisions: Precisions = field(default_factory=Precisions)
    checkpoint_s: float = 30.0


class Work(ABC, Generic[AnySpec, AnyOutcome]):
    """Claims in hand, of the same `spec`. One that can't be finished is noted with its error.

    network: on which it runs, from before `batches` is asked for the first until it is let go.
    let_pass: as for `GivingWay`, while a batch is on the device.
    """

    network: Network

    def __init__(self, lease: Lease, spec: AnySpec, means: Means) -> None:
        self.lease = lease
        self.spec = spec
        self.means = means
        self.let_pass: Callable[[bool], None] | None = None
        self._outcomes: dict[str, list[AnyOutcome | ItemFailure]] = {
            claim.token: [] for claim in lease.claims
        }
        self._errors: dict[str, Exception] = {}
        self._total = sum(len(claim.items) for claim in lease.claims)
        self._behind = 0  # items that have been on the device

    def lets(self, other: "Work[Any, Any]", *, new: bool) -> bool:
        """Whether another that is in hand too goes before this; new: also if its jobs are new."""
        first, own = other.lease.claims[0], self.lease.claims[0]
        return passes(first.priority, first.new, own.priority, let_new=new)

    def check_device(self) -> None:
        """Raise what speaks against this worker's device, before any job begins on it."""

    def batches(self) -> Iterator[Batch]:
        """The pictures, decoded as they are asked for; one that can't be used fails alone."""
        yield from self._loaded(self._wanted())

    def _wanted(self) -> list[Wanted]:
        return [Wanted(claim, item) for claim in self.standing for item in claim.items]

    def _loaded(self, wanted: Sequence[Wanted]) -> Iterator[Batch]:
        for loaded in self.means.loader.load(
            wanted,
            self.spec,
            device=self.network.device,
            room=self._room,
            during=self.lease,
        ):
            if isinstance(loaded, Failed):
                self._lack(loaded)
            elif self.standing:
                yield loaded
            else:
                return

    @abstractmethod
    def run(self, batch: Batch) -> None:
        """Do a batch's arithmetic."""

    @abstractmethod
    def finish(self) -> dict[str, Finished | None]:
        """Store what the claims that stand have come to, by token; None where one was lost.

        No file is written any more when this returns, or raises.
        """

    @abstractmethod
    def _shape(self, height: int, width: int) -> Shape:
        """What its batches of this height and width are to memory."""

    def let_go(self) -> bool:
        """Forget the network; whether there was one."""
        return self.__dict__.pop("network", None) is not None

    @property
    def standing(self) -> list[Claim]:
        """The claims that are still worth working on."""
        return [claim for claim in self.lease.claims if self.error(claim) is None]

    def error(self, claim: Claim) -> Exception | None:
        """Why a claim can't be finished, or is not to be any more."""
        return self._errors.get(claim.token) or self.lease.interruption(claim)

    def failures(self, claim: Claim) -> list[ItemFailure]:
        """The items of a claim that can't be done."""
        return [one for one in self._outcomes[claim.token] if isinstance(one, ItemFailure)]

    def fail(self, error: Exception, claims: Sequence[Claim] | None = None) -> None:
        """Note why claims (None: all of them) can't be finished; the first reason stays.

        A lack of memory that other programs hold much of is nobody's fault, and is waited for.
        """
        place = lacking(error, self.means.rooms.device)
        if place is not None:
            error = self.means.rooms.taken(place) or error
        for claim in self.lease.claims if claims is None else claims:
            self._errors.setdefault(claim.token, error)

    def _lack(self, failed: Failed) -> None:
        """Note an item without a picture. Where that is there, but can't be read, its claim ends:

        another worker may be able to. The claims beside it go on.
        """
        claim = failed.wanted.claim
        if isinstance(failed.failure, FileUnusable):
            self.fail(failed.failure, [claim])
        else:
            self._outcomes[claim.token].append(failed.failure)

    def _fitting(
        self, batch: Batch, compute: Callable[[Batch], Result]
    ) -> Iterator[tuple[Batch, Result]]:
        """`compute` on a batch, in parts where all of it does not fit into the device's memory.

        Rows of claims that no longer stand are left out. A picture that does not fit by itself
        fails alone. Raises MemoryTaken where others hold the memory that it needs.
        """
        waiting = [batch]
        while waiting:
            self._check()
            wanted = waiting.pop().only({claim.token for claim in self.standing})
            size = len(wanted.items)
            shape = self._shape(*wanted.pictures.shape[2:])
            room = self.means.rooms.room(shape)
            if size > room:
                waiting += reversed(wanted.parts(room))
            if not 1 <= size <= room:
                continue
            try:
                with self.means.rooms.watched(shape, size):
                    result = compute(wanted)
            except (RuntimeError, MemoryError) as error:
                place = lacking(error, self.means.rooms.device)
                if place is None:
                    raise
            else:
                self._behind += size
                yield wanted, result
                continue
            # Behind the handler, which still holds what the failed attempt had in memory.
            torch.cuda.empty_cache()
            self.means.rooms.too_many(shape, size, place)
            if size == 1:
                self._too_large(wanted, shape)
            else:
                waiting.append(wanted)

    def _too_large(self, batch: Batch, shape: Shape) -> None:
        (wanted,) = batch.items
        reason = (
            f"{shape.width} x {shape.height} pixels do not fit into the device's memory: use a "
            "smaller --size."
        )
        self._outcomes[wanted.claim.token].append(ItemFailure(wanted.item.position, reason))
        self._behind += 1

    def _check(self, done: float = 0.0) -> None:
        """Raise Interrupted where nothing stands. done: pictures' worth of the batch in hand."""
        self.lease.check((self._behind + done) / self._total)

    def _room(self, height: int, width: int) -> int:
        return self.means.rooms.room(self._shape(height, width))

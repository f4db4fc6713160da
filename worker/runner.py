"""What a worker process keeps between its runs: a `Runner`.

Each `run()` is one `Run`, driven through the stations of `pipeline`. What could not be given back
at its end is given back from here, at the next chance.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch

from beholder.devices import Device, DeviceClass
from beholder.errors import BeholderError, ServiceUnavailable, StorageFull
from beholder.jobs.claim import Claim
from beholder.jobs.claims import release
from beholder.jobs.database import Database
from beholder.science.networks import find_device
from beholder.settings import Settings
from beholder.store import Store
from beholder.upkeep.leftovers import Leftover, left_by, remove_leftover
from beholder.upkeep.presence import insist_on_there
from worker.kept_maps import KeptMaps
from worker.lease import Flag, Leases
from worker.loaded import Loaded
from worker.memory import keep_to
from worker.passed_over import PassedOver
from worker.pictures import Loader
from worker.pipeline import Pipeline, Stations
from worker.place import Place
from worker.rooms import Rooms
from worker.run import Run
from worker.signs import Signs
from worker.work import Means

log = logging.getLogger(__name__)
PICTURE_THREADS = max(4, os.cpu_count() or 1)  # 4: a store on the network has to be waited for


@dataclass
class Runner:
    """What a worker process keeps between chunks: connections, threads, the loaded network.

    Raises InvalidSpec for a device that there isn't: its jobs would fail one after the other.
    stopping: set when this worker is asked to stop; what is in hand is then given back.
    ring: tells other workers of that many new chunks, of a job that asks for this device.
    working: around the work on a chunk with this id, to time it.
    device: its class, where jobs ask for one. claiming: whether it may take more.
    claimed: how many chunks it has had in hand. items: how many of theirs came to their end.
    passed_over: jobs that it leaves to others.
    """

    db: Database
    store: Store
    settings: Settings
    name: str
    stopping: Flag | None = None
    ring: Callable[[int, Device], None] = lambda count, device: None
    working: Callable[[int], AbstractContextManager[None]] = lambda chunk_id: nullcontext()
    device: DeviceClass | None = None
    claiming: Callable[[], bool] = lambda: True
    claimed: int = 0
    items: int = 0
    loaded: Loaded = field(init=False)
    passed_over: PassedOver = field(default_factory=PassedOver)
    _means: Means = field(init=False)
    _signs: Signs = field(init=False)
    _kept_back: dict[str, Claim] = field(default_factory=dict)
    _fallen: dict[str, Claim] = field(default_factory=dict)
    _counting: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        device = find_device(self.settings.device)
        keep_to(self.settings.gpu_share, device)
        self.loaded = Loaded(self.settings.networks_dir, self.settings.device)
        self._signs = Signs(self.settings.hang_s, excused=lambda: self.loaded.loading)
        torch.get_num_threads()  # settles this thread's number, before others settle on one
        # Each thread would have a team of torch's own, all on the same cores.
        threads = ThreadPoolExecutor(PICTURE_THREADS, "pictures", torch.set_num_threads, (1,))
        place = Place(self.db, self.store)
        insist = self.insist_on_store, place.insist_on_answer
        self._means = Means(
            self.db,
            self.store,
            Loader(self.store, threads, self.settings.max_pixels, *insist),
            Rooms(device, self.settings.batch_sizes, self.settings.gpu_share),
            threads,
            place,
            KeptMaps(self.settings.home),
            checkpoint_s=self.settings.checkpoint_s,
        )

    def run(self) -> int:
        """Do chunks until none is left, or the worker is asked to stop; how many were finished.

        What nobody foresaw, an outage or a full disk ends the run: what is in hand is finished or
        given back, then the error is raised.
        """
        self.give_back_the_rest()
        leases = Leases(
            self.db, lease_s=self.settings.lease_s, stop=self.stopping, signs=self._signs
        )
        with leases:
            run = Run(self, self._means, leases)
            stations = Stations(
                run.take, run.sooner, run.batches, run.compute, run.close, leases.stop
            )
            while Pipeline(stations).drive():
                pass  # what was just finished may have queued more
        if isinstance(run.trouble, StorageFull):
            self._means.kept_maps.forget()  # it may be what has taken the room
        if run.trouble is not None:
            raise run.trouble
        return run.finished

    def count(self, *, claimed: int = 0, items: int = 0) -> None:
        """So many more chunks were claimed, and items came to their end; from any thread."""
        with self._counting:
            self.claimed += claimed
            self.items += items

    def insist_on_store(self) -> None:
        """Raise StoreMissing where the whole store is not there, ServiceUnavailable where away."""
        insist_on_there(self.db, self.store)

    def give_back(self, claim: Claim) -> None:
        """Release a claim; where that can't be written, `give_back_the_rest` does it later.

        It asks no store: others wait to be given back before a worker that stops is killed.
        """
        try:
            self._release(claim)
        except BeholderError:
            self._kept_back[claim.token] = claim
            raise

    def pass_over(self, claim: Claim, error: Exception) -> None:
        """Leave a claim's job to others for a while."""
        reason = f"worker {self.name} leaves job {claim.job_id} to others: {error}"
        log.warning("%s", reason)
        self.passed_over.add(claim.job_id, reason)

    def keep_back(self, claims: Iterable[Claim]) -> None:
        """Have `give_back_the_rest` release what nothing is in hand of, if it is ours at all."""
        self._kept_back.update({claim.token: claim for claim in claims})

    def give_back_the_rest(self) -> None:
        """Release what could not be, from any thread: of two that do, one changes nothing.

        Before anybody looks for silent chunks: these are nobody's death, and wait for a bell. It
        asks no store, which may keep who asks waiting for minutes.
        """
        for token, claim in self._kept_back.copy().items():
            self._release(claim)
            self._kept_back.pop(token, None)

    def _release(self, claim: Claim) -> None:
        if not release(self.db, claim):
            self._fallen[claim.token] = claim

    def tidy_up(self) -> None:
        """Remove what was written under claims that no longer stood when they were given back.

        Such a one has been finished, whatever its worker heard, or its job has ended, or another
        has the chunk: who took it may have tidied up before this one's last file was written. For
        a thread of its own (`worker.tidying`), as the store may take minutes.
        """
        for token, claim in self._fallen.copy().items():
            for left in left_by(self.db, self.store, claim):
                self._remove(left)
            self._fallen.pop(token, None)

    def _remove(self, left: Leftover) -> None:
        """What the store keeps, though it answers, would be in the way of all work, each time."""
        try:
            remove_leftover(self.store, left)
        except ServiceUnavailable as error:
            self.insist_on_store()
            log.warning("%s is left to `beholder gc`: %s", left.path, error)

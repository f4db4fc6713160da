"""A chunk's way through a worker: claim it, run its stage, write files, finish in a transaction.

`Runner.run()` goes on until there is nothing left to claim.
"""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from beholder.errors import (
    BeholderError,
    Conflict,
    InvalidInput,
    NetworkUnavailable,
    NotFound,
    ServiceUnavailable,
    StorageFull,
)
from beholder.jobs.claims import Claim, claim_next, give_up, release
from beholder.jobs.database import Database
from beholder.jobs.finish import (
    fail_chunk_job,
    finish_choose,
    finish_classify,
    finish_dreams,
    finish_measure,
    record_network,
)
from beholder.jobs.outcomes import Finished
from beholder.science.networks import Network, load_network
from beholder.settings import Settings
from beholder.specs import DreamSpec
from beholder.store import Store, result_folder
from worker.dreams import DreamChunk
from worker.lease import Flag, Interrupted, Lease, Stopping
from worker.pictures import Loader
from worker.studies import StudyChunk

log = logging.getLogger(__name__)
# What no other worker could do better: the job ends with the reason, and `retry` runs it again.
_JOB_ERRORS = (Conflict, InvalidInput, NetworkUnavailable, NotFound, StorageFull)
THREADS = 4  # decoding and encoding release the interpreter's lock


@dataclass
class Runner:
    """What a worker process keeps between chunks: connections, threads, the loaded network.

    stopping: set when this worker is asked to stop; the chunk in hand is then given back.
    ring: tells other workers of that many new chunks.
    working: around the work on a chunk with this id, to time it.
    claimed: how many chunks it has had in hand.
    """

    db: Database
    store: Store
    settings: Settings
    name: str
    stopping: Flag | None = None
    ring: Callable[[int], None] = lambda count: None
    working: Callable[[int], AbstractContextManager[None]] = lambda chunk_id: nullcontext()
    claimed: int = 0
    _network: Network | None = None
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(THREADS))

    def run(self) -> int:
        """Do chunks until none is left, or the worker is asked to stop; how many were finished."""
        finished = 0
        while not self._is_stopping():
            claims = claim_next(self.db, worker=self.name, lease_s=self.settings.lease_s)
            if not claims:
                break
            for held in claims:
                self.claimed += 1
                with self.working(held.chunk_id):
                    finished += self._run(held)
        return finished

    def _is_stopping(self) -> bool:
        return self.stopping is not None and self.stopping.is_set()

    def _run(self, held: Claim) -> bool:
        """Do a chunk's work; whether it was finished."""
        lease_s = self.settings.lease_s
        for token in held.stale_tokens:
            self._remove_files(held, token)
        try:
            with Lease(self.db, held, lease_s=lease_s, stopping=self.stopping) as lease:
                finished = self._work(held, lease)
        except Interrupted as reason:
            log.info("job %s chunk %s: %s", held.job_id, held.chunk_id, type(reason).__name__)
            finished = None
            if isinstance(reason, Stopping):
                release(self.db, held)
        except _JOB_ERRORS as error:
            self._remove_files(held, held.token)  # before the claim ends: after it, none would
            finished = fail_chunk_job(self.db, held, str(error))
        except ServiceUnavailable:
            self._remove_files(held, held.token)
            release(self.db, held)  # nobody's fault: the attempt does not count
            raise
        except Exception as error:
            self._remove_files(held, held.token)
            give_up(self.db, held, _reason(error))
            raise
        if finished is None:
            self._remove_files(held, held.token)
            return False
        self.ring(finished.new_chunks)
        return True

    def _work(self, claim: Claim, lease: Lease) -> Finished | None:
        """The stage's work and its last transaction; None when the claim was lost meanwhile."""
        network = self._load(claim.spec.network)
        record_network(self.db, claim, network.name, network.sha256)
        loader = Loader(self.store, self._threads, self.settings.max_pixels)
        if isinstance(claim.spec, DreamSpec):
            chunk = DreamChunk(claim, claim.spec, network, lease, self.store, loader, self._threads)
            return finish_dreams(self.db, [(claim, chunk.run())])[claim.token]
        study = StudyChunk(claim, claim.spec, network, lease, self.store, loader)
        match claim.stage:
            case "measure":
                outcomes, partial = study.measure()
                return finish_measure(self.db, claim, outcomes, partial=partial)
            case "choose":
                target, control = study.merged()
                exemplars = list(study.exemplars())  # renews the lease: not in the transaction
                return finish_choose(
                    self.db,
                    claim,
                    study.choose(target, control),
                    exemplars=exemplars,
                    target_pictures=target.n,
                    control_pictures=control.n,
                )
            case _:
                return finish_classify(self.db, claim, study.classify())

    def _load(self, name: str) -> Network:
        """The network of this name; the one in memory when it is that."""
        if self._network is None or self._network.name != name:
            self._network = None  # its memory is needed for the next
            self._network = load_network(
                name, folder=self.settings.networks_dir, device=self.settings.device
            )
        return self._network

    def _remove_files(self, claim: Claim, token: str) -> None:
        """Remove what was written under a claim that did not finish."""
        try:
            self.store.remove_folder(result_folder(claim.job_id, token))
        except BeholderError as error:
            log.warning("job %s: leftovers of %s not removed: %s", claim.job_id, token, error)


def _reason(error: Exception) -> str:
    """An error that nobody foresaw, in one line."""
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text or 'no reason given'}. The worker's log has more."

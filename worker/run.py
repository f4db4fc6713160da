"""One go at all that waits: `Run` claims, prepares, computes and ends, until nothing is left.

Its methods are the stations of `pipeline`. What is done with pictures is in `dreams` and `studies`;
what became of a claim, and who is at fault where nothing did, is decided here.
"""

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from beholder import traces
from beholder.errors import (
    BeholderError,
    Conflict,
    FileUnusable,
    InvalidInput,
    NetworkUnavailable,
    NoSuchPrecision,
    NotFound,
    ServiceUnavailable,
    StorageFull,
)
from beholder.jobs.claim import Claim
from beholder.jobs.claims import claim_next, give_up
from beholder.jobs.finish import fail_chunk_job, fail_unless_begun
from beholder.jobs.outcomes import Finished, ItemFailure
from beholder.jobs.weights import record_network
from beholder.logs import about
from beholder.specs import DreamSpec
from beholder.store import result_folder
from worker.dreams import DreamWork, dream_shape
from worker.lease import Interrupted, Lease, Leases, Stopping
from worker.pictures import Batch
from worker.pipeline import AnyWork
from worker.stages import study_work
from worker.told import attributes, fields, told, told_each
from worker.work import Means

if TYPE_CHECKING:
    from worker.runner import Runner

log = logging.getLogger(__name__)
# What this worker lacks: weights, or the precision. Where others have begun the job, or are about
# to, it is left to them, else it ends. (Other weights, a Conflict, say so by themselves.)
_OWN_ERRORS = (NetworkUnavailable, NoSuchPrecision)
# What no other worker could do better: the job ends with the reason, and `retry` runs it again.
_JOB_ERRORS = (InvalidInput, NotFound)


@dataclass
class Run:
    """One go at what waits: the stations of its works, and what became of them.

    It may last for weeks, so nothing of a claim is kept past its end.
    finished: how many chunks were. untidied: stale tokens of those in hand, by their tokens.
    """

    runner: "Runner"
    means: Means
    leases: Leases
    finished: int = 0
    untidied: dict[str, tuple[str, ...]] = field(default_factory=dict)
    trouble: Exception | None = None
    _counting: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> AnyWork | None:
        """Claim what runs together next. What a worker died on has nothing beside it."""
        return self._take(None, let_new=False)

    def sooner(self, work: AnyWork, new: bool | None) -> AnyWork | None:
        """Claim what came since a work was taken and goes before it: none where that fails."""
        passing = work.lease.claims[0]
        try:
            return self._take(passing, let_new=passing.again if new is None else new)
        except Exception as error:  # the work goes on, and the next claim meets it too
            said = "nothing taken before job %s: %s"
            log.warning(said, passing.job_id, error, extra=fields([passing]))
            return None

    def _take(self, passing: Claim | None, *, let_new: bool) -> AnyWork | None:
        runner, in_hand, begun = self.runner, self.leases.in_hand, time.time_ns()
        if self.leases.stopping or not runner.claiming():
            return None
        if any(claim.attempt > 1 for claim in in_hand):
            return None
        claims = claim_next(
            runner.db,
            worker=runner.name,
            lease_s=runner.settings.lease_s,
            room=self._room,
            suspects=not in_hand,
            without=runner.passed_over.jobs,
            device=runner.device,
            passing=passing,
            let_new=let_new,
            unsure=runner.keep_back,
        )
        if not claims:
            return None
        runner.count(claimed=len(claims))
        traces.record("claim", [(claim.job_id, attributes(claim)) for claim in claims], begun=begun)
        return self._work(self.leases.begin(claims))

    def batches(self, work: AnyWork) -> Iterator[Batch]:
        """Make ready what the work needs, then decode its pictures."""
        claims = work.lease.claims
        with told("prepare", claims):
            self.means.place.insist()  # before a dream of hours has nowhere to go
            for claim in claims:
                self._tidy(claim)
                work.lease.sign()
            network = work.network = self.runner.loaded.lend(work.spec.network, work.lease.look)
            work.check_device()
            refused = record_network(self.means.db, claims, network.name, network.sha256)
        for claim in claims:
            if claim.token in refused:
                work.fail(refused[claim.token], [claim])
        yield from told_each("decode", claims, work.batches())

    def compute(self, work: AnyWork, batch: Batch) -> None:
        """Run a batch; what goes wrong is the work's."""
        work.lease.sign()
        with self.runner.working(work.lease.claims[0].chunk_id):
            try:
                with told("compute", work.lease.claims):
                    work.run(batch)
            except Exception as error:
                work.fail(error)
        work.lease.sign()

    def close(self, work: AnyWork) -> None:
        """Finish the claims that stand, and end the others according to what went wrong."""
        try:
            self._close(work)
        finally:
            work.lease.end()  # not before: to remove the files of many claims takes long

    def _close(self, work: AnyWork) -> None:
        ended: dict[str, Finished | None] = {}
        work.lease.sign()
        try:
            with told("finish", work.lease.claims):
                ended = work.finish()
        except Exception as error:
            work.fail(error)
        if work.let_go():
            self.runner.loaded.take_back()
        for claim in work.lease.claims:
            work.lease.sign()
            try:
                with about(job=claim.job_id, chunk=claim.chunk_id):
                    _say_failures(claim, work.failures(claim))
                    self._end(claim, ended.get(claim.token), work.error(claim))
            except Exception as error:
                self._stop_for(error)  # an outage: what is not kept back waits for its lease's end
            self.untidied.pop(claim.token, None)

    def _end(self, claim: Claim, finished: Finished | None, error: Exception | None) -> None:
        if finished is not None:
            log.info("job %s chunk %s: done", claim.job_id, claim.chunk_id)
            with self._counting:
                self.finished += 1
            self.runner.count(items=len(claim.items))
            self.runner.ring(finished.new_chunks, claim.device)
            return
        ending = "LeaseLost" if error is None else type(error).__name__
        log.info("job %s chunk %s: %s", claim.job_id, claim.chunk_id, ending)
        if not self._leaves_files(error):
            self._remove_files(claim, claim.token)  # before the claim ends: after it, none would
        if isinstance(error, Conflict):
            self._pass_over(claim, error)
        elif isinstance(error, _OWN_ERRORS):
            if not fail_unless_begun(self.means.db, claim, str(error)):
                self._pass_over(claim, error)
        elif isinstance(error, _JOB_ERRORS):
            fail_chunk_job(self.means.db, claim, str(error))
        elif isinstance(error, Stopping):
            self._give_back(claim)
        elif isinstance(error, ServiceUnavailable | StorageFull):
            self._stop_for(error)
            self._give_back(claim)  # nobody's fault: the attempt does not count
        elif isinstance(error, FileUnusable):
            log.warning("job %s chunk %s: %s", claim.job_id, claim.chunk_id, error)
            give_up(self.means.db, claim, str(error))  # others go on: it would be here for ever
        elif error is not None and not isinstance(error, Interrupted):
            self._stop_for(error)
            give_up(self.means.db, claim, _reason(error))

    def _leaves_files(self, error: Exception | None) -> bool:
        """Whether to leave what was written to whoever claims the chunk next, to remove it.

        In an outage: the database may have taken the results and could not say so, and a store
        that is away would be waited for. And in a worker that is to stop: it would be killed before
        it had given back its last claims. Not on a full disk, which waits for their room.
        """
        if not isinstance(error, Stopping):
            return isinstance(error, ServiceUnavailable)
        return self.leases.asked or isinstance(self.trouble, ServiceUnavailable)

    def _pass_over(self, claim: Claim, error: Exception) -> None:
        self.runner.pass_over(claim, error)
        self._give_back(claim)

    def _give_back(self, claim: Claim) -> None:
        left = self.untidied.get(claim.token, claim.stale_tokens)
        self.runner.give_back(replace(claim, stale_tokens=left))

    def _stop_for(self, error: Exception) -> None:
        """End the run with this error, the first of them: all else is given back."""
        self.trouble = self.trouble or error
        self.leases.stop()

    def _work(self, lease: Lease) -> AnyWork:
        claim = lease.claims[0]
        if isinstance(claim.spec, DreamSpec):
            return DreamWork(lease, claim.spec, self.means)
        return study_work(lease, claim.stage, claim.spec, self.means)

    def _room(self, spec: DreamSpec, layer: int) -> int:
        """How many dreams of a spec, at a layer, make a batch."""
        side = 1 if spec.size == "keep" else spec.size  # those share with none
        return self.means.rooms.room(dream_shape(spec, layer, side, side))

    def _tidy(self, claim: Claim) -> None:
        """Remove what earlier claims left; what can't be is left to the next in its turn."""
        left = claim.stale_tokens
        while left and not self.leases.stopping and self._remove_files(claim, left[0]):
            left = left[1:]
        self.untidied[claim.token] = left

    def _remove_files(self, claim: Claim, token: str) -> bool:
        """Remove what was written under a claim that did not finish; whether that could be done."""
        try:
            self.means.store.remove_folder(result_folder(claim.job_id, token))
        except BeholderError as error:
            said = "job %s: leftovers of %s not removed: %s"
            log.warning(said, claim.job_id, token, error, extra=fields([claim]))
            return False
        return True


def _say_failures(claim: Claim, failures: Iterable[ItemFailure]) -> None:
    for failure in failures:
        log.warning(
            "job %s item %d: %s",
            claim.job_id,
            failure.position,
            failure.reason,
            extra={"item": failure.position},
        )


def _reason(error: Exception) -> str:
    """An error that nobody foresaw, in one line."""
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text or 'no reason given'}. The worker's log has more."

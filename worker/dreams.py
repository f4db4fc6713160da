"""Running a chunk of dreams: one batch a shape, encoded to PNG on threads behind the next one."""

import hashlib
import io
import math
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import torch
from torch import Tensor

from beholder.jobs.claims import Claim, ClaimedItem
from beholder.jobs.outcomes import DreamOutcome, ItemFailure, StoredFile
from beholder.science.dream import Dream, dream
from beholder.science.inputs import to_image
from beholder.science.networks import Network
from beholder.specs import DreamSpec
from beholder.store import Store, result_folder
from worker.lease import Lease
from worker.pictures import Batch, Loader

Outcome = DreamOutcome | ItemFailure


@dataclass(frozen=True)
class DreamChunk:
    """One claimed chunk of dreams, about to run on `network`."""

    claim: Claim
    spec: DreamSpec
    network: Network
    lease: Lease
    store: Store
    loader: Loader
    threads: ThreadPoolExecutor

    def run(self) -> list[Outcome]:
        """Every item's outcome; the files are in the store when this returns."""
        batches, failures = self.loader.batches(self.claim.items, self.spec)
        outcomes: list[Outcome] = list(failures)
        pending: list[Future[Outcome]] = []
        try:
            for number, batch in enumerate(batches):
                share = (number / len(batches), (number + 1) / len(batches))
                for part, result, seconds in self._dream(batch, share):
                    pending += [
                        self.threads.submit(
                            self._keep, item, part.pictures[row], result, row, seconds
                        )
                        for row, item in enumerate(part.items)
                    ]
            outcomes += [future.result() for future in pending]
        finally:
            # Nothing is written any more once this chunk's folder may be removed.
            for future in pending:
                future.cancel()
            wait(pending)
        return outcomes

    def _dream(
        self, batch: Batch, share: tuple[float, float]
    ) -> Iterator[tuple[Batch, Dream, float]]:
        """Dream a batch, in halves when it does not fit into the device's memory."""
        begin, end = share

        def on_step(step: int) -> None:
            self.lease.check(begin + (end - begin) * step / self.spec.steps)

        started = time.monotonic()
        try:
            result = dream(
                self.network,
                batch.pictures.to(self.network.device),
                layer=batch.layer,
                channels=self.spec.channels,
                steps=self.spec.steps,
                learning_rate=self.spec.learning_rate,
                snapshots=self.spec.steps_kept,
                normalize=self.spec.normalize,
                pre_relu=self.spec.pre_relu,
                on_step=on_step,
            )
        except torch.OutOfMemoryError:
            if len(batch.items) == 1:
                raise
        else:
            yield batch, result, (time.monotonic() - started) / len(batch.items)
            return
        torch.cuda.empty_cache()
        half = len(batch.items) // 2
        for part in (slice(0, half), slice(half, None)):
            yield from self._dream(batch.part(part), share)

    def _keep(
        self, item: ClaimedItem, start: Tensor, result: Dream, row: int, seconds: float
    ) -> Outcome:
        objective = result.objective[:, row].tolist()
        if not (all(map(math.isfinite, objective)) and result.pictures[row].isfinite().all()):
            return ItemFailure(
                item.position, "the gradient overflowed: use a lower --learning-rate."
            )
        files = tuple(
            self._put(item, step, pictures[row]) for step, pictures in result.snapshots.items()
        )
        kept: dict[str, object] = {"objective": objective}
        if item.seed is not None and item.layer == self.spec.layers[0]:
            # A start from noise is nowhere else; once a seed is enough for those who look.
            kept["start"] = self._put(item, 0, start).path
        return DreamOutcome(item.position, files, kept, seconds)

    def _put(self, item: ClaimedItem, step: int, picture: Tensor) -> StoredFile:
        """Write the picture as it is after `step` steps; step 0 is the start."""
        image = to_image(picture)
        buffer = io.BytesIO()
        image.save(buffer, "PNG", compress_level=3)
        data = buffer.getvalue()
        folder = result_folder(self.claim.job_id, self.claim.token)
        path = f"{folder}/{item.position:07d}-{step:05d}.png"
        self.store.put(path, data)
        return StoredFile(
            step, path, hashlib.sha256(data).hexdigest(), len(data), image.width, image.height
        )

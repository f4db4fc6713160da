"""Pictures on their way to the device: read and decoded on threads, batched by shape, copied ahead.

What can't be used fails alone; what can't be read costs its claim the attempt.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from beholder.errors import FileUnusable, NotFound, PictureError
from beholder.jobs.claim import Claim, ClaimedItem
from beholder.jobs.outcomes import ItemFailure, StoredFile
from beholder.jobs.result_files import read_result
from beholder.logs import about
from beholder.pictures import decoded
from beholder.science.frames import carried, zoomed
from beholder.science.inputs import noise, to_tensor
from beholder.specs import DEFAULT_SIZE, DreamSpec, Spec
from beholder.store import Store, picture_path
from beholder.upkeep.presence import Got, of_one_file

_OF_UNKNOWN_SIZE = 8  # pictures decoded at a time where each keeps its own size
LOOK_S = 0.2  # how soon a stop is noticed, while a picture may take a minute


@dataclass(frozen=True)
class Wanted:
    """An item to work on, and the claim that it belongs to: a batch may be of several jobs."""

    claim: Claim
    item: ClaimedItem


_Decoded = tuple[Wanted, Tensor]


@dataclass(frozen=True)
class Batch:
    """Items whose pictures have one shape.

    starts: (B, 3, H, W) float32 in [0, 1], on the CPU. pictures: the same, on the device if that
    had room for them already. layer: where both are the maps (B, C, h, w) of this layer instead,
    for the work that asked for them.
    arrived: on a GPU, what its own copying stream has to reach before `pictures` may be read.
    """

    items: tuple[Wanted, ...]
    starts: Tensor
    pictures: Tensor
    arrived: torch.cuda.Event | None = None
    layer: int | None = None

    def parts(self, size: int) -> list["Batch"]:
        """As few batches as have at most `size` items each, of sizes as equal as can be."""
        count = -(-len(self.items) // size)
        bounds = [len(self.items) * number // count for number in range(count + 1)]
        return [self._part(slice(*pair)) for pair in pairwise(bounds)]

    def wait(self) -> Tensor:
        """`pictures`, for use on the current stream; the CPU does not wait."""
        if self.arrived is not None:
            stream = torch.cuda.current_stream(self.pictures.device)
            stream.wait_event(self.arrived)
            self.pictures.record_stream(stream)
        return self.pictures

    def only(self, tokens: set[str]) -> "Batch":
        """Without the items of other claims than these."""
        return self.at(
            [row for row, wanted in enumerate(self.items) if wanted.claim.token in tokens]
        )

    def at(self, rows: list[int]) -> "Batch":
        """The items at these rows, which ascend; on the CPU if the device has no room for them."""
        if len(rows) == len(self.items):
            return self
        items, starts = tuple(self.items[row] for row in rows), self.starts[rows]
        try:
            return replace(self, items=items, starts=starts, pictures=self.wait()[rows])
        except torch.OutOfMemoryError:
            return replace(self, items=items, starts=starts, pictures=starts, arrived=None)

    def _part(self, rows: slice) -> "Batch":
        return replace(
            self, items=self.items[rows], starts=self.starts[rows], pictures=self.pictures[rows]
        )


@dataclass(frozen=True)
class Failed:
    """An item whose picture can't be used, or can't be read, which may be another worker's luck."""

    wanted: Wanted
    failure: ItemFailure | FileUnusable


_Loaded = Tensor | ItemFailure | FileUnusable


class Awaited(Protocol):
    """Work that waits for pictures, such as a lease."""

    def look(self) -> None:
        """What this raises comes at once, whatever a thread is still at."""

    def sign(self) -> None:
        """One more has come."""


class _Nobody:
    def look(self) -> None:
        pass

    def sign(self) -> None:
        pass


NOBODY = _Nobody()


def _result(waiting: deque[Future[_Loaded]], during: Awaited) -> _Loaded:
    """The first one's, which is then kept nowhere else; on an error the others are not begun."""
    try:
        while not wait([waiting[0]], LOOK_S).done:
            during.look()
        return waiting.popleft().result()
    except BaseException:
        for one in waiting:
            one.cancel()
        raise


@dataclass
class Loader:
    """Reads pictures from a store; `threads` runs the decoding. `load` is for one thread.

    insist_on_store: asked where a picture is not found; raises StoreMissing if none can be.
    insist_on_answer: asked where one can't be read; raises what is wrong with the whole store.
    """

    store: Store
    threads: Executor
    max_pixels: int
    insist_on_store: Callable[[], object] = lambda: None
    insist_on_answer: Callable[[], object] = lambda: None
    _stream: torch.cuda.Stream | None = None

    def load(
        self,
        wanted: Sequence[Wanted],
        spec: Spec,
        *,
        device: torch.device,
        room: Callable[[int, int], int],
        during: Awaited = NOBODY,
    ) -> Iterator[Batch | Failed]:
        """The items in batches of one shape, decoded as they are asked for.

        room: how many pictures of a height and width make a batch. during: is looked at every
        moment while they are decoded, and gets a sign of each.
        """
        group = _OF_UNKNOWN_SIZE if spec.size == "keep" else room(spec.size, spec.size)
        for start in range(0, len(wanted), group):
            shapes, failed = self._decoded(wanted[start : start + group], spec, during)
            yield from failed
            for shape in list(shapes):
                # Kept nowhere else: the decoded are as large as the batch that is made of them.
                yield from self._batch(shapes.pop(shape), device).parts(room(*shape[1:]))

    def tensors(
        self, wanted: Sequence[Wanted], spec: Spec, during: Awaited = NOBODY
    ) -> tuple[list[Wanted], Tensor]:
        """Those that can be used, which are to have one shape, and them as (N, 3, H, W).

        during: as for `load`. Raises FileUnusable.
        """
        shapes, failed = self._decoded(wanted, spec, during)
        for one in failed:
            if isinstance(one.failure, FileUnusable):
                raise one.failure
        pairs = [pair for some in shapes.values() for pair in some]
        if not pairs:
            raise NotFound("none of the pictures that are needed can be read any more.")
        return [one for one, _ in pairs], torch.stack([picture for _, picture in pairs])

    def picture(self, sha256: str) -> bytes:
        """A kept picture's bytes. Raises as `Store.picture` does, and FileUnusable."""
        return self.reading(picture_path(sha256), lambda: self.store.picture(sha256))

    def reading(self, path: str, read: Callable[[], Got]) -> Got:
        """What `read` reads of the file at `path`. Raises as it does, and FileUnusable."""
        return of_one_file(self.insist_on_answer, path, read)

    def _decoded(
        self, wanted: Sequence[Wanted], spec: Spec, during: Awaited
    ) -> tuple[dict[torch.Size, list[_Decoded]], list[Failed]]:
        shapes: dict[torch.Size, list[_Decoded]] = {}
        failed: list[Failed] = []
        waiting = deque(self.threads.submit(self._load, one, spec) for one in wanted)
        for one in wanted:
            result = _result(waiting, during)
            during.sign()
            if not isinstance(result, Tensor):
                failed.append(Failed(one, result))
            else:
                shapes.setdefault(result.shape, []).append((one, result))
        return shapes, failed

    def _load(self, wanted: Wanted, spec: Spec) -> _Loaded:
        claim, position = wanted.claim, wanted.item.position
        with about(job=claim.job_id, chunk=claim.chunk_id, item=position):
            return self._tensor(wanted, spec)

    def _tensor(self, wanted: Wanted, spec: Spec) -> _Loaded:
        position = wanted.item.position
        try:
            if isinstance(spec, DreamSpec) and position in wanted.claim.before:
                return self._frame(wanted, spec, wanted.claim.before[position])
            return self._start(wanted.item, spec)
        except PictureError as error:
            return ItemFailure(position, str(error))
        except FileUnusable as error:
            return error
        except NotFound as error:
            self.insist_on_store()
            return ItemFailure(position, str(error))

    def _start(self, item: ClaimedItem, spec: Spec) -> Tensor:
        if item.picture_sha256 is None:
            side = DEFAULT_SIZE if spec.size == "keep" else spec.size
            return noise(item.seed or 0, size=side)
        data = self.picture(item.picture_sha256)
        with decoded(data, max_pixels=self.max_pixels) as image:
            if spec.size == "keep" and (reason := spec.unfit(*image.size)):
                raise PictureError(f"{reason}.")
            return to_tensor(image, size=spec.size)

    def _frame(self, wanted: Wanted, spec: DreamSpec, before: StoredFile | None) -> Tensor:
        """A later frame of a film, from the dream before it."""
        if before is None:
            if spec.zoom is not None:
                raise PictureError("the frame before it failed: there is nothing to zoom into.")
            return self._start(wanted.item, spec)  # the film begins anew
        data = self.reading(before.path, lambda: read_result(self.store, before))
        with decoded(data, max_pixels=self.max_pixels) as image:
            if spec.zoom is not None:
                return to_tensor(zoomed(image, spec.zoom), size="keep")
            dreamt = to_tensor(image, size="keep")
        return carried(self._start(wanted.item, spec), dreamt, spec.carry or 0.0)

    def _batch(self, pairs: list[_Decoded], device: torch.device) -> Batch:
        items, tensors = zip(*pairs, strict=True)
        if device.type != "cuda":
            one = len(tensors) == 1  # perhaps a very large one, of which no copy is made
            starts = tensors[0][None] if one else torch.stack(tensors)  # (B, 3, H, W)
            return Batch(items, starts, starts.to(device))
        starts = torch.empty((len(tensors), *tensors[0].shape), pin_memory=True)
        torch.stack(tensors, out=starts)
        if self._stream is None:
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        try:
            with torch.cuda.stream(self._stream):
                pictures = starts.to(device, non_blocking=True)
                return Batch(items, starts, pictures, self._stream.record_event())
        except torch.OutOfMemoryError:
            # The batch before has all of it; copied when that is through.
            return Batch(items, starts, starts)

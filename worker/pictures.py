"""A chunk's pictures as tensors, read and decoded on threads; what can't be read fails alone."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from beholder.errors import NotFound, PictureError
from beholder.jobs.claims import ClaimedItem
from beholder.jobs.outcomes import ItemFailure
from beholder.pictures import decode
from beholder.science.inputs import noise, to_tensor
from beholder.specs import DEFAULT_SIZE, Spec
from beholder.store import Store


@dataclass(frozen=True)
class Batch:
    """Items whose pictures have one shape. pictures: (B, 3, H, W) float32 in [0, 1], on the CPU."""

    items: tuple[ClaimedItem, ...]
    pictures: Tensor

    @property
    def layer(self) -> int:
        """The layer that a chunk of dreams is about; a chunk never spans two."""
        (layer,) = {item.layer for item in self.items}
        assert layer is not None
        return layer

    def part(self, rows: slice) -> "Batch":
        """Some of it."""
        return Batch(self.items[rows], self.pictures[rows])


@dataclass(frozen=True)
class Loader:
    """Reads pictures from a store; `threads` runs the decoding."""

    store: Store
    threads: ThreadPoolExecutor
    max_pixels: int

    def batches(
        self, items: Sequence[ClaimedItem], spec: Spec
    ) -> tuple[list[Batch], list[ItemFailure]]:
        """The items that can be worked on, by shape, in their order; and those that can't."""
        shapes: dict[torch.Size, list[tuple[ClaimedItem, Tensor]]] = {}
        failures: list[ItemFailure] = []
        loaded = self.threads.map(lambda item: self._load(item, spec), items)
        for item, result in zip(items, loaded, strict=True):
            if isinstance(result, ItemFailure):
                failures.append(result)
            else:
                shapes.setdefault(result.shape, []).append((item, result))
        return [_batch(pairs) for pairs in shapes.values()], failures

    def _load(self, item: ClaimedItem, spec: Spec) -> Tensor | ItemFailure:
        try:
            if item.picture_sha256 is None:
                side = DEFAULT_SIZE if spec.size == "keep" else spec.size
                return noise(item.seed or 0, size=side)
            data = self.store.picture(item.picture_sha256)
            return to_tensor(decode(data, max_pixels=self.max_pixels), size=spec.size)
        except (PictureError, NotFound) as error:
            return ItemFailure(item.position, str(error))


def _batch(pairs: list[tuple[ClaimedItem, Tensor]]) -> Batch:
    items, tensors = zip(*pairs, strict=True)
    return Batch(items, torch.stack(tensors))

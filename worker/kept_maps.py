"""Maps that a study's first pass made and its second needs again: `KeptMaps`, in a file.

Blinding leaves the layers before the first that it may touch as they are. Their last pool's maps,
kept, stand for a picture: it is neither decoded again nor goes through those layers again.
"""

import os
import tempfile
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from beholder.durable import has_room
from beholder.layers import LAYERS
from beholder.science.networks import Network
from beholder.specs import StudySpec
from worker.pictures import Wanted

MOST_BYTES = 2 * 2**30  # of a process's file
MOST_WAITING = 32  # pictures on their way to the disk; one that is slower keeps fewer

Picture = tuple[str, int]  # the job's id, and the position in it


class Kind(NamedTuple):
    """What maps depend on, besides the picture: the network's weights, how it is shown, and where
    they are taken.
    """

    network_sha256: str
    size: int
    normalize: bool
    layer: int


def kind_of(network: Network, spec: StudySpec) -> Kind | None:
    """The maps that a study's two passes share; None where they share none, or have no one size.

    None on a GPU, where they would go through the host's memory twice.
    """
    if spec.size == "keep" or network.device.type != "cpu":
        return None
    pools = [layer.index for layer in LAYERS[: spec.min_layer] if layer.kind == "pool"]
    # Convolutions that are measured before their ReLUs run apart from them, as in no second pass.
    if not pools or spec.pre_relu:
        return None
    return Kind(network.sha256, spec.size, spec.normalize, pools[-1])


def pictures_of(items: Sequence[Wanted]) -> list[Picture]:
    """By what the maps of these are found again."""
    return [(wanted.claim.job_id, wanted.item.position) for wanted in items]


class _Kept(NamedTuple):
    slot: int
    written: Future[bool]


@dataclass
class KeptMaps:
    """Maps (C, h, w) float32 of one kind, in a file without a name in `folder`, if there is room.

    The first of a job are kept, since they are asked for in the order in which they came; in a full
    file another job's oldest give way. For any thread.
    """

    folder: Path
    most_bytes: int = MOST_BYTES
    _kind: Kind | None = None
    _shape: tuple[int, ...] = ()  # (h, w, C), as they lie in memory
    _file: IO[bytes] | None = None
    _kept: dict[Picture, _Kept] = field(default_factory=dict)
    _free: list[int] = field(default_factory=list)
    _slots: int = 0
    _waiting: deque[Future[bool]] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _writer: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "maps"))

    def put(self, kind: Kind, pictures: Sequence[Picture], maps: Sequence[Tensor]) -> None:
        """Keep the pictures' maps, as many as there is room for; of other kinds none.

        maps: (b, C, h, w), one after another. They are written behind, and are not to be changed.
        """
        rows = [row for some in maps for row in some.permute(0, 2, 3, 1)]
        with self._lock:
            try:
                file = self._begin(kind, tuple(rows[0].shape))
            except OSError:
                return
            for picture, row in zip(pictures, rows, strict=True):
                while self._waiting and self._waiting[0].done():
                    self._waiting.popleft()
                if picture in self._kept or len(self._waiting) >= MOST_WAITING:
                    continue
                slot = self._slot(picture[0])
                if slot is None:
                    return
                written = self._writer.submit(self._write, file, slot, row)
                self._waiting.append(written)
                self._kept[picture] = _Kept(slot, written)

    def take(self, kind: Kind, pictures: Sequence[Picture]) -> Tensor | None:
        """The maps (B, C, h, w) of the pictures; None if some are not there.

        Either way none of these is kept any longer.
        """
        with self._lock:
            if kind != self._kind:
                return None
            found = [self._kept.pop(one) for one in pictures if one in self._kept]
            written = all(one.written.result() for one in found)
            slots = [one.slot for one in found]
            try:
                return self._read(slots) if written and len(found) == len(pictures) else None
            except OSError:
                return None
            finally:
                self._free += slots
                if not self._kept:
                    self._forget()

    def forget(self) -> None:
        """Keep nothing, and give the room back."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        if self._file is not None:
            self._writer.submit(self._file.close)  # once all that is under way is written
        self._kept.clear()
        self._free.clear()
        self._waiting.clear()
        self._file, self._slots = None, 0

    def _begin(self, kind: Kind, shape: tuple[int, ...]) -> IO[bytes]:
        """The file for maps of this kind. Raises OSError."""
        if (kind, shape) != (self._kind, self._shape):
            self._forget()
            self._kind, self._shape = kind, shape
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0, dir=self.folder)  # noqa: SIM115
        return self._file

    def _slot(self, job: str) -> int | None:
        """One for a picture of this job, or None."""
        if self._free:
            return self._free.pop()
        grown = (self._slots + 1) * self._bytes
        # As much again is to be free, for all else.
        if grown <= self.most_bytes and has_room(self.folder, self.most_bytes):
            self._slots += 1
            return self._slots - 1
        oldest = next((picture for picture in self._kept if picture[0] != job), None)
        return None if oldest is None else self._kept.pop(oldest).slot

    @property
    def _bytes(self) -> int:
        return 4 * int(np.prod(self._shape))

    def _write(self, file: IO[bytes], slot: int, row: Tensor) -> bool:
        data = np.ascontiguousarray(row.numpy()).data.cast("B")
        try:
            return os.pwrite(file.fileno(), data, slot * len(data)) == len(data)
        except OSError:
            return False

    def _read(self, slots: Sequence[int]) -> Tensor:
        """Raises OSError."""
        assert self._file is not None
        rows: NDArray[np.float32] = np.empty((len(slots), *self._shape), np.float32)
        for row, slot in zip(rows, slots, strict=True):
            place = slot * self._bytes
            if os.preadv(self._file.fileno(), [row.data.cast("B")], place) < row.nbytes:
                raise OSError("cut short")
        return torch.from_numpy(rows).permute(0, 3, 1, 2)

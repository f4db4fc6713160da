"""Maps that a study's first pass made and its second needs again: `KeptMaps`, in a file.

Blinding leaves the layers before the first that it may touch as they are. Their last pool's maps,
kept, stand for a picture: it is neither decoded again nor goes through those layers again.
"""

import math
import os
import shutil
import threading
import time
import weakref
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from beholder.layers import LAYERS
from beholder.science.networks import Network
from beholder.specs import StudySpec
from worker.pictures import Wanted

MOST_BYTES = 2 * 2**30  # of a process's file
SHARE = 4  # of what the disk would have free without it, the file takes one of so many parts
MOST_WAITING = 64 * 2**20  # bytes on their way to the disk; one that is slower keeps fewer pictures
IDLE_S = 600.0  # a job whose maps nobody has brought or taken for so long keeps none

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


class _File:
    """A file that never had a name: it is gone with its last reader, or with the process."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError, also where a folder's file system has no such files."""
        nameless = getattr(os, "O_TMPFILE", None)
        if nameless is None:
            raise OSError("no files without a name here")
        self._number = os.open(folder, nameless | os.O_RDWR | os.O_CLOEXEC, 0o600)
        weakref.finalize(self, os.close, self._number)

    def write(self, data: memoryview, place: int) -> bool:
        """Whether all of it is there."""
        return os.pwrite(self._number, data, place) == len(data)

    def read(self, into: memoryview, place: int) -> bool:
        """Whether all of it was there."""
        return os.preadv(self._number, [into], place) == len(into)


@dataclass
class KeptMaps:
    """Maps (C, h, w) float32 of one kind, in a file without a name in `folder`, if there is room.

    Those that come first are kept, since they are asked for in the order in which they came; and
    all of a batch or none, since one that is missing has the whole batch decoded. For any thread.
    """

    folder: Path
    most_bytes: int = MOST_BYTES
    idle_s: float = IDLE_S
    _kind: Kind | None = None
    _shape: tuple[int, ...] = ()  # (h, w, C), as they lie in memory
    _file: _File | None = None
    _kept: dict[Picture, _Kept] = field(default_factory=dict)
    _free: list[int] = field(default_factory=list)
    _slots: int = 0
    _waiting: int = 0  # bytes
    _touched: dict[str, float] = field(default_factory=dict)  # jobs' last times, by the id
    _timer: threading.Timer | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _writer: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "maps"))

    def put(self, kind: Kind, pictures: Sequence[Picture], maps: Sequence[Tensor]) -> None:
        """Keep the pictures' maps, if there is room for all; none while another kind's are kept.

        maps: (b, C, h, w), one after another. They are written behind, and are not to be changed.
        """
        rows = [row for some in maps for row in some.permute(0, 2, 3, 1)]
        with self._lock:
            for job in self._touched.keys() & {job for job, _ in pictures}:
                self._touch(job)  # it still brings some, even if there is no room for them
            self._let_go()
            new = [
                (picture, row)
                for picture, row in zip(pictures, rows, strict=True)
                if picture not in self._kept
            ]
            file = self._begun(kind, tuple(rows[0].shape)) if new else None
            slots = self._room(len(new)) if file is not None else []
            if file is None or not slots:
                return
            for (picture, row), slot in zip(new, slots, strict=True):
                written = self._writer.submit(self._write, file, slot, row)
                self._waiting += row.nbytes  # which the writer takes off again
                self._kept[picture] = _Kept(slot, written)
                self._touch(picture[0])

    def take(self, kind: Kind, pictures: Sequence[Picture]) -> Tensor | None:
        """The maps (B, C, h, w) of the pictures; None if some are not there, or not yet.

        Either way none of these is kept any longer.
        """
        with self._lock:
            if kind != self._kind or self._file is None:
                return None
            file, shape = self._file, self._shape
            for job in {job for job, _ in pictures}:
                self._touch(job)
            found = [self._kept.pop(one) for one in pictures if one in self._kept]
        ready = len(found) == len(pictures) and all(
            one.written.done() and one.written.result() for one in found
        )
        try:
            return _read(file, [one.slot for one in found], shape) if ready else None
        except (OSError, MemoryError):
            return None
        finally:
            with self._lock:
                if file is self._file:
                    self._free += [one.slot for one in found]
                    self._let_go()

    def forget(self) -> None:
        """Keep nothing, and give the room back."""
        with self._lock:
            self._kept.clear()
            self._let_go()

    def _let_go(self) -> None:
        """Leave out what nobody seems to want any more, and the file with the last of it."""
        long_ago = time.monotonic() - self.idle_s
        for job in [job for job, when in self._touched.items() if when <= long_ago]:
            del self._touched[job]
            for picture in [one for one in self._kept if one[0] == job]:
                self._free.append(self._kept.pop(picture).slot)
        if not self._kept:
            self._file, self._slots = None, 0
            self._free.clear()
            self._touched.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _touch(self, job: str) -> None:
        self._touched[job] = time.monotonic()
        self._look_later()

    def _look_later(self) -> None:
        """For a worker that has nothing more to do."""
        if self._timer is None and self._touched:
            due = min(self._touched.values()) + self.idle_s - time.monotonic()
            timer = threading.Timer(max(0.0, due), self._look)
            timer.name, timer.daemon = "maps", True
            timer.start()
            self._timer = timer

    def _look(self) -> None:
        with self._lock:
            self._timer = None
            self._let_go()
            self._look_later()

    def _begun(self, kind: Kind, shape: tuple[int, ...]) -> _File | None:
        """The file, if it is for maps of this kind, or there was none and can be."""
        if self._file is not None:
            return self._file if (kind, shape) == (self._kind, self._shape) else None
        try:
            self._file = _File(self.folder)
        except OSError:
            return None
        self._kind, self._shape = kind, shape
        return self._file

    def _room(self, count: int) -> list[int]:
        """So many slots, or none at all."""
        if self._waiting and self._waiting + count * self._slot_bytes > MOST_WAITING:
            return []
        more = max(0, count - len(self._free))
        grown = (self._slots + more) * self._slot_bytes
        if more and grown > min(self.most_bytes, self._share()):
            return []
        self._free += range(self._slots, self._slots + more)
        self._slots += more
        found, self._free = self._free[:count], self._free[count:]
        return found

    def _share(self) -> int:
        """Bytes that the file may have on its disk."""
        try:
            free = shutil.disk_usage(self.folder).free
        except OSError:
            return 0
        return (free + self._slots * self._slot_bytes) // SHARE

    @property
    def _slot_bytes(self) -> int:
        return 4 * math.prod(self._shape)

    def _write(self, file: _File, slot: int, row: Tensor) -> bool:
        try:
            data = np.ascontiguousarray(row.numpy()).data.cast("B")
            return file.write(data, slot * len(data))
        except (OSError, MemoryError):
            return False
        finally:
            with self._lock:
                self._waiting -= row.nbytes


def _read(file: _File, slots: Sequence[int], shape: tuple[int, ...]) -> Tensor:
    """(B, C, h, w). Raises OSError and MemoryError."""
    rows: NDArray[np.float32] = np.empty((len(slots), *shape), np.float32)
    for row, slot in zip(rows, slots, strict=True):
        if not file.read(row.data.cast("B"), slot * row.nbytes):
            raise OSError("cut short")
    return torch.from_numpy(rows).permute(0, 3, 1, 2)

"""How many pictures make a batch: `Rooms.room` says it, `Rooms.too_many` learns from failure.

On a GPU what fits into its memory, judged by what earlier batches took; on the CPU what keeps its
cores busy. What once did not fit is remembered, over restarts too, unless other programs held some
of the memory.
"""

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from beholder.errors import MemoryTaken
from worker.memory import free_bytes, share_of_others

# More pixels at once are no faster on a CPU, which takes them in pieces anyway. That so many keep a
# GPU busy is a guess: it was not measured.
CPU_PIXELS_A_CORE, CPU_MOST_A_CORE = 2 * 224**2, 8  # pictures, however small
GPU_PIXELS, GPU_MOST = 64 * 224**2, 256
GPU_SHARE = 0.85  # of the free memory; the rest is for workspaces that vary with the batch
HOST_BYTES = 2**30  # of results that wait for their batch's end
# Shares of a device's memory. Others with more may be why a batch, or one picture, does not fit.
SOME, MUCH = 0.1, 0.25
MOST_SHAPES = 1_000  # whose measured memory is remembered: pictures that keep their size have many


@dataclass(frozen=True)
class Shape:
    """What a batch's memory depends on, besides how many pictures it has.

    work: "dream" or "study". layer: down to which it runs. precision: as the job asks for it.
    kept: pictures kept of each, in the host's memory, until the batch is through.
    """

    network: str
    work: str
    layer: int
    height: int
    width: int
    precision: str = "float32"
    kept: int = 1

    @property
    def pixels(self) -> int:
        """Of one picture."""
        return self.height * self.width

    def key(self, device: str) -> str:
        """As it is remembered."""
        size = f"{self.height}x{self.width}"
        parts = (device, self.network, self.work, self.layer, size, self.precision)
        return "/".join(map(str, parts))


@dataclass
class Rooms:
    """Batch sizes for one device, shared by threads.

    path: a JSON file of the sizes that were learned by running out of memory; delete it to have
    larger ones tried again. share: how much of a GPU's memory this process may hold. free: how many
    bytes of it a GPU has free. others: how much of it other programs hold.
    """

    device: torch.device
    path: Path
    share: float = 1.0
    free: Callable[[torch.device, float], int] = free_bytes
    others: Callable[[torch.device, float], float] = share_of_others
    _pixels: int = field(init=False)
    _most: int = field(init=False)
    _name: str = field(init=False)
    _limits: dict[str, int] = field(init=False)
    _passing: dict[str, int] = field(default_factory=dict)  # limits until others let go
    # GPU memory of one picture; of shapes that have fitted.
    _bytes: dict[str, float] = field(default_factory=dict)
    _spare: int = 0  # bytes of it that a batch could have
    _within: int = 0  # batches whose arithmetic is under way
    _passed: bool = False  # whether one has passed the outermost
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        # Starts CUDA, which takes seconds: not later, when `room` is asked in a transaction.
        self._name = torch.cuda.get_device_name(self.device) if self._gpu else "cpu"
        self._name += f" {self.share:.0%}" if self._gpu and self.share < 1 else ""
        cores = torch.get_num_threads()
        self._pixels = GPU_PIXELS if self._gpu else CPU_PIXELS_A_CORE * cores
        self._most = GPU_MOST if self._gpu else CPU_MOST_A_CORE * cores
        self._limits = _read(self.path)

    def room(self, shape: Shape) -> int:
        """How many pictures of this shape to run at once, at least 1."""
        waiting = 12 * shape.pixels * shape.kept  # bytes of float32 in three channels
        bounds = [self._most, self._pixels // shape.pixels, HOST_BYTES // waiting]
        key = self._key(shape)
        with self._lock:
            bounds.append(self._limits.get(key, self._most))
            bounds.append(self._passing.get(key, self._most))
            each = self._bytes.get(key)
        if each:
            bounds.append(int(self._spare * GPU_SHARE / each))
        return max(1, min(bounds))

    def too_many(self, shape: Shape, pictures: int, place: torch.device | None = None) -> None:
        """`pictures` of this shape did not fit into a device's memory: half of them are tried next.

        That is remembered, but only until they let go while other programs hold some of it.
        place: the device, if it is another. Raises MemoryTaken for a single picture that may fit
        later: where others hold much, or where one like it has fitted before.
        """
        key = self._key(shape)
        others = self.others(place or self.device, self.share)
        if pictures == 1:
            self._insist_on_fault(key, others)
        with self._lock:
            if others > SOME:
                self._passing[key] = max(1, pictures // 2)
                return
            self._limits[key] = max(1, min(self._limits.get(key, self._most), pictures // 2))
            # Another worker of this machine may have learned something meanwhile.
            for other, limit in _read(self.path).items():
                self._limits[other] = min(limit, self._limits.get(other, limit))
            _write(self.path, self._limits)

    def taken(self, place: torch.device) -> MemoryTaken | None:
        """What to say where other programs hold much of a device's memory."""
        share = self.others(place, self.share)
        return MemoryTaken(_held(share)) if share > MUCH else None

    @contextmanager
    def watched(self, shape: Shape, pictures: int) -> Iterator[None]:
        """Around a batch's arithmetic: notes that it fits, and its peak of GPU memory.

        Not of what passes another, nor of that one: each peak would hold some of the other's.
        """
        if self._passing and self.others(self.device, self.share) <= SOME:
            self._passing.clear()
        before = peak = 0
        self._within += 1
        outermost, self._passed = self._within == 1, self._within > 1
        if self._gpu and outermost:
            # Asked for here, where no other batch holds any: `room` is also asked while one runs.
            self._spare = self.free(self.device, self.share)
            torch.cuda.reset_peak_memory_stats(self.device)
            before = torch.cuda.memory_allocated(self.device)
        try:
            yield
        finally:
            self._within -= 1
        if self._passed:
            return
        if self._gpu:
            peak = torch.cuda.max_memory_allocated(self.device) - before
        key = self._key(shape)
        with self._lock:
            self._bytes.pop(key, None)  # so that the oldest comes first
            self._bytes[key] = peak / pictures
            if len(self._bytes) > MOST_SHAPES:
                del self._bytes[next(iter(self._bytes))]

    def _insist_on_fault(self, key: str, others: float) -> None:
        """Raise MemoryTaken unless a picture that does not fit by itself never will."""
        with self._lock:
            # Forgotten, so that the next time is the last: that memory may be gone for good.
            fitted = self._bytes.pop(key, None) is not None
        if others > MUCH:
            raise MemoryTaken(_held(others))
        if fitted:
            raise MemoryTaken("no memory left for a picture that fitted before: it is tried again.")

    @property
    def _gpu(self) -> bool:
        return self.device.type == "cuda"

    def _key(self, shape: Shape) -> str:
        return shape.key(self._name)


def _held(share: float) -> str:
    return f"other programs hold {share:.0%} of the memory: end some of them, or wait."


def _read(path: Path) -> dict[str, int]:
    """What was remembered; nothing where there is none, or it is no such file."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {key: size for key, size in found.items() if type(size) is int and size > 0}


def _write(path: Path, limits: dict[str, int]) -> None:
    """Whole or not at all. A machine that can't keep it works all the same."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(limits, indent=1, sort_keys=True) + "\n")
        temporary.replace(path)

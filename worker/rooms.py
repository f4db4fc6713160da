"""How many pictures make a batch: `Rooms.room` says it, `Rooms.too_many` learns from failure.

On a GPU what fits into its memory, judged by what earlier batches took; on the CPU what keeps its
cores busy. What once did not fit is remembered, over restarts too.
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

# More pixels at once are no faster: a CPU's caches overflow, a GPU's arithmetic is busy.
CPU_PIXELS_A_CORE, CPU_MOST_A_CORE = 2 * 224**2, 8  # pictures, however small
GPU_PIXELS, GPU_MOST = 64 * 224**2, 256
GPU_SHARE = 0.85  # of the free memory; the rest is for workspaces that vary with the batch
HOST_BYTES = 2**30  # of results that wait for their batch's end
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


def free_bytes(device: torch.device) -> int:
    """GPU memory that a batch could have: free on the device, or cached by torch."""
    free, _ = torch.cuda.mem_get_info(device)
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(free + cached)


@dataclass
class Rooms:
    """Batch sizes for one device, shared by threads.

    path: a JSON file of the sizes that were learned by running out of memory; delete it to have
    larger ones tried again. free: how many bytes a GPU has free.
    """

    device: torch.device
    path: Path
    free: Callable[[torch.device], int] = free_bytes
    _pixels: int = field(init=False)
    _most: int = field(init=False)
    _name: str = field(init=False)
    _limits: dict[str, int] = field(init=False)
    _bytes: dict[str, float] = field(default_factory=dict)  # GPU memory of one picture
    _spare: int = 0  # bytes of it that a batch could have
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        # Starts CUDA, which takes seconds: not later, when `room` is asked in a transaction.
        self._name = torch.cuda.get_device_name(self.device) if self._gpu else "cpu"
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
            each = self._bytes.get(key)
        if each:
            bounds.append(int(self._spare * GPU_SHARE / each))
        return max(1, min(bounds))

    def too_many(self, shape: Shape, pictures: int) -> None:
        """Remember that `pictures` of this shape did not fit: half of them are tried next."""
        key = self._key(shape)
        with self._lock:
            self._limits[key] = max(1, min(self._limits.get(key, self._most), pictures // 2))
            # Another worker of this machine may have learned something meanwhile.
            for other, limit in _read(self.path).items():
                self._limits[other] = min(limit, self._limits.get(other, limit))
            _write(self.path, self._limits)

    @contextmanager
    def watched(self, shape: Shape, pictures: int) -> Iterator[None]:
        """Around a batch's arithmetic: notes how much GPU memory it takes at its peak."""
        if not self._gpu:
            yield
            return
        # Asked for here, where no other batch holds any: `room` is also asked while one runs.
        self._spare = self.free(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        yield
        peak = torch.cuda.max_memory_allocated(self.device) - before
        key = self._key(shape)
        with self._lock:
            self._bytes.pop(key, None)  # so that the oldest comes first
            self._bytes[key] = peak / pictures
            if len(self._bytes) > MOST_SHAPES:
                del self._bytes[next(iter(self._bytes))]

    @property
    def _gpu(self) -> bool:
        return self.device.type == "cuda"

    def _key(self, shape: Shape) -> str:
        return shape.key(self._name)


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

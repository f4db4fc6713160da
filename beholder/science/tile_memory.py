"""Memory for tiles: a `Stack` of bytes that all tiles share, and `give_back` for what is freed."""

import ctypes
import os
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor


class Stack:
    """What the way back needs, the last on top: bytes, in one block that every tile uses again.

    A convolution's weights are frozen, so that its input is not needed; of a ReLU a byte a value
    is, of a pool a byte a window. Were they tensors of their own, they would lie scattered between
    maps that come and go, and the process would grow by holes that nothing fits into.
    """

    def __init__(self, block: Tensor) -> None:
        self._block = block
        self._views: list[Tensor] = []
        self._end = 0

    @classmethod
    def of(cls, most_bytes: int, like: Tensor) -> "Stack":
        """Room for `most_bytes` on the device of `like`."""
        return cls(torch.empty(most_bytes, dtype=torch.uint8, device=like.device))

    def push(self, shape: torch.Size) -> Tensor:
        """Uninitialised bytes (1, C, h, w), channels last."""
        batch, channels, height, width = shape
        first, self._end = self._end, self._end + shape.numel()
        flat = self._block[first : self._end].view(batch, height, width, channels)
        self._views.append(flat.permute(0, 3, 1, 2))
        return self._views[-1]

    def pop(self) -> Tensor:
        """What was pushed last; good until the next push."""
        view = self._views.pop()
        self._end -= view.numel()
        return view


def give_back() -> None:
    """Return freed memory to the system, where that has to be asked for.

    Left alone, glibc keeps what was freed in blocks under 32 MiB: for tiles as much again as is in
    use, since no two of their maps are of a size.
    """
    _trim()(0)


@cache
def _trim() -> Callable[[int], object]:
    found: Callable[[int], object] | None = None
    if os.name == "posix":
        found = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return found or (lambda _: None)

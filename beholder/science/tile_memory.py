"""Memory for tiles: a `Stack` of bytes that all tiles share.

`pack` makes bits of what a ReLU let through, and `zero_where_not` stops gradients by them;
`halve` makes half bytes of what a pool chose, and `whole` bytes again.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F


class Stack:
    """What the way back needs, the last on top: bytes, in one block that every tile uses again.

    A convolution's weights are frozen, so that its input is not needed; of a ReLU a bit a value
    is, of a pool half a byte a window. Were they tensors of their own, they would lie scattered
    between maps that come and go, and the process would grow by holes that nothing fits into.
    """

    def __init__(self, block: Tensor) -> None:
        self._block = block
        self._views: list[Tensor] = []
        self._end = 0

    @classmethod
    def of(cls, most_bytes: int, like: Tensor) -> "Stack":
        """Room for `most_bytes` on the device of `like`."""
        return cls(torch.empty(most_bytes, dtype=torch.uint8, device=like.device))

    def push(self, count: int) -> Tensor:
        """Uninitialised bytes (count,)."""
        first, self._end = self._end, self._end + count
        self._views.append(self._block[first : self._end])
        return self._views[-1]

    def pop(self) -> Tensor:
        """What was pushed last; good until the next push."""
        view = self._views.pop()
        self._end -= view.numel()
        return view


def pack(values: Tensor, bits: Tensor) -> None:
    """Write which of `values` (n,) are above 0 into `bits` (n / 8 rounded up,), uint8."""
    for part, eighth in _parts(values):
        above = values[part] > 0
        if len(above) % 8:
            above = F.pad(above, (0, -len(above) % 8))
        # Eight bytes of 0 or 1 times this have the first one's bit lowest in their highest byte.
        eights = above.view(torch.int64).mul(0x0102040810204080).bitwise_right_shift_(56)
        bits[eighth] = eights.to(torch.uint8)


def zero_where_not(values: Tensor, bits: Tensor) -> None:
    """Make `values` (n,) zero, in place, where `pack` found no value above 0."""
    for part, eighth in _parts(values):
        # Eight copies of a byte, of which the first keeps its lowest bit, and so on.
        eights = (
            bits[eighth].long().mul_(0x0101010101010101).bitwise_and_(0x8040201008040201 - 2**64)
        )
        of_part = values[part]
        of_part.masked_fill_(eights.view(torch.uint8)[: len(of_part)] == 0, 0)


def halve(values: Tensor, halves: Tensor) -> None:
    """Write `values` (n,), uint8 under 16, into `halves` (n / 2 rounded up,)."""
    middle = len(halves)
    halves.copy_(values[:middle])
    halves[: len(values) - middle].add_(values[middle:], alpha=16)


def whole(halves: Tensor, count: int) -> Tensor:
    """The bytes (count,) that `halve` wrote."""
    return torch.cat([halves & 15, halves >> 4])[:count]


def _parts(values: Tensor) -> Iterator[tuple[slice, slice]]:
    """Where a few of `values` (n,) are, and their bits: on a CPU few enough for its cache."""
    size = 2**17 if values.is_cpu else 2**24
    for first in range(0, len(values), size):
        end = min(first + size, len(values))
        yield slice(first, end), slice(first // 8, -(-end // 8))

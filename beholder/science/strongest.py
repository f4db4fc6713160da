"""The few pictures that drive each channel most: `Strongest`, in a form that streams and merges."""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from beholder.errors import InvalidInput
from beholder.layers import LAYERS
from beholder.science.archive import opened

KEPT = 4  # pictures a channel: 28,000 rows for a study of VGG19
# A convolution is read after its ReLU, so its pictures are the ReLU's.
KEPT_LAYERS = tuple(layer.index for layer in LAYERS if layer.kind != "conv")

_AT_ONCE = 8  # parts that are merged by one sort, of columns that stay short
_FORMAT = 1
_NOBODY = np.iinfo(np.int64).max


@dataclass
class Strongest:
    """For each channel of the ReLU and pool layers, the `KEPT` pictures of greatest strength.

    widths: channels of each of the 37 layers. Among equal strengths the lower position comes
    first, so updates and merges in any order give the same. Each picture is to come once.
    """

    widths: tuple[int, ...]
    _strengths: NDArray[np.float64] = field(init=False, repr=False)  # (KEPT, all C), descending
    _positions: NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        total = sum(self.widths[layer] for layer in KEPT_LAYERS)
        self._strengths = np.zeros((KEPT, total))
        self._positions = np.full((KEPT, total), _NOBODY, np.int64)

    def update(self, strengths: Sequence[Tensor], positions: Sequence[int]) -> None:
        """Take in a batch: strengths (B, C) of each of the 37 layers, the B pictures' positions."""
        if not positions:
            return
        kept = [strengths[layer].detach().cpu().double().numpy() for layer in KEPT_LAYERS]
        rows = np.concatenate(kept, axis=1)  # (B, all C)
        places = np.broadcast_to(np.asarray(positions, np.int64)[:, None], rows.shape)
        self._take(rows, places)

    def merge(self, other: "Strongest") -> "Strongest":
        """Of both groups together; both stay as they are. Raises InvalidInput."""
        return Strongest.of(self.widths, (self, other))

    @classmethod
    def of(cls, widths: tuple[int, ...], parts: Iterable["Strongest"]) -> "Strongest":
        """All of the parts, which stay as they are, together. Raises InvalidInput."""
        found, parts = cls(widths), iter(parts)
        while some := list(islice(parts, _AT_ONCE)):
            if any(part.widths != widths for part in some):
                raise InvalidInput("strongest pictures merge when they are of the same network.")
            found._take(
                np.concatenate([part._strengths for part in some]),
                np.concatenate([part._positions for part in some]),
            )
        return found

    def rows(self) -> Iterator[tuple[int, int, int, int, float]]:
        """(layer, channel, rank, position, strength), rank 0 the strongest; none without any."""
        start = 0
        for layer in KEPT_LAYERS:
            for channel in range(self.widths[layer]):
                for rank in range(KEPT):
                    strength = float(self._strengths[rank, start + channel])
                    if strength > 0:
                        position = int(self._positions[rank, start + channel])
                        yield layer, channel, rank, position, strength
            start += self.widths[layer]

    def to_bytes(self) -> bytes:
        """An .npz; `from_bytes` reads it. Compressing it would be most of a chunk's end."""
        buffer = io.BytesIO()
        np.savez(
            buffer,
            allow_pickle=False,
            version=np.array(_FORMAT),
            widths=np.array(self.widths, np.int64),
            strengths=self._strengths,
            positions=self._positions,
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Strongest":
        """What `to_bytes` wrote. Raises InvalidInput for anything else; executes nothing."""
        with opened(data, "strongest pictures", "measure the pictures again") as file:
            if int(file["version"]) != _FORMAT:
                raise ValueError(file["version"])
            found = cls(tuple(file["widths"].tolist()))
            strengths, positions = file["strengths"], file["positions"]
            if {strengths.shape, positions.shape} != {found._strengths.shape}:
                raise ValueError(strengths.shape)
            found._strengths, found._positions = strengths, positions
        return found

    def _take(self, strengths: NDArray[np.float64], positions: NDArray[np.int64]) -> None:
        values = np.concatenate([self._strengths, strengths])
        places = np.concatenate([self._positions, positions])
        order = np.lexsort((places, -values), axis=0)[:KEPT]  # by strength, then by position
        self._strengths = np.take_along_axis(values, order, axis=0)
        self._positions = np.take_along_axis(places, order, axis=0)

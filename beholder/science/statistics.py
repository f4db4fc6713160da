"""Channel statistics of a group of pictures, in a form that streams and merges.

`ChannelStatistics.update` takes batches in any order, `merge` joins groups, `most_common` and
`chosen_channels` read the counts by the published rules.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from beholder.errors import InvalidInput
from beholder.layers import find_layer
from beholder.science.archive import opened
from beholder.science.measure import ranked

Counts = NDArray[np.int64]
Values = NDArray[np.float64]

_FORMAT = 1
_NEVER = np.iinfo(np.int64).max  # later than any place a channel could be met at
_RANK_BITS = 16
_ARRAYS = ("_count", "_first", "_sum", "_squares", "_maximum")


@dataclass
class ChannelStatistics:
    """How often each channel was a top channel in `n` pictures, and how strong it was.

    widths: channels of each layer. top, threshold: a picture's top channels in a layer are its
    `top` strongest with a strength above `threshold`.

    Updates and merges in any order give the same counts and order; the sums differ by rounding
    at most (float64). Each picture is to come once, with a position of its own.
    """

    widths: tuple[int, ...]
    top: int
    threshold: float
    n: int = 0
    # One value a channel, layer after layer. `_first` is where the channel was first a top channel:
    # the picture's position, shifted left, plus the channel's rank in it.
    _count: Counts = field(init=False, repr=False)
    _first: Counts = field(init=False, repr=False)
    _sum: Values = field(init=False, repr=False)
    _squares: Values = field(init=False, repr=False)
    _maximum: Values = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not 1 <= self.top < 1 << _RANK_BITS:
            raise InvalidInput(f"top: a whole number from 1 to 65535; got {self.top}.")
        total = sum(self.widths)
        self._count = np.zeros(total, np.int64)
        self._first = np.full(total, _NEVER, np.int64)
        self._sum, self._squares, self._maximum = (np.zeros(total) for _ in range(3))

    @classmethod
    def empty(
        cls, widths: Sequence[int], *, top: int = 10, threshold: float = 0.0
    ) -> "ChannelStatistics":
        """Of no pictures yet; `widths` is the network's."""
        return cls(tuple(widths), top, threshold)

    def update(self, strengths: Sequence[Tensor], positions: Sequence[int]) -> None:
        """Take in a batch: strengths (B, C) of each layer, and the B pictures' positions.

        Positions decide which picture comes first among equal counts. Raises InvalidInput.
        """
        self._check(strengths, positions)
        if not positions:
            return
        places = np.asarray(positions, np.int64)[:, None] << _RANK_BITS  # (B, 1)
        for layer, rows in enumerate(strengths):
            self._count_layer(self._span(layer), rows, places)
            self._add_layer(self._span(layer), rows.detach().cpu().double().numpy())
        self.n += len(positions)

    def merge(self, other: "ChannelStatistics") -> "ChannelStatistics":
        """Of both groups together, as if one had seen all their pictures; both stay as they are."""
        mine, theirs = ((s.widths, s.top, s.threshold) for s in (self, other))
        if mine != theirs:
            raise InvalidInput(
                "statistics merge when widths, top and threshold are the same; "
                f"got top {self.top} and {other.top}, threshold {self.threshold} and "
                f"{other.threshold}, {sum(self.widths)} and {sum(other.widths)} channels."
            )
        both = ChannelStatistics(self.widths, self.top, self.threshold, self.n + other.n)
        both._count = self._count + other._count
        both._first = np.minimum(self._first, other._first)
        both._sum = self._sum + other._sum
        both._squares = self._squares + other._squares
        both._maximum = np.maximum(self._maximum, other._maximum)
        return both

    @property
    def counts(self) -> tuple[Counts, ...]:
        """For each layer (C,): in how many pictures each channel was a top channel."""
        return tuple(self._count[self._span(layer)].copy() for layer in range(len(self.widths)))

    def most_common(self, layer: int | str, n: int) -> list[tuple[int, int]]:
        """The layer's `n` most counted channels with their counts, most counted first.

        Among equal counts the channel of the earlier picture comes first, then the stronger in
        it. Channels that were never counted are left out.
        """
        span = self._span(find_layer(layer).index)
        count, first = self._count[span], self._first[span]
        order = np.lexsort((first, -count))[:n]
        return [(int(channel), int(count[channel])) for channel in order if count[channel]]

    def mean(self, layer: int | str) -> Values:
        """Mean strength of each channel (C,); 0 without pictures."""
        mean: Values = self._sum[self._span(find_layer(layer).index)] / max(self.n, 1)
        return mean

    def deviation(self, layer: int | str) -> Values:
        """Standard deviation of each channel's strength over the group, divided by n (C,)."""
        squares = self._squares[self._span(find_layer(layer).index)] / max(self.n, 1)
        deviation: Values = np.sqrt(np.maximum(squares - self.mean(layer) ** 2, 0))
        return deviation

    def maximum(self, layer: int | str) -> Values:
        """Greatest strength of each channel (C,); 0 without pictures."""
        return self._maximum[self._span(find_layer(layer).index)].copy()

    def to_bytes(self) -> bytes:
        """An .npz; `from_bytes` reads it. Of no pictures it is compressed, as zeros can be."""
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {name.lstrip("_"): getattr(self, name) for name in _ARRAYS}
        save = np.savez if self.n else np.savez_compressed
        save(
            buffer,
            allow_pickle=False,
            head=np.array([_FORMAT, self.n, self.top], np.int64),
            threshold=np.array(self.threshold, np.float64),
            widths=np.array(self.widths, np.int64),
            **arrays,
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "ChannelStatistics":
        """What `to_bytes` wrote. Raises InvalidInput for anything else; executes nothing."""
        with opened(data, "channel statistics", "measure the pictures again") as file:
            return cls._from_arrays({name: file[name] for name in file.files})

    @classmethod
    def _from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> "ChannelStatistics":
        version, n, top = arrays["head"].tolist()
        if version != _FORMAT:
            raise ValueError(version)
        found = cls(tuple(arrays["widths"].tolist()), top, float(arrays["threshold"]), n)
        for name in _ARRAYS:
            blank, stored = getattr(found, name), arrays[name.lstrip("_")]
            if stored.shape != blank.shape or stored.dtype != blank.dtype:
                raise ValueError(name)
            setattr(found, name, stored)
        return found

    def _span(self, layer: int) -> slice:
        start = sum(self.widths[:layer])
        return slice(start, start + self.widths[layer])

    def _count_layer(self, span: slice, rows: Tensor, places: Counts) -> None:
        order, above = (part.cpu().numpy() for part in ranked(rows, self.top, self.threshold))
        keys = places + np.arange(order.shape[1])  # (B, n)
        np.add.at(self._count[span], order[above], 1)
        np.minimum.at(self._first[span], order[above], keys[above])

    def _add_layer(self, span: slice, rows: Values) -> None:
        self._sum[span] += rows.sum(axis=0)
        self._squares[span] += (rows**2).sum(axis=0)
        self._maximum[span] = np.maximum(self._maximum[span], rows.max(axis=0))

    def _check(self, strengths: Sequence[Tensor], positions: Sequence[int]) -> None:
        got = [tuple(rows.shape) for rows in strengths]
        if got != [(len(positions), width) for width in self.widths]:
            raise InvalidInput(
                f"strengths of {len(positions)} pictures are {len(self.widths)} tensors of "
                f"({len(positions)}, C) with the network's widths; got {len(got)} tensors, "
                f"the first of {got[0] if got else 'nothing'}."
            )
        if any(not 0 <= position < 1 << (62 - _RANK_BITS) for position in positions):
            raise InvalidInput(f"positions count from 0; got {min(positions)}-{max(positions)}.")


def chosen_channels(
    target: ChannelStatistics, *, min_layer: int = 20, most_common: int = 5, threshold: int = 4
) -> dict[int, tuple[int, ...]]:
    """The channels that the target pictures share, by layer, most counted first.

    From `min_layer` on, a layer's `most_common` most counted channels, up to the first that is a
    top channel in fewer than `threshold` pictures. Layers that share none are left out.
    """
    chosen: dict[int, tuple[int, ...]] = {}
    for layer in range(min_layer, len(target.widths)):
        common = target.most_common(layer, most_common)
        channels = tuple(channel for channel, count in common if count >= threshold)
        if channels:
            chosen[layer] = channels
    return chosen

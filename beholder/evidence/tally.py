"""`Tally`: a study's classes and their channels' sums, as channel records want them.

widths: channels of each of the 37 layers; the ReLUs' follow each other in a picture's strengths.
"""

import io
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from beholder.jobs.outcomes import ChannelClassRow, ClassRow, digest
from beholder.layers import LAYERS
from beholder.science.archive import opened

_FORMAT = 1
_SLICE = 256  # pictures that are counted in at a time: their squares take 11 MB of VGG19's
_Class = tuple[str, str]  # role and folder


class Tally:
    """Sums over classes, which are the folders of each role. Parts add up in any order.

    Classes are numbered by the positions of their first pictures.
    """

    def __init__(self) -> None:
        self._first: dict[_Class, int] = {}
        self._hashes: dict[_Class, list[str]] = {}
        self._sums: dict[_Class, NDArray[np.float64]] = {}  # active, sum, squares, maximum: (4, C)

    def add(
        self,
        names: Sequence[_Class],
        positions: Sequence[int],
        hashes: Sequence[str],
        strengths: NDArray[np.float32],
    ) -> None:
        """Count B pictures in, each once. strengths: (B, C) of all ReLU layers' channels."""
        for name in dict.fromkeys(names):
            every = [row for row, other in enumerate(names) if other == name]
            for rows in (every[start : start + _SLICE] for start in range(0, len(every), _SLICE)):
                own = strengths[rows].astype(np.float64)
                sums = np.stack(
                    [(own > 0).sum(axis=0), own.sum(axis=0), (own**2).sum(axis=0), own.max(axis=0)]
                )
                first = min(positions[row] for row in rows)
                self._join(name, first, [hashes[row] for row in rows], sums)

    def merge(self, other: "Tally") -> None:
        """Count in all that the other has."""
        for name, sums in other._sums.items():
            self._join(name, other._first[name], other._hashes[name], sums)

    def class_rows(self) -> list[ClassRow]:
        """One each; without a folder, a class is called by its role."""
        return [
            ClassRow(number, group or role, role, len(hashes), digest(hashes))
            for number, (role, group) in enumerate(self._names())
            for hashes in [self._hashes[role, group]]
        ]

    def channel_rows(self, widths: Sequence[int]) -> Iterator[ChannelClassRow]:
        """Every ReLU channel over every class, in the order of the table's key."""
        for number, name in enumerate(self._names()):
            for layer, span in relu_spans(widths).items():
                active, *rest = self._sums[name][:, span].tolist()
                for channel, values in enumerate(zip(active, *rest, strict=True)):
                    yield ChannelClassRow(number, layer, channel, int(values[0]), *values[1:])

    def to_bytes(self) -> bytes:
        """An .npz; `from_bytes` reads it. Compressing it would be most of a chunk's end."""
        buffer, names = io.BytesIO(), self._names()
        np.savez(
            buffer,
            allow_pickle=False,
            version=np.array(_FORMAT),
            names=np.array(names, np.str_).reshape(-1, 2),
            first=np.array([self._first[name] for name in names], np.int64),
            sums=np.array([self._sums[name] for name in names]),
            counts=np.array([len(self._hashes[name]) for name in names], np.int64),
            hashes=np.array([one for name in names for one in self._hashes[name]], np.str_),
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Tally":
        """What `to_bytes` wrote. Raises InvalidInput for anything else; executes nothing."""
        with opened(data, "tally", "measure the pictures again") as file:
            if int(file["version"]) != _FORMAT:
                raise ValueError(file["version"])
            return cls._from_arrays({name: file[name] for name in file.files})

    @classmethod
    def _from_arrays(cls, arrays: dict[str, NDArray[np.generic]]) -> "Tally":
        found, hashes = cls(), iter(arrays["hashes"].tolist())
        counts, first = arrays["counts"].tolist(), arrays["first"].tolist()
        names = [(str(role), str(group)) for role, group in arrays["names"].tolist()]
        for name, place, count, sums in zip(names, first, counts, arrays["sums"], strict=True):
            own = [next(hashes) for _ in range(count)]
            found._join(name, place, own, sums.astype(np.float64))
        return found

    def _join(
        self, name: _Class, first: int, hashes: Sequence[str], sums: NDArray[np.float64]
    ) -> None:
        known = self._sums.get(name)
        if known is None:
            self._first[name], self._hashes[name], self._sums[name] = first, list(hashes), sums
            return
        self._first[name] = min(first, self._first[name])
        self._hashes[name] += hashes
        self._sums[name] = np.vstack([known[:3] + sums[:3], np.maximum(known[3:], sums[3:])])

    def _names(self) -> list[_Class]:
        return sorted(self._first, key=self._first.__getitem__)


def relu_spans(widths: Sequence[int]) -> dict[int, slice]:
    """By ReLU layer, its columns of `Answers.strengths`."""
    spans, first = {}, 0
    for layer in LAYERS:
        if layer.kind == "relu":
            spans[layer.index] = slice(first, first + widths[layer.index])
            first += widths[layer.index]
    return spans

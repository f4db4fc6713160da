"""What the intact network answers to each picture: `Answers`, which measured chunks bring.

Unlike statistics it keeps the pictures apart: choosing asks for the strengths of some of them.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beholder.errors import InvalidInput
from beholder.science.archive import opened

_FORMAT = 1


@dataclass(frozen=True)
class Answers:
    """Of B measured pictures.

    positions: (B,) int64 of their items. sha256, source, role, group: (B,) text.
    hashes: (B,) uint64, perceptual, for near-duplicates.
    strengths: (B, C) float32 of all ReLU layers' channels, layer after layer; 0 where nothing of a
    map is above zero. regions: (B, C, 4) uint8, where the same channels are driven, as
    `beholder.science.measure` tells it. logits: (B, classes) float32.
    """

    positions: NDArray[np.int64]
    sha256: NDArray[np.str_]
    source: NDArray[np.str_]
    role: NDArray[np.str_]
    group: NDArray[np.str_]
    hashes: NDArray[np.uint64]
    strengths: NDArray[np.float32]
    regions: NDArray[np.uint8]
    logits: NDArray[np.float32]

    @classmethod
    def merge(cls, parts: Sequence["Answers"]) -> "Answers":
        """All pictures of the parts, by position. Raises InvalidInput where there are none."""
        if not parts:
            raise InvalidInput("no picture of this study was measured.")
        positions = np.concatenate([part.positions for part in parts])
        order = np.argsort(positions, kind="stable")
        sorted_already = bool((np.diff(positions) >= 0).all())  # then a copy of all is spared

        def joined(name: str) -> NDArray[Any]:
            rows = np.concatenate([getattr(part, name) for part in parts])
            return rows if sorted_already else rows[order]

        return cls(**{name: joined(name) for name in cls.__dataclass_fields__})

    def rows(self, positions: Sequence[int]) -> NDArray[np.int64]:
        """Where these positions are; all of them are to be there."""
        found: NDArray[np.int64] = np.searchsorted(self.positions, positions).astype(np.int64)
        return found

    def to_bytes(self) -> bytes:
        """A compressed .npz; `from_bytes` reads it."""
        buffer = io.BytesIO()
        arrays = {name: getattr(self, name) for name in self.__dataclass_fields__}
        np.savez_compressed(buffer, allow_pickle=False, version=np.array(_FORMAT), **arrays)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Answers":
        """What `to_bytes` wrote. Raises InvalidInput for anything else; executes nothing."""
        with opened(data, "answers", "measure the pictures again") as file:
            if int(file["version"]) != _FORMAT:
                raise ValueError(file["version"])
            found = cls(**{name: file[name] for name in cls.__dataclass_fields__})
            if len({len(getattr(found, name)) for name in cls.__dataclass_fields__}) != 1:
                raise ValueError("lengths")
        return found

"""What the network said of pictures under each ablation, as arrays that chunks bring and merge."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beholder.errors import InvalidInput
from beholder.science.archive import opened

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
_FORMAT = 1
_PER_CONDITION = ("label", "p_target", "margin", "p_own", "rank", "top5", "kl")


@dataclass(frozen=True)
class Readings:
    """Of B pictures under A conditions; condition 0 is the intact network, 1 and on the plan's.

    positions: (B,) of the items. label: (A, B) the class seen. p_target: (A, B) the target's
    softmax probability. margin: (A, B) the target's logit less the logsumexp of the others', which
    is its log-odds. p_own: (A, B) probability of the picture's own label (`Subject.label`).
    rank: (A, B) of the target, 1 the likeliest. top5: (A, B) 1 where the target is among five.
    kl: (A, B) nats, of the intact prediction from this one: sum p_intact log(p_intact / p).
    logits: (2, B, classes) intact and headline, float32. features: (2, B, C) means of the last
    layer's maps, intact and headline, float32.
    A condition that a picture was not run under is NaN there, -1 in whole numbers.
    """

    positions: Ints
    label: Ints
    p_target: Floats
    margin: Floats
    p_own: Floats
    rank: Ints
    top5: Ints
    kl: Floats
    logits: NDArray[np.float32]
    features: NDArray[np.float32]

    @property
    def gained(self) -> Floats:
        """(B, classes): what the headline adds to each class's probability; rows sum to 0."""
        intact, headline = (_softmax(part.astype(np.float64)) for part in self.logits)
        added: Floats = headline - intact
        return added

    @classmethod
    def merge(cls, parts: Sequence["Readings"]) -> "Readings":
        """All pictures of the parts, by position. Raises InvalidInput where they don't fit."""
        if not parts or len({part.label.shape[0] for part in parts}) > 1:
            raise InvalidInput("readings merge when they are of the same conditions, one at least.")
        order = np.argsort(np.concatenate([part.positions for part in parts]), kind="stable")
        joined = {
            name: np.concatenate([getattr(part, name) for part in parts], axis=1)[:, order]
            for name in (*_PER_CONDITION, "logits", "features")
        }
        positions = np.concatenate([part.positions for part in parts])[order]
        return cls(positions=positions, **joined)

    def to_bytes(self) -> bytes:
        """A compressed .npz; `from_bytes` reads it."""
        buffer = io.BytesIO()
        arrays = {name: getattr(self, name) for name in self.__dataclass_fields__}
        np.savez_compressed(buffer, allow_pickle=False, version=np.array(_FORMAT), **arrays)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Readings":
        """What `to_bytes` wrote. Raises InvalidInput for anything else; executes nothing."""
        with opened(data, "readings", "run the study again") as file:
            if int(file["version"]) != _FORMAT:
                raise ValueError(file["version"])
            found = cls(**{name: file[name] for name in cls.__dataclass_fields__})
            found._check()
        return found

    def _check(self) -> None:
        count = len(self.positions)
        for name in _PER_CONDITION:
            if getattr(self, name).shape != (self.label.shape[0], count):
                raise ValueError(name)
        for name in ("logits", "features"):
            if getattr(self, name).shape[:2] != (2, count):
                raise ValueError(name)


def _softmax(logits: Floats) -> Floats:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: Floats = shifted / shifted.sum(axis=1, keepdims=True)
    return found

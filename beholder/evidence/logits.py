"""What the network said to each picture, number by number: `Logits`, a file beside the evidence."""

import hashlib
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beholder.evidence.document import LogitsFile
from beholder.science.archive import opened

_ARRAYS = ("positions", "intact", "blinded")


@dataclass(frozen=True)
class Logits:
    """Of the N pictures of `Evidence.rows`, in their order.

    positions: (N,) int64. intact, blinded: (N, classes) float32, blinded under the headline.
    """

    positions: NDArray[np.int64]
    intact: NDArray[np.float32]
    blinded: NDArray[np.float32]

    def to_bytes(self) -> bytes:
        """A compressed .npz that `numpy.load` reads; the same for the same numbers."""
        buffer = io.BytesIO()
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        return buffer.getvalue()

    def told(self, data: bytes) -> LogitsFile:
        """What the evidence says of the file that holds them as these bytes."""
        return LogitsFile(
            sha256=hashlib.sha256(data).hexdigest(),
            bytes=len(data),
            arrays={name: getattr(self, name).shape for name in _ARRAYS},
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "Logits":
        """What `to_bytes` wrote. Raises InvalidInput for anything else; executes nothing."""
        with opened(data, "logits", "run the study again") as file:
            found = cls(**{name: file[name] for name in _ARRAYS})
            if not len(found.positions) == len(found.intact) == len(found.blinded):
                raise ValueError("lengths")
        return found

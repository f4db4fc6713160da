"""Pictures that are nearly the same: `fingerprint` each, then `near_duplicates` among them.

A copy in the choosing and in the test pictures would let a study test what it has learnt by heart.
"""

from collections.abc import Sequence

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Bits of 64. Recoded, resized and slightly cropped photographs differ by 0 to 4, different ones by
# 20 and more; drawn pictures of one class by 10.
NEAR = 4
_ROWS = 512  # of the table of distances that are in memory at a time


def fingerprint(image: Image.Image) -> int:
    """64 bits of a picture's coarse shape (pHash: signs of its lowest cosine frequencies)."""
    bits = imagehash.phash(image).hash.flatten()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def near_duplicates(hashes: NDArray[np.uint64], order: Sequence[int]) -> dict[int, int]:
    """Of pictures with these fingerprints (N,), which is a near-duplicate of which one that stays.

    order: rows, the first of those alike stays. One stays unless it is within `NEAR` bits of one
    that stays before it.
    """
    ranked = hashes[list(order)]
    found: dict[int, int] = {}
    for first in range(0, len(ranked), _ROWS):
        some = ranked[first : first + _ROWS]
        near = np.bitwise_count(some[:, None] ^ ranked[None, : first + len(some)]) <= NEAR
        for row, others in enumerate(near, start=first):
            for other in np.flatnonzero(others[:row]).tolist():
                if order[other] not in found:
                    found[order[row]] = order[other]
                    break
    return found

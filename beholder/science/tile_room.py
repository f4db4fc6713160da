"""`tile_room`: how much memory a tile may take, so that all of a dream stays under one total."""

from beholder.science.tile_plan import FLOAT_BYTES

TOTAL = 3 * 2**30  # bytes that a process may have on a CPU, all in all
# Measured, apart from weights and maps: torch and its libraries, and a worker's own; then what a
# convolution works in, and holes between maps.
_PROGRAM, _WORKSPACE = 620 * 2**20, 170 * 2**20
# What a picture of 8192 x 8192 leaves beside itself and its gradient. A larger one has it too.
LEAST = 176 * 2**20


def tile_room(height: int, width: int, weights: int) -> int:
    """Bytes for a tile of a picture of so many pixels, on a CPU.

    weights: bytes of the network's. Counted besides: the program, the start that a caller may
    keep, the picture and its gradient. Where these leave less than `LEAST`, it is that: at
    8192 x 8192 the total still holds for who keeps no start.
    """
    picture = FLOAT_BYTES * 3 * height * width
    return max(LEAST, TOTAL - _PROGRAM - _WORKSPACE - weights - 3 * picture)

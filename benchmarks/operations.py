"""Useful operations, counted from the layer table: what no implementation can do without.

A multiplication and its addition are two operations. Only convolutions count: biases, ReLUs, pools
and norms are work too, and a share of the matrix-product rate is lower for it.
"""

from collections.abc import Sequence

from beholder.layers import LAYERS

_KERNEL = 9  # 3 x 3
_COLOURS = 3


def forward_operations(widths: Sequence[int], *, layer: int, size: int) -> int:
    """Of one picture of `size` x `size` pixels up to and with `layer`.

    widths: channels of each of the 37 layers, `Network.widths`.
    """
    total, incoming, side = 0, _COLOURS, size
    for row in LAYERS[: layer + 1]:
        if row.kind == "conv":
            total += 2 * _KERNEL * incoming * widths[row.index] * side * side
        elif row.kind == "pool":
            side //= 2
        incoming = widths[row.index]
    return total


def step_operations(widths: Sequence[int], *, layer: int, size: int) -> int:
    """Of one dream step: the pass forward, and as much again for the gradient of every input.

    The first convolution's input is the picture itself, so its gradient is needed as well; no
    weight's gradient is.
    """
    return 2 * forward_operations(widths, layer=layer, size=size)

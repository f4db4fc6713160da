"""`octave_side`: how long a picture's side is in each of the sizes in which it is dreamt."""

from beholder.layers import LAYERS

_LEAST = LAYERS[-1].stride  # pixels, of which the last pool leaves one place


def octave_side(side: int, number: int, octaves: int, scale: float) -> int:
    """In pixels, of octave `number` of so many, from 0 on; each is `scale` times the one before.

    No side is shorter than the network needs, so a small picture's first octaves may be alike.
    """
    return max(min(_LEAST, side), round(side * scale ** (number + 1 - octaves)))

"""NumPy archives that were written here: `opened` reads one, and executes nothing."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from beholder.errors import InvalidInput


@contextmanager
def opened(data: bytes, what: str, remedy: str) -> Iterator[Any]:
    """The arrays of an .npz by name, for a block that makes `what` of them.

    Raises InvalidInput, which ends with `remedy`, for whatever goes wrong there.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            yield file
    except Exception as error:  # zipfile, zlib and numpy each have their own
        raise InvalidInput(
            f"these {len(data)} bytes are no {what} ({type(error).__name__}): {remedy}."
        ) from None

"""A picture's bytes as a file that notices when decoding them takes too long: `Watched`."""

import io
import time

from beholder.errors import PictureError

# Of a thread's own CPU time. Honest pictures take a seventh of it or less (docs/security.md).
LEAST_S = 5.0
S_PER_MEGAPIXEL = 0.5


def most_seconds(pixels: int) -> float:
    """How many seconds of CPU time a picture of so many pixels may take."""
    return LEAST_S + S_PER_MEGAPIXEL * pixels / 1e6


class Watched(io.BytesIO):
    """Raises PictureError when its reader has spent `most_seconds` of CPU time on it.

    A few kilobytes can keep a decoder busy for hours (a JPEG of ever more scans). Pillow's decoders
    take 64 KiB at a time and come back for more, so here is where they can be stopped; a thread
    that never comes back can't be. CPU time, because a busy machine is no fault of the picture's.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.allow(pixels=0)

    def allow(self, *, pixels: int) -> None:
        """Count from now on, for a picture of so many pixels, on this thread."""
        self._most_s = most_seconds(pixels)
        self._ends = time.thread_time() + self._most_s

    def read(self, size: int | None = -1, /) -> bytes:
        """As any file. Raises PictureError when the time is over."""
        if time.thread_time() > self._ends:
            raise too_long(self._most_s)
        return super().read(size)


def too_long(seconds: float) -> PictureError:
    """What to say of a picture that took longer."""
    return PictureError(
        f"it takes more than {seconds:.0f} s to decode: save it anew, as plain JPEG or PNG."
    )

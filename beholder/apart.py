"""Decoding in a process of its own, for formats whose decoder can't be stopped: `decode_apart`.

AVIF's decoder and libtiff's take a file in one call, which no clock can end: an AVIF may hide
thousands of frames behind the one that it shows, a TIFF of 8 x 8 pixels a tile of gigabytes. The
child has limits on CPU time and memory that the kernel keeps, and a crash there ends nothing else.
"""

import math
import resource
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path

import PIL
from PIL import Image

from beholder.errors import PictureError
from beholder.watched import most_seconds, too_long

_SIZE = struct.Struct("<II")  # width, height; (0, 0) goes before a reason
_BASE_BYTES = 1 << 30  # address space: the interpreter, its libraries, threads' stacks
_BYTES_PER_PIXEL = 48  # 16-bit planes with alpha, reference frames, and copies on the way to RGB
# What a child takes is known only when it has: of a process that decodes on every core of many, so
# many at a time stay within some gigabytes.
AT_ONCE = 4
_CHILDREN = threading.BoundedSemaphore(AT_ONCE)
_MERCY_S = 2  # of CPU time between the signal that says so and the one that nobody can catch
_PATIENCE = 10  # seconds on the clock for each of CPU time: the machine may be busy
_TOO_MUCH = "it takes too much memory to decode: save it anew, as plain JPEG or PNG."
# Without `site`, which takes longer than the decoding; so it is told where the packages are.
_START = "import sys; sys.path[:0] = sys.argv[3:]; from beholder.apart import main; main()"
_PACKAGES = tuple({str(Path(file).parents[1]) for file in (PIL.__file__, __file__)})


def decode_apart(data: bytes, *, pixels: int) -> Image.Image:
    """What `beholder.pictures.decode_here` makes of `data`, a picture of so many pixels.

    AT_ONCE children run at a time, whoever asks: the next waits. Raises PictureError, also where
    the child ran out of its time or memory, or crashed; MemoryError where the system ended it, as
    it does when the whole machine runs out.
    """
    seconds = most_seconds(pixels)
    numbers = str(math.ceil(seconds)), str(pixels)
    command = [sys.executable, "-I", "-S", "-c", _START, *numbers, *_PACKAGES]
    try:
        with _CHILDREN:
            ended = subprocess.run(
                command,
                input=data,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={},  # it needs none of this process's secrets
                timeout=_PATIENCE * seconds,
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise too_long(seconds) from None
    if ended.returncode == -signal.SIGXCPU:
        raise too_long(seconds)
    if ended.returncode == -signal.SIGKILL:
        raise MemoryError("a picture's decoder was killed, as when this machine's memory is full")
    if ended.returncode:
        raise PictureError("its decoder crashed: save it anew, as plain JPEG or PNG.")
    return _answer(ended.stdout)


def _answer(output: bytes) -> Image.Image:
    size = _SIZE.unpack_from(output)
    rest = memoryview(output)[_SIZE.size :]
    if size == (0, 0):
        raise PictureError(bytes(rest).decode())
    return Image.frombytes("RGB", size, rest)


def main() -> None:
    """The child: a picture from stdin; its size and RGB bytes, or what is wrong, to stdout."""
    from PIL import AvifImagePlugin

    from beholder.pictures import decode_here

    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # each has a stack, and memory is limited
    seconds, pixels = map(int, sys.argv[1:3])
    _limit(seconds, pixels)
    data = sys.stdin.buffer.read()
    try:
        image = decode_here(data, max_pixels=pixels)
    except PictureError as error:
        _write(_SIZE.pack(0, 0), str(error).encode())
    except MemoryError:
        _write(_SIZE.pack(0, 0), _TOO_MUCH.encode())
    else:
        _write(_SIZE.pack(*image.size), image.tobytes())


def _limit(seconds: int, pixels: int) -> None:
    memory = _BASE_BYTES + _BYTES_PER_PIXEL * pixels
    limits = {
        # At the first the kernel sends SIGXCPU: SIGKILL at once could be the lack of memory, too.
        resource.RLIMIT_CPU: (seconds, seconds + _MERCY_S),
        resource.RLIMIT_AS: (memory, memory),
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_FSIZE: (0, 0),  # it has no file to write
    }
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    for what, bounds in limits.items():
        resource.setrlimit(what, bounds)


def _write(*parts: bytes) -> None:
    for part in parts:
        sys.stdout.buffer.write(part)

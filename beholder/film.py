"""Pictures as a film: `write_film` makes a GIF or an animated WebP with Pillow, an MP4 with PyAV.

`film_kind` says which a file's name asks for.
"""

from collections.abc import Iterator
from fractions import Fraction
from importlib.util import find_spec
from itertools import chain
from pathlib import PurePath
from typing import IO, Literal, get_args

from PIL import Image

from beholder.errors import InvalidInput, NotInstalled
from beholder.extras import install

Kind = Literal["mp4", "gif", "webp"]
DEFAULT_KIND: Kind = "webp"
MIN_FPS, MAX_FPS = 0.1, 60
_GIF_MS = 20  # a frame; browsers show shorter ones for 100
# Of a GIF or WebP, whose frames Pillow holds all together, 4 bytes each. An MP4's come and go.
MAX_HELD_PIXELS = 250_000_000
_H264 = {"crf": "16", "preset": "medium"}


def film_kind(name: PurePath) -> Kind:
    """What a file of this name is. Raises InvalidInput."""
    suffix = name.suffix.lower().removeprefix(".")
    for kind in get_args(Kind):
        if suffix == kind:
            return kind  # type: ignore[no-any-return]
    raise InvalidInput(f"{name}: films end in .mp4, .webp or .gif.")


def require(kind: Kind) -> None:
    """Raise NotInstalled where what writes this kind is not there."""
    if kind == "mp4" and find_spec("av") is None:
        raise NotInstalled(f"MP4 needs PyAV: {install('video')}; .webp and .gif need nothing more.")


def write_film(
    frames: Iterator[Image.Image], file: IO[bytes], kind: Kind, *, fps: float, count: int
) -> None:
    """Write RGB frames of one size, `count` of them, the first as its first picture; it repeats.

    Frames are taken one at a time; an MP4 needs the memory of one, and loses odd rows and columns.
    Raises InvalidInput for more frames than GIF and WebP have memory for, NotInstalled for an MP4
    without PyAV.
    """
    if not MIN_FPS <= fps <= MAX_FPS:
        raise InvalidInput(f"--fps: {MIN_FPS:g} to {MAX_FPS}; got {fps:g}.")
    require(kind)
    first = next(frames)
    if kind == "mp4":
        _write_mp4(chain([first], frames), file, fps, first.size)
        return
    if count * first.width * first.height > MAX_HELD_PIXELS:
        raise InvalidInput(
            f"{count:,} frames of {first.width} x {first.height} pixels are too many for a "
            f"{kind.upper()}: write an .mp4, or a smaller one with --size."
        )
    if kind == "gif":
        shown_ms = max(_GIF_MS, round(1000 / fps))
        first.save(file, "GIF", save_all=True, append_images=frames, duration=shown_ms, loop=0)
    else:
        first.save(
            file, "WEBP", save_all=True, append_images=list(frames), duration=round(1000 / fps),
            loop=0, quality=85, method=4,
        )  # fmt: skip


def _write_mp4(
    frames: Iterator[Image.Image], file: IO[bytes], fps: float, size: tuple[int, int]
) -> None:
    import av
    from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

    width, height = (side - side % 2 for side in size)  # colours are kept for squares of four
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream(
            "libx264", Fraction(fps).limit_denominator(1000), options=_H264
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        # BT.709, and said so: else players guess it by the size, and show other colours.
        stream.colorspace, stream.color_range = Colorspace.ITU709, ColorRange.MPEG
        stream.color_primaries, stream.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        for image in frames:
            even = image.crop((0, 0, width, height))
            frame = av.VideoFrame.from_image(even)  # type: ignore[no-untyped-call]
            coded = frame.reformat(
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
            )
            container.mux(stream.encode(coded))
        container.mux(stream.encode(None))

import io
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from beholder.errors import PictureError
from beholder.pictures import decode, peek


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG that claims its size and holds nothing."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_exif_orientation_is_applied() -> None:
    upright = Image.new("RGB", (2, 1))
    upright.putpixel((0, 0), (255, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned a quarter clockwise
    data = encoded(upright, exif=exif)
    assert (peek(data).width, peek(data).height) == (1, 2)
    assert decode(data).size == (1, 2)
    assert decode(data).getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("L", 200, (200, 200, 200)),
        ("1", 1, (255, 255, 255)),
        ("RGBA", (255, 0, 0, 0), (255, 255, 255)),  # transparent: white shows
        ("RGBA", (0, 0, 0, 128), (127, 127, 127)),
        ("LA", (0, 0), (255, 255, 255)),
        ("I;16", 65535, (255, 255, 255)),
        ("I;16", 257 * 100, (100, 100, 100)),
        ("I", 257 * 100, (100, 100, 100)),
    ],
)
def test_every_mode_becomes_rgb(mode: str, colour: object, expected: tuple[int, ...]) -> None:
    kind = "TIFF" if mode == "I" else "PNG"
    found = decode(encoded(Image.new(mode, (3, 3), colour), kind))  # type: ignore[arg-type]
    assert (found.mode, found.getpixel((1, 1))) == ("RGB", expected)


def test_a_palettes_transparent_colour_is_white() -> None:
    image = Image.new("P", (2, 2), 0)
    image.putpalette([9, 9, 9])
    assert decode(encoded(image, transparency=0)).getpixel((0, 0)) == (255, 255, 255)


def test_cmyk() -> None:
    data = encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)
    red, green, blue = decode(data).getpixel((4, 4))  # type: ignore[misc]
    assert red > 245
    assert max(green, blue) < 10


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "PPM"])
def test_every_format_that_is_promised(kind: str) -> None:
    data = encoded(Image.new("RGB", (40, 30), (10, 200, 30)), kind)
    assert (peek(data).width, peek(data).height) == (40, 30)
    assert decode(data).size == (40, 30)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"hello, I am a text file", "not a picture"),
        (b"%PDF-1.4", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
    ],
)
def test_what_is_no_picture(data: bytes, words: str) -> None:
    for read in (peek, decode):
        with pytest.raises(PictureError, match=words):
            read(data)


def test_what_pillow_warns_of_is_left_out_without_a_switch_for_the_whole_process(
    tmp_path: Path,
) -> None:
    (tmp_path / "large.png").write_bytes(bomb(10_000, 9_500))  # Pillow warns of it
    code = """
import pathlib, sys, warnings
from beholder.pictures import peek
warnings.catch_warnings = None  # it swaps the filters of every thread
print(peek(pathlib.Path(sys.argv[1]).read_bytes()).width)
"""
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(tmp_path / "large.png")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (found.stdout, found.stderr) == ("10000\n", "")


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(PictureError, match="more than 178,956,970 pixels can't be decoded"):
        peek(bomb(60_000, 60_000))
    with pytest.raises(PictureError, match="12000 x 10000 pixels is more than the limit of 100,"):
        peek(bomb(12_000, 10_000))
    with pytest.raises(PictureError, match="more than the limit of 10"):
        decode(bomb(4, 4), max_pixels=10)


def test_a_truncated_picture_is_said_to_be_cut() -> None:
    noise = Image.effect_noise((64, 64), 90)
    for kind in ("PNG", "JPEG", "WEBP"):
        data = encoded(noise.convert("RGB"), kind)
        with pytest.raises(PictureError, match="damaged or cut short"):
            decode(data[: len(data) // 2])


def test_damaged_bytes_raise_nothing_else() -> None:
    rng = random.Random(7)
    whole = [
        encoded(Image.effect_noise((32, 32), 60).convert("RGB"), kind)
        for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP")
    ]
    reasons: list[str] = []
    for _ in range(300):
        data = bytearray(rng.choice(whole))
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            decode(bytes(data), max_pixels=1_000_000)
        except PictureError as error:
            reasons.append(str(error))
    assert len(reasons) > 30
    assert not any("\n" in reason for reason in reasons)


def test_a_look_at_a_png_decodes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the pixels were decoded")

    buffer = io.BytesIO()
    Image.new("RGB", (50, 40), "teal").save(buffer, "PNG")
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", never)
    assert peek(buffer.getvalue()).width == 50


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_look_turns_what_is_turned(form: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (50, 40), "teal").save(buffer, form, exif=exif)
    info = peek(buffer.getvalue())
    assert (info.width, info.height) == (40, 50)
    assert decode(buffer.getvalue()).size == (40, 50)

"""Pictures made to cost more than they show: time, memory, frames, metadata."""

import struct
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from beholder import apart, watched
from beholder.apart import decode_apart
from beholder.errors import PictureError
from beholder.pictures import PictureInfo, decode, peek
from tests.security import craft
from tests.security.memory import grown_mib


@pytest.fixture
def impatient(monkeypatch):
    """A picture may take a tenth of a second, so that no test has to wait for the real limit."""
    monkeypatch.setattr(watched, "LEAST_S", 0.1)
    monkeypatch.setattr(watched, "S_PER_MEGAPIXEL", 0.01)


def cpu_s(act):
    begun = time.thread_time()
    act()
    return time.thread_time() - begun


@pytest.mark.slow
def test_a_jpeg_of_ever_more_scans_is_stopped(impatient):
    data = craft.jpeg_of_scans(4000, 4000, 3000)  # 200 KB, seconds
    assert peek(data) == PictureInfo(4000, 4000, "JPEG")

    def refused():
        with pytest.raises(PictureError, match=r"takes more than 0 s to decode: save it anew"):
            decode(data)

    assert cpu_s(refused) < 2.0


def test_an_honest_progressive_jpeg_is_not():
    rgb = Image.effect_noise((640, 480), 70).convert("RGB")
    assert decode(craft.encoded(rgb, "JPEG", progressive=True)).size == (640, 480)


@pytest.mark.slow
def test_a_tiff_whose_tiles_are_taller_than_it_is_ended_from_outside(impatient):
    data = craft.tiff_of_tiles(1_000_000, 1, 10_000, 10_000)  # 100 KB that unpack to 10 GB

    def refused():
        with pytest.raises(PictureError, match="takes more than 0 s"):
            decode(data)

    assert cpu_s(refused) < 0.5  # this process only waits


def test_a_tile_of_gigabytes_is_not_unpacked():
    data = craft.tiff_of_tiles(8, 8, 46_000, 46_000)
    with pytest.raises(PictureError, match=r"damaged|crashed|takes (more|too much)"):
        decode(data)
    assert grown_mib("decode(data)", data) < 1 << 10


def test_what_is_decoded_in_one_call_is_decoded_apart(monkeypatch):
    """AVIF and compressed TIFF; what is read piece by piece can be stopped here."""
    apart_, given = [], []

    def recorded(data, *, pixels):
        apart_.append(data)
        return decode_apart(data, pixels=pixels)

    monkeypatch.setattr("beholder.pictures.decode_apart", recorded)
    rgb = Image.effect_noise((24, 16), 60).convert("RGB")
    for kind, options in (
        ("AVIF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {}),
        ("JPEG", {}),
        ("PNG", {}),
        ("WEBP", {}),
        ("GIF", {}),
    ):
        given.append(craft.encoded(rgb, kind, **options))
        assert decode(given[-1]).size == (24, 16)
    assert apart_ == given[:2]


def test_so_many_children_decode_at_a_time(monkeypatch):
    """Each may take a gigabyte, whatever the header says that the budget counts."""
    start = apart._START.replace("main()", "import time; time.sleep(0.1); main()")
    monkeypatch.setattr("beholder.apart._START", start)
    counting, running, most, real = threading.Lock(), 0, 0, subprocess.run

    def counted(*given, **options):
        nonlocal running, most
        with counting:
            running += 1
            most = max(most, running)
        try:
            return real(*given, **options)
        finally:
            with counting:
                running -= 1

    monkeypatch.setattr("beholder.apart.subprocess.run", counted)
    data = craft.encoded(Image.new("RGB", (8, 8)), "TIFF", compression="tiff_lzw")
    with ThreadPoolExecutor(3 * apart.AT_ONCE) as threads:
        sizes = list(threads.map(lambda _: decode(data).size, range(3 * apart.AT_ONCE)))
    assert sizes == [(8, 8)] * 3 * apart.AT_ONCE
    assert most == apart.AT_ONCE


def test_a_child_that_dies_is_a_reason(monkeypatch):
    monkeypatch.setattr("beholder.apart._START", "import os; os.abort()")
    with pytest.raises(PictureError, match="its decoder crashed: save it anew"):
        decode_apart(b"whatever", pixels=64)


@pytest.mark.slow
def test_a_child_whose_time_is_over_is_told_from_one_that_was_killed(impatient, monkeypatch):
    start = apart._START.replace("main()", "from beholder.apart import _limit; _limit(1, 64)")
    monkeypatch.setattr("beholder.apart._START", f"{start}\nwhile True: pass")
    monkeypatch.setattr("beholder.apart._PATIENCE", 1000)  # not by the clock
    with pytest.raises(PictureError, match="takes more than"):
        decode_apart(b"whatever", pixels=64)


def test_a_child_that_the_system_ends_is_no_fault_of_the_picture(monkeypatch):
    monkeypatch.setattr("beholder.apart._START", "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(MemoryError, match="memory is full"):
        decode_apart(b"whatever", pixels=64)


def test_a_child_that_reaches_its_own_limit_of_memory_is_a_reason(monkeypatch):
    start = apart._START.replace(
        "main()", "import beholder.pictures as p; p.decode_here = lambda *_, **__: bytes(1 << 40)"
    )
    monkeypatch.setattr("beholder.apart._START", f"{start}; main()")
    with pytest.raises(PictureError, match="it takes too much memory to decode: save it anew"):
        decode_apart(b"whatever", pixels=64)


def test_a_lack_of_memory_is_not_blamed_on_the_file(monkeypatch):
    def none_left(*_):
        raise MemoryError

    data = craft.encoded(Image.new("RGB", (8, 8)))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", none_left)
    with pytest.raises(MemoryError):
        decode(data)


def test_a_child_gets_none_of_the_environment(monkeypatch):
    monkeypatch.setenv("BEHOLDER_DATABASE_URL", "postgresql://u:geheim@h/x")
    monkeypatch.setattr(
        "beholder.apart._START",
        "import os, sys; sys.stdout.buffer.write(bytes(8) + repr(dict(os.environ)).encode())",
    )
    with pytest.raises(PictureError) as caught:
        decode_apart(b"", pixels=1)
    assert "geheim" not in str(caught.value)
    assert "BEHOLDER" not in str(caught.value)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "packbits"])
def test_apart_gives_the_same_pixels(compression):
    rgb = Image.effect_noise((33, 21), 70).convert("RGB")
    assert decode(craft.encoded(rgb, "TIFF", compression=compression)).tobytes() == rgb.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_a_thousand_frames_cost_what_one_costs(kind):
    one, many = craft.film(kind, 2), craft.film(kind, 1000)
    assert decode(many).tobytes() == decode(one).tobytes()  # the first alone
    both = [min(cpu_s(lambda: decode(data)) for _ in range(5)) for data in (one, many)]  # noqa: B023
    assert both[1] < 10 * both[0] + 0.02


@pytest.mark.parametrize("chunk", [b"zTXt", b"iTXt", b"iCCP"])
def test_packed_text_and_profiles_are_not_unpacked(chunk):
    lead = b"a\0" + (b"\1\0\0\0" if chunk == b"iTXt" else b"\0")
    data = craft.png(8, 8, craft.png_chunk(chunk, craft.deflate_bomb(50 << 20, lead)))
    for read in ("peek", "decode"):
        assert grown_mib(f"{read}(data)", data) < 20


def test_the_measure_sees_what_is_freed_at_once():
    assert 199 < grown_mib("len(bytearray(200 << 20))", b"") < 210


@pytest.mark.slow
@pytest.mark.parametrize(
    ("image", "mib"),
    [
        (Image.new("RGBA", (3000, 3000), (9, 9, 9, 90)), 70),
        (Image.new("RGB", (3000, 3000)), 70),
        (Image.new("LA", (3000, 3000)), 105),
    ],
    ids=lambda value: getattr(value, "mode", ""),
)
def test_decoding_holds_two_copies_of_a_picture(image, mib):
    """Four bytes a pixel each, turned or not; three where there is grey to make RGB of."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for options in ({}, {"exif": exif}):
        assert grown_mib("decode(data)", craft.encoded(image, **options)) < mib + 10


@pytest.mark.slow
@pytest.mark.parametrize(("most", "at_once"), [(9_000_000, 1), (10**12, 4)])
def test_all_that_is_decoded_at_a_time_has_one_budget(most, at_once):
    data = craft.encoded(Image.new("RGBA", (3000, 3000), (9, 9, 9, 90)))
    act = f"pictures.DECODING = Budget({most}); "
    act += "list(ThreadPoolExecutor(4).map(lambda _: decode(data).size, range(4)))"
    assert (grown_mib(act, data) < 1.5 * 2 * 4 * 9e6 / 2**20) == (at_once == 1)


CHUNKS = {
    "eXIf": b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0",
    "iTXt": b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>',
}


@pytest.mark.slow
@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("name", CHUNKS)
def test_peek_sees_how_a_png_lies_without_decoding_it(name, where):
    turned = craft.png_chunk(name.encode(), CHUNKS[name])

    def png(width, height):
        plain = craft.png(width, height)
        return (
            plain[:33] + turned + plain[33:]
            if where == "before"
            else plain[:-12] + turned + plain[-12:]
        )

    small, large = png(20, 10), png(6000, 3000)
    assert (peek(small).width, peek(small).height) == decode(small).size == (10, 20)
    assert (peek(large).width, peek(large).height) == (3000, 6000)
    assert cpu_s(lambda: peek(large)) < cpu_s(lambda: decode(large)) / 4
    assert grown_mib("peek(data)", large) < 5


def test_a_png_that_only_mentions_exif_is_not_decoded_to_look_for_it():
    data = craft.png(6000, 3000, craft.png_chunk(b"tEXt", b"a\0eXIf"))
    assert grown_mib("peek(data)", data) < 5


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(10))
def test_peek_and_decode_agree_on_how_it_lies(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = craft.encoded(Image.new("RGB", (40, 20)), kind, exif=exif)
    seen = peek(data)
    assert (seen.width, seen.height) == decode(data).size


def test_exif_that_points_at_itself():
    """Two thousand entries that all have the same megabyte, and one that is its own directory."""
    count, size = 2000, 1 << 20
    start = craft.tiff_body(count + 1)
    tags = [(40_000 + number, 7, size, start) for number in range(count)] + [(0x8769, 4, 1, 8)]
    exif = craft.tiff(tags, bytes(size))
    data = craft.png(8, 8, craft.png_chunk(b"eXIf", exif))
    assert (peek(data).width, decode(data).size) == (8, (8, 8))
    assert grown_mib("decode(data)", data) < 100


@pytest.mark.parametrize(
    "data",
    [
        craft.png(0xFFFFFFFF, 1, pixels=b""),
        craft.png(60_000, 60_000, pixels=b""),
        b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0),
        b"P6 999999999 999999999 255\n",
        craft.run_length_bmp(90_000_000, 2, b"\0\1"),
        craft.tiff([(256, 4, 1, 2**31), (257, 4, 1, 2**31), (258, 3, 1, 8), (262, 3, 1, 1)]),
    ],
    ids=["png", "png large", "gif", "ppm", "bmp", "tiff"],
)
def test_a_header_that_promises_too_much(data):
    for read in (peek, decode):
        with pytest.raises(PictureError):
            read(data)


def test_a_delta_in_a_bmp_allocates_no_more_than_the_picture():
    assert grown_mib("decode(data)", craft.run_length_bmp(1_000_000, 1, b"\0\2\xff\xff")) < 100


@pytest.mark.slow
def test_a_hundred_thousand_segments_and_chunks_take_no_time():
    jpeg = craft.encoded(Image.new("L", (8, 8)), "JPEG")
    padded = jpeg[:2] + craft.jpeg_segment(0xEF, b"") * 100_000 + jpeg[2:]
    chunks = craft.png(8, 8, craft.png_chunk(b"prVt", b"") * 100_000)
    for data in (padded, chunks):
        assert cpu_s(lambda: peek(data)) < 2.0  # noqa: B023


def test_reasons_have_no_control_characters():
    with pytest.raises(PictureError) as caught:
        decode(b"P3 2 2 255\n1 2 \x1b[31mred\x1b[0m 3")
    assert str(caught.value).isprintable()

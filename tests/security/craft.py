"""Pictures to attack with: `seeds` are whole ones of every format, `mutate` breaks one in the way
that its format is built, the rest are crafted by hand, one function a trick. None is a file in git.
"""

import io
import struct
import zlib
from random import Random

from PIL import Image

_EDGES = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def seeds():
    """A small picture of each format, and of each way to write it that has its own decoder."""
    rgb = Image.effect_noise((24, 16), 60).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    more = [rgb.rotate(90 * turn) for turn in range(1, 3)]
    film = {"save_all": True, "append_images": more}
    yield encoded(rgb, "JPEG", exif=exif)
    yield encoded(rgb, "JPEG", progressive=True)
    yield encoded(rgb.convert("CMYK"), "JPEG")
    yield encoded(rgb, "PNG", exif=exif)
    yield encoded(rgb.convert("P"), "PNG", transparency=3)
    yield encoded(rgb.convert("I;16"), "PNG")
    yield encoded(rgb, "PNG", **film)
    yield encoded(rgb.convert("P"), "GIF", **film)
    yield encoded(rgb, "WEBP", lossless=True, exif=exif)
    yield encoded(rgb.convert("RGBA"), "WEBP", **film)
    yield encoded(rgb, "BMP")
    yield run_length_bmp(24, 16, bytes(bytearray([24, 7, 0, 0] * 16)))
    yield encoded(rgb, "PPM")
    yield b"P3 2 2 254\n#c\n1 2 3 4 5 6 7 8 9 10 11 12"
    yield b"P6 2 2 254\n" + bytes(range(12))
    yield encoded(rgb, "TIFF", exif=exif)


def seeds_apart():
    """The same of formats that are decoded in a process of their own."""
    rgb = Image.effect_noise((24, 16), 60).convert("RGB")
    for compression in ("tiff_lzw", "tiff_deflate", "jpeg", "lzma", "packbits"):
        yield encoded(rgb, "TIFF", compression=compression)
    yield encoded(rgb, "AVIF")


def mutate(rng: Random, data: bytes) -> bytes:
    """`data` with one to six changes, most of them such that its parser gets past them."""
    for _ in range(rng.randint(1, 6)):
        change = rng.choice((_overwrite, _overwrite, _number, _number, _cut, _repeat, _parts))
        data = change(rng, data)
    return data


def _overwrite(rng, data):
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.randint(1, 4)) + data[at + 4 :]


def _number(rng, data):
    """An edge of its type where a number may be: sizes, counts and offsets sit at even places."""
    size, form = rng.choice(((1, "B"), (2, "H"), (4, "I")))
    at = rng.randrange(max(1, min(len(data), 400) // 2)) * 2
    number = rng.choice(_EDGES) & (256**size - 1)
    return data[:at] + struct.pack(rng.choice("<>") + form, number) + data[at + size :]


def _cut(rng, data):
    at = rng.randrange(len(data) + 1)
    return data[:at] if rng.random() < 0.3 else data[:at] + data[at + rng.randint(1, 16) :]


def _repeat(rng, data):
    start = rng.randrange(len(data) + 1)
    piece = data[start : start + rng.randint(1, 64)]
    return data[:start] + piece * rng.randint(2, 20) + data[start + len(piece) :]


def _parts(rng, data):
    """Drop, repeat, move or change whole parts, with lengths and checksums as they should be."""
    split = {b"\x89PNG": _png_parts, b"RIFF": _riff_parts}.get(data[:4])
    split = _jpeg_parts if data[:2] == b"\xff\xd8" else split
    if split is None:
        return _number(rng, data)
    head, parts, join = split(data)
    if not parts:
        return data
    at, to = rng.randrange(len(parts)), rng.randrange(len(parts))
    match rng.randrange(4):
        case 0:
            parts.insert(to, parts[at])
        case 1:
            parts.pop(at)
        case 2:
            parts[at], parts[to] = parts[to], parts[at]
        case _:
            name, body = parts[at]
            parts[at] = name, _number(rng, body) if body else rng.randbytes(9)
    return head + b"".join(join(*part) for part in parts)


def _png_parts(data):
    parts, at = [], 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        parts.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return data[:8], parts, png_chunk


def _riff_parts(data):
    parts, at = [], 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        parts.append((data[at : at + 4], data[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    return data[:12], parts, riff_chunk


def _jpeg_parts(data):
    """Segments up to the first scan, which goes with the rest as one part."""
    parts, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        size = max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
        parts.append((data[at : at + 2], data[at + 4 : at + 2 + size]))
        at += 2 + size
    parts.append((b"", data[at:]))
    return data[:2], parts, lambda name, body: jpeg_segment(name[1], body) if name else body


def png_chunk(name, body):
    checksum = zlib.crc32(name + body)
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", checksum)


def riff_chunk(name, body):
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def jpeg_segment(marker, body):
    return struct.pack(">BBH", 0xFF, marker, (len(body) + 2) & 0xFFFF) + body


def png(width, height, *chunks, pixels=None):
    """A grey PNG with `chunks` before its pixels."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    rows = bytes((width + 1) * height) if pixels is None else pixels
    end = png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + end


def deflate_bomb(size, before=b""):
    return before + zlib.compress(bytes(size), 9)


def jpeg_of_scans(width, height, scans):
    """A progressive JPEG whose scans each visit every block and say nothing, in 20 bytes and on."""
    blocks = -(-width // 8) * -(-height // 8)
    one_code = bytes([1, *[0] * 15])  # a Huffman table with a single code: the bit 0
    first = jpeg_segment(0xDA, bytes([1, 1, 0, 0, 0, 0])) + bytes(-(-blocks // 8))
    runs = -(-blocks // 16384)  # 0xE0: a run of 16384 empty blocks, with 14 bits behind it
    again = jpeg_segment(0xDA, bytes([1, 1, 0, 1, 63, 0])) + bytes(-(-runs * 15 // 8))
    return b"".join(
        (
            b"\xff\xd8",
            jpeg_segment(0xDB, bytes([0, *[1] * 64])),
            jpeg_segment(0xC2, struct.pack(">BHHB", 8, height, width, 1) + bytes([1, 0x11, 0])),
            jpeg_segment(0xC4, bytes([0x00]) + one_code + bytes([0])),
            jpeg_segment(0xC4, bytes([0x10]) + one_code + bytes([0xE0])),
            first,
            again * scans,
            b"\xff\xd9",
        )
    )


def tiff(tags, body=b""):
    """A grey little-endian TIFF. tags: (number, type, count, value); `body` begins at
    `tiff_body(len(tags))`.
    """
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + body


def tiff_body(count):
    return 8 + 2 + 12 * count + 4


def tiff_of_tiles(width, height, tile_width, tile_height):
    """A deflated TIFF whose tiles, all the same bytes, may be larger than the picture."""
    count = -(-width // tile_width) * -(-height // tile_height)
    zeros = _zeros(tile_width * tile_height)
    start = tiff_body(10)
    places, sizes = (start, start + 4 * count) if count > 1 else (start, len(zeros))
    body = b""
    if count > 1:
        body = struct.pack("<I", start + 8 * count) * count + struct.pack("<I", len(zeros)) * count
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 8)]
    tags += [(262, 3, 1, 1), (277, 3, 1, 1), (322, 4, 1, tile_width), (323, 4, 1, tile_height)]
    tags += [(324, 4, count, places), (325, 4, count, sizes)]
    return tiff(tags, body + zeros)


def _zeros(size):
    """A deflate stream of so many zeros, made without holding them."""
    packer = zlib.compressobj(9)
    first = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return first + first[2:] * (size >> 20)  # the same block again, without the stream's header


def run_length_bmp(width, height, body):
    """A BMP of 8 bits in RLE."""
    start = 54 + 1024
    header = struct.pack("<2sIHHI", b"BM", start + len(body), 0, 0, start)
    about = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(body), 0, 0, 256, 0)
    return header + about + bytes(1024) + body


def film(kind, frames, side=64):
    """An animation of so many frames."""
    images = [Image.new("RGB", (side, side), (n % 256, n // 256, 90)) for n in range(frames)]
    return encoded(images[0], kind, save_all=True, append_images=images[1:])

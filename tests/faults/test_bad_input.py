"""Pictures that are none, are damaged, or are made to do harm, among a thousand that are good."""

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image

from beholder.jobs.queries import items
from beholder.specimens.draw import draw
from benchmarks.harness import Row
from tests.faults.bed import Bed
from tests.security import craft

pytestmark = pytest.mark.slow
full = pytest.mark.faults
SHARE = 20  # of so many pictures one is bad
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "AVIF", "GIF", "BMP")  # of good ones

DAMAGED = r"the file is damaged or cut short \(.+\)\.$"
NO_PICTURE = r"not a picture that can be read: use JPEG, PNG,"
CLAIMS = r"12000 x 12000 pixels is more than the limit of 100,000,000: scale it down"
CLAIMS_MORE = r"more than 178,956,970 pixels can't be decoded: scale it down\.$"
TAKES_LONG = r"it takes more than \d+ s to decode: save it anew"
TAKES_MEMORY = r"it takes too much memory to decode|the file is damaged or cut short"
EMPTY = r"the file is empty\.$"


class Bad(NamedTuple):
    """A file's name ends so, its bytes, and what its user is to be told."""

    suffix: str
    data: bytes
    reason: str


def bad_ones() -> Iterator[Bad]:
    """One of each kind; the first five are of different ones."""
    picture = draw("spiral", seed=0, size=64)
    png, jpeg, webp, avif, gif = (
        craft.encoded(picture, kind) for kind in ("PNG", "JPEG", "WEBP", "AVIF", "GIF")
    )
    lzw, packed = (craft.encoded(picture, "TIFF", compression=c) for c in ("tiff_lzw", None))
    yield Bad("png", _overwritten(png), DAMAGED)
    yield Bad("jpg", jpeg[: len(jpeg) // 2], DAMAGED)
    yield Bad("png", craft.png(12_000, 12_000, pixels=b""), CLAIMS)
    yield Bad("jpg", b"<!doctype html><title>404</title><p>No such picture.", NO_PICTURE)
    yield Bad("avif", _overwritten(avif, avif.index(b"mdat") + 4), DAMAGED)
    yield Bad("tif", _overwritten(lzw), DAMAGED)
    yield Bad("tif", packed[: len(packed) // 2], DAMAGED)
    yield Bad("png", png[: len(png) // 2], DAMAGED)
    yield Bad("webp", webp[: len(webp) // 2], DAMAGED)
    yield Bad("avif", avif[: len(avif) // 2], NO_PICTURE)  # what its index names is not there
    yield Bad("gif", gif[: len(gif) // 2], DAMAGED)
    yield Bad("png", craft.png(60_000, 60_000, pixels=b""), CLAIMS_MORE)
    yield Bad("tif", craft.tiff_of_tiles(8, 8, 46_000, 46_000), TAKES_MEMORY)
    yield Bad("png", b"", EMPTY)
    yield Bad("png", b"kelpie\n" * 40, NO_PICTURE)
    yield Bad("jpg", _zipped(png), NO_PICTURE)
    yield Bad("png", b'<svg xmlns="http://www.w3.org/2000/svg"><rect/></svg>', NO_PICTURE)
    yield Bad("jpg", b"%PDF-1.7\n1 0 obj\n<< >>\nendobj\n", NO_PICTURE)
    # 100 KB that unpack to 10 GB: the only one that takes seconds.
    yield Bad("tif", craft.tiff_of_tiles(1_000_000, 1, 10_000, 10_000), TAKES_LONG)


def _overwritten(data: bytes, start: int | None = None) -> bytes:
    """Where its pixels are: in the last quarter, unless said otherwise."""
    start = len(data) * 3 // 4 if start is None else start
    return data[:start] + b"\xff" * 32 + data[start + 32 :]


def _zipped(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("kelpie.png", data)
    return buffer.getvalue()


def write_pictures(folder: Path, count: int) -> dict[str, str]:
    """So many, of which each SHARE-th is bad; the reasons of those by their names."""
    folder.mkdir()
    kinds = list(bad_ones())
    bad = iter(islice(cycle(kinds), count // SHARE))
    reasons: dict[str, str] = {}
    for number in range(count):
        if number % SHARE == SHARE // 2:
            one = next(bad)
            name, data = f"{number:04}.{one.suffix}", one.data
            reasons[name] = one.reason
        else:
            kind = FORMATS[number % len(FORMATS)]
            name, data = f"{number:04}.{kind.lower()}", _good(number, kind)
        (folder / name).write_bytes(data)
    return reasons


def _good(number: int, kind: str) -> bytes:
    image: Image.Image = draw("spiral", seed=number % 50, size=64)
    return craft.encoded(image, kind)


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=full)])
def test_bad_pictures_fail_alone_and_each_with_its_reason(
    bed: Bed, figures: Callable[[str, Row], None], tmp_path: Path, count: int
) -> None:
    reasons = write_pictures(tmp_path / "pictures", count)
    bed.up()
    children = bed.children()
    options = ("--steps", 1, "--size", 64, "--layer", 5, "--network", "specimens")
    job = str(bed.json("submit", "--dir", tmp_path / "pictures", *options)["id"])
    bed.end_of(job)
    findings = bed.findings(job, failed=len(reasons))
    told: dict[str, Any] = {
        Path(item.source).name: item.error for item in items(bed.db, job, state="failed")
    }
    wrong = {
        name: (told.get(name), reason)
        for name, reason in reasons.items()
        if not re.match(reason, told.get(name) or "")
    }
    pids = {*bed.children(), *(event.pid for event in bed.events())}
    fault = "bad pictures"
    how = f"{len(reasons)} of {count:,}, of {len(set(reasons.values()))} kinds of reasons"
    figures(fault, Row("failed without their own reason", len(wrong), "", 0, "lower", how))
    figures(fault, Row("good ones that failed", len(set(told) - set(reasons)), "", 0, "lower"))
    figures(fault, Row("worker deaths", len(pids) - 1, "", 0, "lower"))
    figures(fault, Row("lost or doubled", len(findings), "", 0, "lower"))
    assert wrong == {}
    assert set(told) == set(reasons)
    assert [*pids] == children
    assert findings == []
    assert bed.run_again() == (0, 0)

"""Reading what PNG files say: damage, other programs' files, and what nobody should write."""

import io
import json
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from beholder.errors import PictureError
from beholder.provenance import KEY, Provenance, own_spec, read_provenance, source_word
from beholder.specs import DreamSpec

SPEC = DreamSpec(network="/home/me/mine.safetensors", layers=(5, 12), noise=8, seed=3)
SAYS = Provenance(
    beholder="0.1.0",
    torch="2.15.0",
    pillow="13.0.0",
    device="cpu AVX2",
    precision="float32",
    network="mine.safetensors",
    network_sha256="ab" * 32,
    source="føx.png",
    source_sha256=None,
    seed=4,
    layer=12,
    step=30,
    spec=own_spec(SPEC, layer=12, seed=4, precision="float32"),
)


def png(text: str | None, *, kind: str = "PNG") -> bytes:
    says = PngInfo()
    if text is not None:
        says.add_itxt(KEY, text)
    buffer = io.BytesIO()
    Image.effect_noise((40, 30), 80).convert("RGB").save(buffer, kind, pnginfo=says)
    return buffer.getvalue()


def test_what_is_written_is_read() -> None:
    assert read_provenance(png(SAYS.text())) == SAYS
    again = DreamSpec.build(**SAYS.spec)
    assert (again.layers, again.noise, again.seed) == ((12,), 1, 4)
    assert (again.network, again.precision) == ("mine.safetensors", "float32")
    assert source_word("a/b\x1b[2J/fox\n.png") == "fox\N{REPLACEMENT CHARACTER}.png"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"format": 2}, r"a later Beholder \(0.1.0\) wrote it"),
        ({"source": "\x1b[2J"}, r"can't be read \(source\)"),
        ({"network_sha256": "../../etc"}, r"can't be read \(network_sha256\)"),
        ({"layer": 99}, r"can't be read \(layer\)"),
        ({"spec": [1]}, r"can't be read \(spec\)"),
    ],
)
def test_what_nobody_should_have_written(changes: dict[str, Any], expected: str) -> None:
    text = json.dumps({**json.loads(SAYS.text()), **changes})
    with pytest.raises(PictureError, match=expected):
        read_provenance(png(text))


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "null"])
def test_no_json_of_ours(text: str) -> None:
    with pytest.raises(PictureError, match="can't be read"):
        read_provenance(png(text))


def test_other_files_and_damaged_ones() -> None:
    whole = png(SAYS.text())
    for data in (png(None), png(None, kind="JPEG"), png(None, kind="WEBP")):
        with pytest.raises(PictureError, match="says nothing"):
            read_provenance(data)
    at = whole.index(b"IDAT") + 200
    flipped = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    for data in (whole[: len(whole) // 2], flipped):
        with pytest.raises(PictureError, match="damaged or cut short"):
            read_provenance(data)
    for data in (whole.replace(b"AVX2", b"AVX3"), b"beholder"):
        with pytest.raises(PictureError, match="not a picture"):
            read_provenance(data)

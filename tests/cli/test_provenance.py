"""`again` as a client and here: which picture it starts from, and whether the bytes are the same.

That a real worker makes the same bytes is what tests/worker/test_provenance.py shows.
"""

import hashlib
import io
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from beholder.jobs import claims, finish, weights
from beholder.jobs.outcomes import DreamOutcome, StoredFile
from beholder.jobs.queries import list_jobs
from beholder.provenance import KEY, Provenance
from beholder.specs import DreamSpec
from beholder.store import picture_path, result_folder
from cli.context import Context
from tests.drawn import png

pytestmark = pytest.mark.slow  # with real files and servers; seconds in all

Beholder = Callable[..., Any]
SHA256 = "f" * 64
START = png(1)


def dream(path: Path, *, network: str = "specimens", shade: int = 3, **fields: Any) -> bytes:
    """Write a dream's file, as it says of a picture that START is."""
    size = {"size": 32, "layers": (20,), "steps": 3, "recipe": "deepdream", "octaves": 1}
    spec = DreamSpec.build(**{"network": network, **size, **fields})
    says = Provenance(
        beholder="0.1.0", torch="2", pillow="12", device="cpu", precision="float32",
        network=network, network_sha256=SHA256, source="kelpie.png",
        source_sha256=hashlib.sha256(START).hexdigest(), seed=None, layer=20, step=3,
        spec=spec.model_dump(mode="json"),
    )  # fmt: skip
    text, buffer = PngInfo(), io.BytesIO()
    text.add_itxt(KEY, says.text())
    Image.new("RGB", (32, 32), (shade, 0, 0)).save(buffer, "PNG", pnginfo=text)
    path.write_bytes(buffer.getvalue())
    return buffer.getvalue()


def work(context: Context, made: bytes) -> None:
    """Be the worker of the one job that is to come, whose dream has these bytes."""
    deadline = time.monotonic() + 20
    while not (taken := claims.claim_next(context.db, worker="test", lease_s=60)):
        assert time.monotonic() < deadline, "no job came"
        time.sleep(0.02)
    (claim,) = taken
    weights.record_network(context.db, [claim], claim.spec.network, SHA256)
    path = f"{result_folder(claim.job_id, claim.token)}/0-3.png"
    context.store.put(path, made)
    file = StoredFile(3, path, hashlib.sha256(made).hexdigest(), len(made), 32, 32)
    outcome = DreamOutcome(0, (file,), {"objective": [1.0]}, 0.5)
    finish.finish_dreams(context.db, [(claim, [outcome])])


def test_an_objective_is_said_in_the_place_of_a_layer(beholder: Beholder, tmp_path: Path) -> None:
    file = tmp_path / "dream.png"
    for fields, line in (
        ({"layers": (20,), "objective": "relu4_1:3*2 - tv*0.1"}, "objective relu4_1:3*2 - tv*0.1"),
        ({}, "layer     20 relu4_1"),
    ):
        dream(file, **fields)
        assert line in beholder("inspect", str(file)).out.splitlines()


@pytest.mark.both  # a client asks for pictures where the desk is
def test_it_starts_from_the_very_picture(
    beholder: Beholder, context: Context, tmp_path: Path
) -> None:
    file, other, start = tmp_path / "dream.png", tmp_path / "other.png", tmp_path / "start.png"
    dream(file)
    other.write_bytes(png(2))
    start.write_bytes(START)
    for given, words in (
        ((), "the store has not the picture that dream.png started from (kelpie.png)"),
        (("--picture", str(other)), "is not the picture that dream.png started from"),
        (("--mask", str(other)), "dream.png was made without a mask: leave --mask out."),
    ):
        answer = beholder("again", str(file), *given)
        assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
        assert words in answer.err
    assert list_jobs(context.db) == []
    for given in (("--picture", str(start)), ()):  # now it is there
        answer = beholder("again", str(file), *given)
        assert answer.code == 0, answer.err
        newest = list_jobs(context.db)[0]
        assert (newest.id, newest.name) == (answer.out.strip(), "kelpie.png again")
        assert (newest.spec["recipe"], newest.spec["octaves"]) == ("deepdream", 1)


# Only on the store's machine, where the picture is read.
def test_a_damaged_picture_is_not_said_to_be_missing(
    beholder: Beholder, context: Context, tmp_path: Path
) -> None:
    file, mask = tmp_path / "dream.png", hashlib.sha256(png(4)).hexdigest()
    kept = context.store.put_picture(START)
    for option, sha256, fields in (("picture", kept, {}), ("mask", mask, {"mask": mask})):
        context.store.put_picture(png(4))
        dream(file, **fields)
        context.store.put(picture_path(sha256), b"x" * 100)
        answer = beholder("again", str(file))
        assert (answer.code, answer.err.count("\n")) == (2, 1)
        assert f"the {option} that dream.png" in answer.err
        assert f"{picture_path(sha256)} is damaged in the store: `beholder verify" in answer.err
        assert f"--{option} FILE sends it." in answer.err
    assert list_jobs(context.db) == []


def test_the_picture_that_is_named_takes_a_damaged_one_s_place(
    beholder: Beholder, context: Context, tmp_path: Path
) -> None:
    file, start = tmp_path / "dream.png", tmp_path / "start.png"
    start.write_bytes(START)
    dream(file)
    kept = picture_path(context.store.put_picture(START))
    context.store.put(kept, START[:-1] + b"?")
    assert beholder("again", str(file), "--picture", str(start)).code == 0
    assert context.store.get(kept) == START


@pytest.mark.there  # here it would start a worker of its own
def test_waiting_says_whether_the_bytes_are_the_same(
    beholder: Beholder, context: Context, tmp_path: Path
) -> None:
    file, start = tmp_path / "dream.png", tmp_path / "start.png"
    start.write_bytes(START)
    same, different = dream(file), dream(tmp_path / "different.png", shade=9)
    for made, code, words in (
        (same, 0, f"the same bytes as {file}."),
        (different, 1, f"other bytes than {file}: versions, device and settings are the same."),
    ):
        worker = threading.Thread(target=work, args=(context, made))
        worker.start()
        answer = beholder("again", str(file), "--picture", str(start), "--wait")
        worker.join()
        assert answer.code == code, answer.err
        assert words in answer.err


@pytest.mark.both  # a client knows of no file there
def test_a_network_s_file_has_to_be_known(beholder: Beholder, where: str, tmp_path: Path) -> None:
    file = tmp_path / "dream.png"
    dream(file, network="mine.pth")
    answer = beholder("again", str(file))
    words = {"local": "no job here ran on mine.pth", "remote": "mine.pth would be a file of the"}
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert words[where] in answer.err

"""`submit`: what a spec is told the server or the database, and the pictures that it names."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beholder.jobs.queries import list_jobs
from beholder.jobs.stock import known_pictures
from beholder.store import Store, picture_path
from cli.context import Context
from tests.drawn import png

Beholder = Callable[..., Any]
DREAM = ("submit", "--noise", "1", "--network", "specimens")


@pytest.mark.both  # told the server in other words than the database
def test_what_is_not_as_the_recipe_has_it_is_kept(beholder: Beholder) -> None:
    """The article's own value among them, which is the default of a spec without a recipe."""
    given = ("--octaves", "1", "--steps", "30", "--layer", "20,35", "--snapshots", "4")
    spec = json.loads(beholder(*DREAM, "--recipe", "deepdream", *given, "--json").out)["spec"]
    assert (spec["recipe"], spec["octaves"], spec["steps"]) == ("deepdream", 1, 30)
    assert (spec["layers"], spec["snapshots"], spec["jitter"]) == ([20, 35], [4], 32)


def test_an_objective_names_its_own_layer(beholder: Beholder) -> None:
    """Even the same one, which a spec that was written down has beside it."""
    answer = beholder(*DREAM, "--objective", "conv5_1:3", "--layer", "conv5_1")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "beholder: --layer: the objective names its own; leave it out.\n"


def test_a_rate_with_which_little_shows_is_told(beholder: Beholder) -> None:
    told = "little shows on specimens at the article's learning rate of 0.01: --learning-rate 0.5"
    assert told in beholder(*DREAM).err
    for given in (("--learning-rate", "0.01"), ("--recipe", "deepdream"), ("--network", "vgg19")):
        answer = beholder(*DREAM, *given)
        assert (answer.code, told in answer.err) == (0, False)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("submit", "--noise", "1", "--zoom", "1.1"), "--frames: a zoom needs 2 at least"),
        (("submit", "--recipe", "guide", "--noise", "1"), "--guide: the dream"),
        (("submit", "--blend", "2", "--octave-scale", "9"),
         "--octave-scale: input should be less than or equal to 4; got 9.0; --blend: "),
        (("submit", "--noise", "1", "--objective", "conv5_1 +"), "--objective: "),
        (("submit", "x", "--network", "specimens", "--layer", "conv5_1", "--channel", "100000"),
         "on specimens, conv5_1 has channels 0-127; got 100000. "),
        (("study", "--dir", "x", "--recipe", "sound", "--method", "best"), "--method: input"),
        (("study", "--dir", "x", "--top", "0"), "--top: input should be greater than"),
        (("atlas", "--layer", "conv1_1", "--steps", "0"), "--steps: input should be greater than"),
    ],
)  # fmt: skip
def test_a_mistake_names_the_option(
    beholder: Beholder, given: tuple[str, ...], sentence: str
) -> None:
    answer = beholder(*given)
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert answer.err.startswith(f"beholder: {sentence}")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("submit", "x", "--learning-rate", "abc"),
         "Invalid value for '--learning-rate': input should be a valid number; got 'abc'."),
        (("jobs", "--limit", "0"),
         "Invalid value for '--limit': input should be greater than or equal to 1; got '0'."),
        (("submti",), "No such command 'submti'. Did you mean 'submit'?"),
    ],
)  # fmt: skip
def test_what_was_given_is_said(beholder: Beholder, given: tuple[str, ...], sentence: str) -> None:
    answer = beholder(*given)
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert answer.err.startswith(f"beholder: {sentence} `beholder")


@pytest.mark.both  # kept here, or sent
def test_a_mask_and_a_guide_are_kept(beholder: Beholder, context: Context, tmp_path: Path) -> None:
    mask, guide = tmp_path / "mask.png", tmp_path / "guide.png"
    mask.write_bytes(png(1))
    guide.write_bytes(png(2))
    named = ("--mask", str(mask), "--guide", str(guide))
    for _ in range(2):
        answer = beholder(*DREAM, "--recipe", "guide", *named, "--json")
        assert answer.code == 0, answer.err
        spec = json.loads(answer.out)["spec"]
        known = known_pictures(context.db, [spec["mask"], spec["guide"]])
        assert context.store.picture(spec["mask"]) == mask.read_bytes()
        assert context.store.picture(spec["guide"]) == guide.read_bytes()
        assert {(one.width, one.height, one.format) for one in known.values()} == {(40, 32, "PNG")}


@pytest.mark.both  # the server is asked what it lacks
def test_a_picture_that_the_store_lost_is_kept_again(
    beholder: Beholder, context: Context, tmp_path: Path
) -> None:
    """Or lost half of; a job of theirs could not run else, and a mask neither."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    datas = [png(seed) for seed in range(3)]
    for number, data in enumerate(datas):
        (folder / f"{number}.png").write_bytes(data)
    submit = ("submit", "--dir", str(folder), "--network", "specimens", "--mask")
    assert beholder(*submit, str(folder / "2.png")).code == 0
    whole, gone, short = (_file(context.store, data) for data in datas)
    before = whole.stat().st_ino
    gone.unlink()
    short.write_bytes(b"short")
    assert beholder(*submit, str(folder / "1.png")).code == 0
    assert [file.read_bytes() for file in (whole, gone, short)] == datas
    assert whole.stat().st_ino == before


def _file(store: Store, data: bytes) -> Path:
    found = store.local_path(picture_path(hashlib.sha256(data).hexdigest()))
    assert found is not None
    return found


@pytest.mark.both  # the server has a rule of its own for pictures
def test_a_recipe_s_own_noise_is_for_where_no_pictures_are_named(
    beholder: Beholder, tmp_path: Path
) -> None:
    (tmp_path / "frames").mkdir()
    for number in (1, 2):
        (tmp_path / "frames" / f"{number}.png").write_bytes(png(number))
    feature = ("submit", "--recipe", "feature", "--network", "specimens", "--json")
    for given, noise, items in (
        ((), 1, 1),
        (("--dir", "frames"), 0, 2),
        (("--dir", "frames", "--carry", "0.5"), 0, 2),
        (("frames/1.png", "--noise", "3"), 3, 4),
    ):
        job = json.loads(beholder(*feature, *given).out)
        assert (job["spec"]["noise"], job["total"]) == (noise, items)
    kept = beholder(*feature, "frames/1.png", "--size", "keep")
    assert "size: a spectrum needs a number of pixels" in kept.err


@pytest.mark.both
def test_a_mask_that_is_none_is_one_line(
    beholder: Beholder, context: Context, tmp_path: Path
) -> None:
    guide = tmp_path / "guide.png"
    guide.write_bytes(b"no picture")
    for file, words in (
        ("nothere.png", "no file nothere.png: check its name."),
        (str(tmp_path), "is a folder"),
        (str(guide), "guide.png: not a picture that can be read"),
    ):
        answer = beholder(*DREAM, "--mask", file)
        assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
        assert words in answer.err
    assert list_jobs(context.db) == []

"""`film`: a dream's steps and a film's frames, in every format, and what can't be one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from beholder.film import write_film
from cli.context import Context

pytestmark = pytest.mark.slow  # with real files; seconds in all

Beholder = Callable[..., Any]
Make = Callable[..., str]


def greens(path: Path) -> list[int]:
    """The green in the middle of each of a film's pictures."""
    if path.suffix == ".mp4":
        with av.open(path) as film:
            images = [frame.to_image() for frame in film.decode(video=0)]
    else:
        with Image.open(path) as film:
            images = []
            for number in range(film.n_frames):
                film.seek(number)
                images.append(film.convert("RGB"))
    assert {image.size for image in images} <= {(32, 32), (224, 224)}
    return [image.getpixel((image.width // 2, image.height // 2))[1] for image in images]


@pytest.mark.both  # asks for an item, its start and files
@pytest.mark.parametrize("kind", ["webp", "gif", "mp4"])
def test_the_steps_of_a_dream_from_its_start(
    beholder: Beholder, dream_job: Make, tmp_path: Path, kind: str
) -> None:
    job = dream_job(snapshots=(1, 60), layers=(20,), steps=200)
    path = tmp_path / "new" / f"steps.{kind}"
    answer = beholder("film", f"{job}/1", "-o", str(path), "--fps", "5")
    assert (answer.code, answer.out) == (0, "")
    assert answer.err == f"{path} written: 4 pictures\n"
    assert greens(path) == pytest.approx([20, 41, 100, 240], abs=3)
    if kind != "mp4":
        with Image.open(path) as film:
            film.seek(1)
            film.load()
            assert (film.info["duration"], film.info["loop"]) == (200, 0)


@pytest.mark.both  # asks for items, starts and files
def test_the_frames_of_each_film(beholder: Beholder, dream_job: Make, tmp_path: Path) -> None:
    job = dream_job(layers=(20,), zoom=1.5, frames=2, steps=3)
    answer = beholder("film", job)
    assert answer.code == 2
    assert f"makes 3 films: name an item of one, {job}/0 for the first" in answer.err
    for item in ("1", "4"):  # the same one
        assert beholder("film", f"{job[:6]}/{item}").code == 0
        path = tmp_path / f"{job}-1.webp"
        assert greens(path) == pytest.approx([43, 163], abs=3)
        path.unlink()
    begun = dream_job(layers=(20,), zoom=1.5, frames=3, chunks=7)
    answer = beholder("film", f"{begun}/0")
    assert "3 pictures\n" in answer.err
    answer = beholder("film", f"{begun}/1")
    assert "2 pictures; 1 of 3 frames are not there yet" in answer.err


def test_what_can_be_no_film(
    beholder: Beholder,
    context: Context,
    dream_job: Make,
    study_job: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = dream_job(chunks=1, layers=(20,))
    study = study_job()
    kept = context.store.local_path("pictures")
    kept.rename(tmp_path / "away")
    for arguments, words in (
        ((f"{job}/0", "-o", "film.avi"), "film.avi: films end in .mp4, .webp or .gif."),
        ((f"{job}/3",), f"job {job} has items 0 to 2; got 3."),
        ((f"{job}/1",), "has no two pictures to make a film of: submit it with --snapshots"),
        ((f"{job}/one",), "an item is written JOB/3, with its position"),
        ((study,), "is a study: films are made of dreams"),
        ((f"{job}/0",), "the store"),
        ((f"{job}/0", "--fps", "0"), "--fps: 0.1 to 60; got 0."),
    ):
        answer = beholder("film", *arguments)
        assert (answer.code, answer.err.count("\n")) == (2, 1)
        assert words in answer.err
    (tmp_path / "away").rename(kept)
    monkeypatch.setattr("beholder.film.MAX_HELD_PIXELS", 2000)
    assert "2 frames of 32 x 32 pixels are too many" in beholder("film", f"{job}/0").err
    monkeypatch.setattr("beholder.film.find_spec", lambda name: None)
    answer = beholder("film", f"{job}/0", "-o", "film.mp4")
    assert "MP4 needs PyAV: `pip install -e '.[video]'`" in answer.err
    assert "no job" in beholder("film", "nosuchjob", "-o", "film.mp4").err
    assert list(tmp_path.glob("*.*")) == []


def test_odd_sides_and_many_frames(tmp_path: Path) -> None:
    taken = 0

    def frames() -> Any:
        nonlocal taken
        for shade in range(60):
            taken += 1
            yield Image.new("RGB", (33, 47), (0, 4 * shade, 0))

    with (tmp_path / "odd.mp4").open("xb") as file:
        write_film(frames(), file, "mp4", fps=29.97, count=60)
    with av.open(tmp_path / "odd.mp4") as film:
        stream = film.streams.video[0]
        assert (stream.width, stream.height, taken) == (32, 46, 60)
        assert float(stream.average_rate or 0) == pytest.approx(29.97, abs=0.01)
        assert sum(1 for _ in film.decode(video=0)) == 60


@pytest.mark.parametrize("size", [(64, 64), (1280, 720)])
def test_an_mp4_says_by_which_norm_its_colours_are_meant(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    colour, path = (200, 40, 30), tmp_path / "colour.mp4"
    with path.open("xb") as file:
        write_film(iter([Image.new("RGB", size, colour)] * 2), file, "mp4", fps=5, count=2)
    with av.open(path) as film:
        says = film.streams.video[0].codec_context
        assert (says.colorspace, says.color_primaries, says.color_trc) == (1, 1, 1)  # BT.709
        assert says.color_range == 1  # 16 to 235
        frame = next(film.decode(video=0))
        by_709 = frame.reformat(format="rgb24", src_colorspace="ITU709").to_ndarray()[9, 9]
        assert by_709.tolist() == pytest.approx(colour, abs=3)
        assert frame.to_image().getpixel((9, 9)) == pytest.approx(colour, abs=3)

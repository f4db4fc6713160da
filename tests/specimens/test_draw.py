"""Drawn pictures: repeatable, any size, every class its own."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from beholder.specimens.draw import CLASSES, draw, write_samples


def pixels(label: str, *, seed: int = 3, size: int = 64) -> NDArray[np.float64]:
    return np.asarray(draw(label, seed=seed, size=size), dtype=np.float64)


def test_there_are_twenty_classes() -> None:
    assert len(set(CLASSES)) == len(CLASSES) == 20


@pytest.mark.parametrize("label", CLASSES)
def test_the_same_arguments_give_the_same_bytes(label: str) -> None:
    assert draw(label, seed=7, size=64).tobytes() == draw(label, seed=7, size=64).tobytes()


@pytest.mark.parametrize("label", CLASSES)
def test_another_seed_gives_another_picture(label: str) -> None:
    assert np.abs(pixels(label, seed=7) - pixels(label, seed=8)).mean() > 5


@pytest.mark.parametrize("label", CLASSES)
def test_figure_and_ground_can_be_told_apart(label: str) -> None:
    assert all(pixels(label, seed=seed).std(axis=(0, 1)).max() > 10 for seed in range(5))


@pytest.mark.parametrize("label", CLASSES)
def test_every_size_shows_the_same_content(label: str) -> None:
    small = draw(label, seed=5, size=64)
    shrunk = draw(label, seed=5, size=256).resize((64, 64), Image.Resampling.BOX)
    a, b = (np.asarray(picture, dtype=np.float64).ravel() for picture in (small, shrunk))
    assert np.corrcoef(a, b)[0, 1] > 0.9


def test_classes_differ_at_one_seed() -> None:
    pictures = [pixels(label) for label in CLASSES]
    apart = [np.abs(a - b).mean() for i, a in enumerate(pictures) for b in pictures[:i]]
    assert min(apart) > 5


@pytest.mark.parametrize("size", [16, 33, 224])
def test_sizes_and_mode(size: int) -> None:
    picture = draw("star", seed=0, size=size)
    assert (picture.size, picture.mode) == ((size, size), "RGB")


def test_an_unknown_label_names_the_classes() -> None:
    with pytest.raises(ValueError, match="stripes"):
        draw("kelpie", seed=0)


def test_a_tiny_size_is_refused() -> None:
    with pytest.raises(ValueError, match="16"):
        draw("star", seed=0, size=8)


def test_write_samples_makes_a_folder_of_each_class(tmp_path: Path) -> None:
    paths = write_samples(tmp_path, per_class=2, labels=["star", "rings"], size=32)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "star/star-01.png",
        "star/star-02.png",
        "rings/rings-01.png",
        "rings/rings-02.png",
    ]
    assert Image.open(paths[0]).size == (32, 32)


def test_samples_are_the_same_every_time(tmp_path: Path) -> None:
    first = write_samples(tmp_path / "a", per_class=1, size=32)
    again = write_samples(tmp_path / "b", per_class=1, size=32)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]

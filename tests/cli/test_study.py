"""`study`: what can't work is refused before a picture is read, in words of the command line."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from beholder.jobs.queries import list_jobs
from cli.context import Context

Beholder = Any


@pytest.fixture
def others(pictures: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pictures, tmp_path / "others"))


def refused(answer: Any, *words: str) -> None:
    assert answer.code == 2, answer.err
    assert answer.err.count("\n") == 1
    for one in words:
        assert one in answer.err


@pytest.mark.both
@pytest.mark.parametrize(
    ("network", "target", "words"),
    [
        ("specimens", "spira", "no class 'spira' of this network; write vote, or a label such as"),
        ("vgg19", "CARDIGAN", "264 (Cardigan), 474 (cardigan)"),
        ("specimens", "folder", "the folder 'kelpies' names no class of this network"),
    ],
)
def test_a_target_that_is_no_class_is_refused(
    beholder: Beholder,
    context: Context,
    pictures: Path,
    others: Path,
    network: str,
    target: str,
    words: str,
) -> None:
    sound = ("study", "--recipe", "sound", "--network", network, "--target", target)
    refused(beholder(*sound, "--dir", str(pictures), "--control", str(others)), words)
    assert not list_jobs(context.db)


def test_a_target_s_plural_will_do(beholder: Beholder, pictures: Path, others: Path) -> None:
    answer = beholder(
        "study", "--recipe", "sound", "--network", "vgg19", "--target", "German Shepherds",
        "--dir", str(pictures), "--control", str(others),
    )  # fmt: skip
    assert answer.code == 0, answer.err

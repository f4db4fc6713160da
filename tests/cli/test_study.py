"""`study`: what can't work is refused before a picture is read, in words of the command line."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from beholder.jobs.models import Job
from beholder.jobs.queries import list_jobs
from beholder.jobs.submit import CreatedJob
from cli.context import Context
from cli.queueing import report as report_queued

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


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--draws", "99"), "--draws needs --recipe sound."),
        (("--method", "count"), "--method needs --recipe sound."),
        (("--per-layer",), "--per-layer needs --recipe sound."),
        (("--recipe", "sound", "--alpha", "0.25"), "--alpha needs --mode scale."),
        (("--recipe", "sound", "--alpha", "0.25", "--mode", "mean"), "--alpha needs --mode scale."),
    ],
)
def test_what_does_nothing_alone_says_what_it_needs(
    beholder: Beholder, pictures: Path, others: Path, options: tuple[str, ...], words: str
) -> None:
    refused(beholder("study", "--dir", str(pictures), "--control", str(others), *options), words)


def test_a_folder_has_one_role(
    beholder: Beholder, pictures: Path, others: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pictures)
    study = ("study", "--dir", str(pictures))
    refused(beholder(*study, "--control", "."), ". is given with --dir and with --control")
    again = (*study, "--sibling", str(others), "--control", str(others))
    refused(beholder(*again), "is given with --sibling and with --control: pictures can't be both.")


@pytest.mark.there  # a client waits without a service of its own
def test_waiting_for_a_sound_study_ends_with_its_report(
    beholder: Beholder,
    context: Context,
    pictures: Path,
    others: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for recipe in ("article", "sound"):
        study = ("study", "--recipe", recipe, "--dir", str(pictures), "--control", str(others))
        job = beholder(*study).out.strip()
        with context.db.write() as session:
            found = session.get(Job, job)
            assert found is not None
            found.state, found.queued = "done", 0
        created = CreatedJob(job, 4, 0, 1)
        report_queued(Context(), created, wait=True, output=None, as_json=False)
        last = capsys.readouterr().err.splitlines()[-1]
        wanted = f"`beholder report {job}` writes what it showed."
        assert (last == wanted) is (recipe == "sound")

"""`report`: the page, its figures, the evidence; and one line where there is none."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beholder.evidence.document import Evidence
from beholder.evidence.stored import logits_path
from beholder.intake import find_pictures, take_in
from beholder.jobs import control
from beholder.jobs.channel_models import Exemplar
from beholder.jobs.queries import items
from beholder.jobs.submit import create_job
from beholder.specs import StudySpec
from cli.context import Context
from tests.report.concluded import conclude
from tests.report.synthetic import make_evidence

pytestmark = pytest.mark.slow

Beholder = Callable[..., Any]
Make = Callable[..., str]


@pytest.fixture
def concluded(context: Context, study_job: Make) -> tuple[str, Evidence]:
    """A study whose test pictures are the first three of its own, with its evidence."""
    job = study_job()
    hashes = [item.picture_sha256 for item in items(context.db, job, limit=3)]
    plain = make_evidence()
    rows = [
        row.model_copy(update={"sha256": sha256})
        for row, sha256 in zip(plain.rows, hashes, strict=False)
    ]
    evidence = plain.model_copy(update={"study": job, "rows": (*rows, *plain.rows[3:])})
    conclude(context.db, context.store, job, evidence)
    return job, evidence


@pytest.mark.there  # the server draws it; the next one is drawn here
def test_one_html_file_in_the_working_folder(
    beholder: Beholder, concluded: tuple[str, Evidence], tmp_path: Path
) -> None:
    job, evidence = concluded
    answer = beholder("report", job[:5])
    assert (answer.code, answer.out) == (0, "")
    assert f"{job}-report.html written: " in answer.err
    page = (tmp_path / f"{job}-report.html").read_text(encoding="utf-8")
    assert evidence.sentence in page
    assert page.count('<img src="data:image/webp;base64,') == 3  # what the store has of the rows
    before = (tmp_path / f"{job}-report.html").stat().st_mtime_ns
    assert beholder("report", job).code == 0  # the same again: left as it is
    assert (tmp_path / f"{job}-report.html").stat().st_mtime_ns == before


def test_show_says_of_which_pictures_its_figure_is(
    beholder: Beholder, study_job: Make, concluded: tuple[str, Evidence]
) -> None:
    counted = "target class kept: 1 of 3; controls kept: 3 of 3"
    assert f"\nof the test pictures alone, {counted}\n" in beholder("show", concluded[0]).out
    assert f"\n{counted}\n" in beholder("show", study_job()).out  # a survey splits nothing


def test_channels_come_with_what_drives_them_and_what_they_dreamt(
    beholder: Beholder,
    context: Context,
    concluded: tuple[str, Evidence],
    dream_job: Make,
    tmp_path: Path,
) -> None:
    job, evidence = concluded
    seen = evidence.channels[0].model_copy(update={"layer": 35, "channel": 7})
    conclude(
        context.db,
        context.store,
        job,
        evidence.model_copy(update={"channels": (seen, *evidence.channels[1:])}),
        token="later",
    )
    dream_job(layers=(34,), channels=(7,))  # a convolution's dream is its ReLU's
    with context.db.write() as session:
        for rank in range(2):
            session.add(
                Exemplar(
                    job_id=job, layer=35, channel=7, rank=rank, position=rank, strength=9 - rank
                )
            )
    assert beholder("report", job).code == 0
    page = (tmp_path / f"{job}-report.html").read_text(encoding="utf-8")
    alts = re.findall(r'<img src="data:[^"]+" alt="([^"]+)"', page)
    assert alts == [
        "exemplar 1 of relu5_4 : 7",
        "exemplar 2 of relu5_4 : 7",
        "dream 1 of relu5_4 : 7",
        "dream 2 of relu5_4 : 7",
    ]


def test_figures_alone(beholder: Beholder, concluded: tuple[str, Evidence], tmp_path: Path) -> None:
    job, _ = concluded
    out = tmp_path / "out"
    assert beholder("report", job, "--format", "pdf", "-o", str(out / "figures.pdf")).code == 0
    assert (out / "figures.pdf").read_bytes().startswith(b"%PDF-")
    assert beholder("report", job, "-o", str(out)).code == 0
    assert (out / f"{job}-report.html").is_file()
    answer = beholder("report", job, "--format", "png")
    assert f"9 figures in {job}-figures" in answer.err
    assert len(list((tmp_path / f"{job}-figures").glob("0?-*.png"))) == 9


@pytest.mark.both
def test_raw_logits_are_an_archive_that_the_evidence_names(
    beholder: Beholder, context: Context, concluded: tuple[str, Evidence], tmp_path: Path
) -> None:
    job, evidence = concluded
    assert beholder("report", job, "--format", "npz", "-o", str(tmp_path / "raw.npz")).code == 0
    told = evidence.logits
    assert told is not None
    with np.load(tmp_path / "raw.npz") as file:
        assert {name: file[name].shape for name in file} == told.arrays
        assert file["intact"].dtype == np.float32
    assert beholder("report", job, "-o", str(tmp_path / "whole.html")).code == 0
    assert "Save logits.npz" in (tmp_path / "whole.html").read_text(encoding="utf-8")
    again = conclude(context.db, context.store, job, evidence, token="again")
    path = logits_path(again)
    context.store.put(path, b"not what was written")
    answer = beholder("report", job, "--format", "npz")
    assert answer.code == 2
    assert f"the raw logits of study {job} are not what was written. Queue the" in answer.err
    assert answer.err.count("\n") == 1
    assert beholder("report", job, "-o", str(tmp_path / "rest.html")).code == 0
    assert "Save logits.npz" not in (tmp_path / "rest.html").read_text(encoding="utf-8")


@pytest.mark.both
def test_the_plan_is_what_the_record_names(
    beholder: Beholder, context: Context, concluded: tuple[str, Evidence], tmp_path: Path
) -> None:
    job, evidence = concluded
    plan = b'{"seed": 7}'
    told = {"plan": {"file": "plan.json", "sha256": hashlib.sha256(plan).hexdigest()}}
    sure = evidence.model_copy(update={"record": {**evidence.record, **told}})
    conclude(context.db, context.store, job, sure, token="sure", plan=plan)
    answer = beholder("report", job, "--format", "plan")
    assert (answer.code, answer.out) == (0, "")
    assert (tmp_path / f"{job}-plan.json").read_bytes() == plan
    conclude(context.db, context.store, job, sure, token="other", plan=b'{"seed": 8}')
    answer = beholder("report", job, "--format", "plan")
    assert answer.code == 2
    assert f"the plan of study {job} is not what was written. Queue the study" in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.both
def test_the_evidence_as_json_is_all_of_it(
    beholder: Beholder, concluded: tuple[str, Evidence], tmp_path: Path
) -> None:
    job, evidence = concluded
    answer = beholder("report", job, "--json")
    assert Evidence.model_validate_json(answer.out) == evidence
    assert not list(tmp_path.glob("*report*"))


@pytest.mark.both
def test_without_evidence_one_line_says_what_to_do(
    beholder: Beholder, context: Context, study_job: Make, dream_job: Make, pictures: Path
) -> None:
    dream, study = dream_job(), study_job()
    entries = [
        entry
        for role in ("target", "control")
        for entry in take_in(
            context.store,
            find_pictures((), (pictures,), recursive=True),
            max_pixels=10**8,
            role=role,
        )
    ]
    sound = create_job(
        context.db, StudySpec.build(network="specimens", recipe="sound"), entries, name="sound"
    ).id
    for job, words in (
        (dream, f"job {dream} is a dream: only studies have evidence."),
        (study, f"study {study} is of recipe article: it has no evidence; queue it with --recipe"),
        (sound, f"study {sound} is not concluded yet: `beholder watch {sound}` follows it."),
        ("none", "no job 'none'"),
    ):
        answer = beholder("report", job)
        assert answer.code == 2
        assert words in answer.err
        assert answer.err.count("\n") == 1
    control.cancel(context.db, sound)
    assert f"study {sound} is cancelled without having concl" in beholder("report", sound).err


def test_lost_or_damaged_evidence_is_one_line(
    beholder: Beholder, context: Context, concluded: tuple[str, Evidence]
) -> None:
    job, evidence = concluded
    path = conclude(context.db, context.store, job, evidence)
    context.store.put(path, b'{"format": 2}')
    answer = beholder("report", job)
    assert answer.code == 2
    assert re.fullmatch(rf"beholder: the evidence of study {job} can't be read.*\n", answer.err)
    context.store.remove(path)
    assert f"has no {path}" in beholder("report", job).err


def test_without_matplotlib_it_says_how_to_get_it(
    beholder: Beholder,
    concluded: tuple[str, Evidence],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    job, _ = concluded
    monkeypatch.setattr("beholder.report.needs._PACKAGES", ("matplotlib_that_is_not_there",))
    for kind in ("html", "pdf", "png"):
        answer = beholder("report", job, "--format", kind)
        assert answer.code == 2
        assert "pip install -e '.[report]'" in answer.err
        assert answer.err.count("\n") == 1
    assert beholder("report", job, "--json").code == 0
    assert not list(tmp_path.glob(f"{job}*"))

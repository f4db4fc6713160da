"""`jobs`, `show`, `watch`, `cancel`, `retry` on a real database."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from beholder.jobs.claims import claim_next
from beholder.jobs.completion import completed, fruitful, through
from beholder.jobs.finish import fail_chunk_job
from beholder.jobs.models import Chunk, Item, utc_now
from beholder.jobs.queries import get_job
from beholder.jobs.service_models import Worker
from beholder.jobs.views import JobView, Progress
from beholder.jobs.workers import WorkerView, beat
from cli.context import Context
from cli.progress import waiting_words

pytestmark = pytest.mark.slow  # real databases; seconds in all

Beholder = Callable[..., Any]
Make = Callable[..., str]


def test_no_jobs_says_what_to_do(beholder: Beholder) -> None:
    answer = beholder("jobs")
    assert (answer.code, answer.out) == (0, "")
    assert "beholder submit" in answer.err
    assert json.loads(beholder("jobs", "--json").out) == []
    assert beholder("jobs", "--state", "failed").err == "No failed jobs.\n"
    assert beholder("jobs", "--state", "done", "--kind", "study").err == "No done study jobs.\n"


def test_a_number_that_no_database_counts_to_is_one_line(beholder: Beholder) -> None:
    answer = beholder("jobs", "--limit", "9" * 20)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == (
        "beholder: a number is larger than any there is here: write a smaller one.\n"
    )


@pytest.mark.both
def test_jobs_are_listed_newest_first(beholder: Beholder, dream_job: Make, study_job: Make) -> None:
    first, second = dream_job(failing=(0,)), study_job()
    rows = json.loads(beholder("jobs", "--json").out)
    assert [row["id"] for row in rows] == [second, first]
    wanted = {"id": first, "kind": "dream", "state": "failed", "total": 6, "done": 5, "failed": 1}
    assert {**rows[1], "state": "failed"}.items() >= wanted.items()
    table = beholder("jobs").out
    assert table.index(second) < table.index(first)
    assert "5 of 6" in table


@pytest.mark.both
def test_jobs_are_filtered(beholder: Beholder, dream_job: Make, study_job: Make) -> None:
    dream, study = dream_job(chunks=1), study_job()
    assert [row["id"] for row in json.loads(beholder("jobs", "--kind", "study", "--json").out)] == [
        study
    ]
    # Its worker gave the second chunk back, and nobody else has one.
    queued = json.loads(beholder("jobs", "--state", "queued", "--json").out)
    assert [row["id"] for row in queued] == [dream]
    limited = beholder("jobs", "--limit", "1")
    assert dream not in limited.out
    assert "--limit shows more" in limited.err


def test_wrong_filters_are_one_line(beholder: Beholder) -> None:
    for arguments in (("--kind", "nap"), ("--state", "asleep")):
        answer = beholder("jobs", *arguments)
        assert answer.code == 2
        assert answer.err.startswith("beholder: no ")
        assert answer.err.count("\n") == 1


@pytest.mark.both
def test_show_a_dream(beholder: Beholder, dream_job: Make) -> None:
    job = dream_job(failing=(0,), channels=(3,), snapshots=(1,))
    answer = beholder("show", job[:6])
    assert answer.code == 0
    for words in (
        "3 steps, learning rate 0.01, 20 relu4_1 + 35 relu5_4, channel 3, kept at steps 1, 3",
        "specimens (ffffffff)",
        "5 of 6 done, 1 failed",
        "precision float32",
        "kelpies/kelpie1.png at 20 relu4_1: the gradient overflowed",
    ):
        assert words in answer.out
    document = json.loads(beholder("show", job, "--json").out)
    assert document["spec"]["channels"] == [3]
    assert document["precisions"] == ["float32"]  # what "auto" was
    assert [row["position"] for row in document["failures"]] == [0]


def test_a_job_that_failed_as_a_whole_says_so_once(
    beholder: Beholder, context: Context, dream_job: Make
) -> None:
    job, reason = dream_job(chunks=0, noise=2), "tf32 needs a CUDA GPU, not cpu; write float32."
    (claim,) = claim_next(context.db, worker="test", lease_s=60)
    fail_chunk_job(context.db, claim, reason)
    assert get_job(context.db, job).failed == 10
    assert beholder("show", job).out.count(reason) == 1
    retried = beholder("retry", job).err
    assert retried == f"job {job}: 10 items queued again.\nIt failed before: {reason}\n"


@pytest.mark.both
@pytest.mark.parametrize(
    ("device", "cards", "remark"),
    [("cpu", True, True), ("cuda:1", False, False), (None, False, True), (None, True, False)],
)
def test_tf32_without_a_gpu_is_remarked(
    beholder: Beholder,
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    device: str | None,
    cards: bool,
    remark: bool,
) -> None:
    monkeypatch.setattr("beholder.devices.gpu_cards", lambda: ["nvidia0"] * cards)
    if device:
        now = utc_now()
        beat(context.db, WorkerView("w", "host", 1, device, now, now, None, 0, 0.0, None))
    said = beholder("submit", "--noise", "1", "--precision", "tf32").err
    unheard_of = where == "remote" and device is None  # cards here are no server's
    assert said.count("tf32 needs a CUDA GPU") == (remark or unheard_of)
    assert "tf32" not in beholder("submit", "--noise", "1", "--precision", "bf16").err


def test_show_names_a_broken_picture_once(
    beholder: Beholder, dream_job: Make, pictures: Path
) -> None:
    (pictures / "broken.jpg").write_bytes(b"no picture")
    answer = beholder("show", dream_job())
    assert answer.out.count("kelpies/broken.jpg (2 layers): not a picture") == 1


@pytest.mark.both
def test_show_a_study(beholder: Beholder, study_job: Make) -> None:
    job = study_job()
    answer = beholder("show", job)
    for words in (
        "kelpie 90.00%",
        "toy terrier 90.00%",
        "34 channels blinded in 17 layers",
        "target class kept: 1 of 3; controls kept: 3 of 3",
    ):
        assert words in answer.out
    document = json.loads(beholder("show", job, "--json").out)
    assert document["summary"] == {
        "targets": 3,
        "targets_kept": 1,
        "controls": 3,
        "controls_kept": 3,
    }
    assert document["chosen"][0] == {"layer": 20, "layer_name": "relu4_1", "channels": [0, 1]}
    assert document["verdicts"][1]["intact"] == "kelpie"
    assert document["verdicts"][1]["blinded"] == "toy terrier"
    assert document["verdicts"][1]["kept"] is False


def test_show_a_study_that_is_half_way(beholder: Beholder, study_job: Make) -> None:
    job = study_job(measured=True)
    assert "kelpie 90.00%" in beholder("show", job).out
    assert json.loads(beholder("show", job, "--json").out)["verdicts"][0]["kept"] is None


@pytest.mark.both
def test_unknown_and_ambiguous_jobs_are_one_line(
    beholder: Beholder, dream_job: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("beholder.jobs.submit._ID_ALPHABET", "ab")
    ids = [dream_job(chunks=0) for _ in range(3)]
    begins = next(letter for letter in "ab" if sum(job[0] == letter for job in ids) > 1)
    for command in ("show", "watch", "cancel", "retry", "fetch"):
        unknown = beholder(command, "nosuchjob")
        assert (unknown.code, unknown.out) == (2, "")
        assert unknown.err == "beholder: no job 'nosuchjob': `beholder jobs` lists them.\n"
        several = beholder(command, begins)
        assert several.code == 2
        assert "write more of the id" in several.err


@pytest.mark.both
def test_watch_exits_with_the_outcome(beholder: Beholder, dream_job: Make) -> None:
    assert beholder("watch", dream_job()).code == 0
    failed = beholder("watch", dream_job(failing=(1,)))
    assert failed.code == 1
    assert "5 of 6 done, 1 failed" in failed.err


@pytest.mark.both
def test_cancel_then_retry(beholder: Beholder, dream_job: Make) -> None:
    job = dream_job(chunks=1)
    assert "cancelled, 1 of 6 were done" in beholder("cancel", job[:8]).err
    again = beholder("cancel", job)
    assert again.code == 2
    assert "already cancelled" in again.err
    assert "5 items queued again" in beholder("retry", job).err
    assert json.loads(beholder("show", job, "--json").out)["state"] in ("queued", "running")


def test_what_was_cancelled_is_not_called_done(
    beholder: Beholder, context: Context, dream_job: Make
) -> None:
    job = dream_job(failing=(1,), chunks=2)
    beholder("cancel", job)
    assert "1 of 6" in beholder("jobs").out
    outcome = "1 of 6 done, 1 failed, 4 cancelled"
    assert f"items     {outcome}\n" in beholder("show", job).out
    followed = beholder("watch", job).err
    assert f"dream {job}: 1 of 6, cancelled" in followed
    assert followed.endswith(f"job {job}: cancelled, {outcome}.\n")
    view = get_job(context.db, job)
    assert (completed(context.db, view), fruitful(view, 6.0)) == (6.0, 1)


def test_what_is_partly_done_counts_while_a_job_runs() -> None:
    counts = Progress("running", "dream", 10, 4, 4, 1, 1, 0, 0)
    assert fruitful(counts, through("dream", counts, 0.625)) == 3
    study = Progress("running", "classify", 10, 4, 4, 2, 0, 0, 10)
    assert fruitful(study, through("study", study, 0.0)) == 6


@pytest.mark.both
def test_retry_without_anything_to_do_is_one_line(beholder: Beholder, dream_job: Make) -> None:
    answer = beholder("retry", dream_job())
    assert answer.code == 2
    assert answer.err.count("\n") == 1


def test_an_old_database_is_one_line(beholder: Beholder, dream_job: Make, home: Path) -> None:
    import sqlite3

    dream_job()
    with sqlite3.connect(home / "beholder.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'f00'")
    database.close()
    answer = beholder("jobs")
    assert answer.code == 2
    assert answer.err.startswith("beholder: the database")
    assert answer.err.count("\n") == 1


def test_priorities_are_listed_where_one_is_not_normal(beholder: Beholder) -> None:
    beholder("submit", "--noise", "1")
    assert "priority" not in beholder("jobs").out
    beholder("submit", "--noise", "1", "--priority", "high")
    assert "priority" in beholder("jobs").out
    assert "normal" not in beholder("jobs").out


@pytest.mark.both
def test_a_priority_is_submitted_and_shown(beholder: Beholder, pictures: Path) -> None:
    row = json.loads(beholder("submit", "--noise", "1", "--priority", "high", "--json").out)
    assert row["priority"] == "high"
    assert re.search(r"^priority +high$", beholder("show", row["id"]).out, re.MULTILINE)
    assert re.search(rf"│ {row['id']} .*│ high +│", beholder("jobs").out)
    study = beholder("study", "--dir", str(pictures), "--priority", "low", "--json")
    assert json.loads(study.out)["priority"] == "low"
    refused = beholder("submit", "--noise", "1", "--priority", "urgent")
    assert refused.code == 2
    assert "Invalid value for '--priority': 'urgent' is not one of 'low'" in refused.err


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("fp16", "'bf16'. `beholder submit --help` lists what there is.\n"),
        ("bfloat16", "'bf16'; bfloat16 is called bf16 here. `beholder submit --help` lists"),
        ("FP32", "'bf16'; FP32 is called float32 here. `beholder submit --help` lists"),
    ],
)
def test_a_wrong_precision_is_one_line(beholder: Beholder, given: str, hint: str) -> None:
    answer = beholder("submit", "--noise", "1", "--precision", given)
    assert answer.code == 2
    wrong = f"beholder: Invalid value for '--precision': '{given}' is not one of 'auto', "
    assert answer.err.startswith(wrong)
    assert hint in answer.err


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("study",), "Missing option '--dir' / '-d'. `beholder study --help` lists what there is."),
        (("study", "spirals"), "a study is of folders, as an option: write --dir spirals"),
        (("studdy",), "`beholder --help` lists what there is."),
    ],
)
def test_wrong_use_says_where_the_right_use_is_written(
    beholder: Beholder, given: tuple[str, ...], words: str
) -> None:
    answer = beholder(*given)
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert answer.err.endswith(f"{words}\n")


def test_a_queued_job_says_what_it_waits_for(context: Context, beholder: Beholder) -> None:
    def job(priority: str) -> JobView:
        answer = beholder("submit", "--noise", "1", "--priority", priority, "--json")
        return get_job(context.db, json.loads(answer.out)["id"])

    low = job("low")
    assert waiting_words(context.desk, low) == "queued"
    normal = job("normal")
    claim_next(context.db, worker="test", lease_s=60)
    assert waiting_words(context.desk, low) == f"queued, normal priority goes first: {_at(normal)}"
    assert waiting_words(context.desk, normal) == "queued"  # as it was asked for, begun meanwhile
    assert waiting_words(context.desk, job("normal")) == f"queued, next in turn with {_at(normal)}"
    assert waiting_words(context.desk, job("high")) == f"queued, next in turn with {_at(normal)}"


@pytest.mark.both
def test_the_batch_that_keeps_a_job_waiting_is_named(
    beholder: Beholder, context: Context, dream_job: Make
) -> None:
    dream_job(chunks=0)
    (claim,) = claim_next(context.db, worker="w", lease_s=60)
    with context.db.write() as session:
        session.execute(update(Chunk).where(Chunk.id == claim.chunk_id).values(progress=0.05))
    high = beholder("submit", "--noise", "1", "--priority", "high", "--json")
    job, now = json.loads(high.out)["id"], utc_now()
    busy = WorkerView("w", "host", 1, "cpu", now, now, claim.chunk_id, 0, 0.0, None)
    idle = replace(busy, name="v", chunk_id=None)
    words = "a worker is 5% through a batch of kelpies"
    for workers, waits in (
        ((), None),
        ((busy,), words),
        ((busy, idle), None),
        ((busy, replace(idle, told="drain")), words),
        ((busy, replace(busy, name="v")), f"all 2 workers are busy, one{words[8:]}"),
    ):
        with context.db.write() as session:
            session.execute(delete(Worker))
            session.add_all(Worker(**vars(worker)) for worker in workers)
        view = context.desk.job(job)
        assert view.waits == waits
        assert (f"waits     {waits}" in beholder("show", job).out) is (waits is not None)
        assert waiting_words(context.desk, view).endswith(f"; {waits}" if waits else " 0 of 6")
    assert context.desk.job(claim.job_id).waits is None  # it runs


def _at(job: JobView) -> str:
    return f"{job.kind} {job.id}, {job.done} of {job.total}"


def test_show_says_that_a_layer_is_silent(
    beholder: Beholder, context: Context, dream_job: Make
) -> None:
    job = dream_job()
    with context.db.write() as session:
        item = session.scalars(select(Item).where(Item.job_id == job, Item.state == "done")).first()
        assert item is not None
        item.result = {"objective": [0.0, 0.0, 0.0], "silent": True}
    assert "silent    1 dream: the layer is silent" in beholder("show", job).out


@pytest.mark.both
def test_a_paused_worker_is_said(beholder: Beholder, context: Context, dream_job: Make) -> None:
    job, now = dream_job(chunks=1), utc_now()
    reason = "no room left in the store: free some space."
    beat(context.db, WorkerView("w", "host", 1, "cpu", now, now, None, 0, 0.0, None, reason))
    assert f"paused    {reason}" in beholder("show", job).out
    assert f"paused: {reason}" in beholder("jobs").err
    doctor = {row["name"]: row for row in json.loads(beholder("doctor", "--json").out)}
    assert doctor["workers"]["detail"] == f"1 alive, paused: {reason}"

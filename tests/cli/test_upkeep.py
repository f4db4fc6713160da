"""`verify`, `gc`, `keep` and `db backup`, as people and programs see them."""

import json
import re
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from beholder.errors import InvalidInput
from beholder.jobs.control import delete
from beholder.jobs.models import Job, utc_now
from beholder.jobs.queries import get_job, items
from beholder.store import picture_path
from beholder.upkeep import retention
from cli.context import Context
from cli.output import amount
from cli.upkeep import _kind_words, age

pytestmark = pytest.mark.slow  # real databases and stores; seconds in all


def files_of(context: Context, job_id: str) -> list[Path]:
    found = [context.store.local_path(one.path) for item in items(context.db, job_id)
             for one in item.files]  # fmt: skip
    return [path for path in found if path is not None]


def test_all_is_well(beholder: Any, dream_job: Any) -> None:
    dream_job()
    answer = beholder("verify")
    assert (answer.code, answer.out) == (0, "")
    assert answer.err.startswith("9 files, ")
    assert answer.err.endswith(" checked: all is well.\n")


def test_nothing_there_yet(beholder: Any) -> None:
    assert beholder("verify").code == beholder("gc").code == 0


def test_a_finding_is_one_line_and_mended(beholder: Any, context: Context, dream_job: Any) -> None:
    job_id = dream_job()
    lost = files_of(context, job_id)[2]
    lost.unlink()
    answer = beholder("verify", "--quick")
    assert answer.code == 1
    (line,) = answer.out.splitlines()
    assert line.startswith(f"job {job_id} item 2: no file results/{job_id}/")
    assert line.endswith("`beholder verify --mend` makes it again.")
    assert "1 finding (1 file missing)" in answer.err
    mended = beholder("verify", job_id[:6], "--json", "--mend")
    found = json.loads(mended.out)
    assert (mended.code, found["total"], found["left"]) == (0, 1, 0)
    assert found["findings"][0]["mend"] == "queued again."
    assert found["findings"][0]["kind"] == "file missing"
    assert found["findings"][0]["position"] == 2
    assert found["mended"] == [f"job {job_id}: 1 item queued again."]
    assert get_job(context.db, job_id).queued == 1


def test_damage_is_said_and_after_mending_nothing_is_wrong(
    beholder: Any, context: Context, dream_job: Any
) -> None:
    job_id = dream_job(snapshots=(1, 2))
    same, longer, *_ = files_of(context, job_id)[::3]
    size, before = (len(path.read_bytes()) for path in (same, longer))
    same.write_bytes(bytes(size))
    longer.write_bytes(bytes(before + 2))
    answer = beholder("verify", "--mend")
    assert f"not what was written: the same length ({size} bytes), but other bytes;" in answer.out
    assert f"is not what was written: {before + 2} bytes, not {before};" in answer.out
    assert "2 findings (2 files damaged). Nothing is left to do." in answer.err
    assert [line.endswith("; queued again.") for line in answer.out.splitlines()] == [True, True]
    assert "--mend" not in answer.out
    assert answer.code == 0
    assert f"job {job_id}: 2 items queued again." in answer.err
    assert beholder("verify").code == 0


def test_what_mending_leaves_to_people_is_said_and_counted(
    beholder: Any, context: Context, dream_job: Any
) -> None:
    cancelled, counted = dream_job(chunks=1), dream_job()
    beholder("cancel", cancelled)
    files_of(context, cancelled)[0].unlink()
    with context.db.write() as session:
        session.execute(update(Job).where(Job.id == counted).values(done=77))
    picture = picture_path(next(items(context.db, counted)).picture_sha256 or "")
    kept = context.store.local_path(picture)
    assert kept is not None
    kept.write_bytes(bytes(kept.stat().st_size))
    answer = beholder("verify", "--mend", "--json")
    found = json.loads(answer.out)
    assert {one["where"]: one["mend"] for one in found["findings"]} == {
        f"job {cancelled} item 0": "cancelled; `beholder retry` makes it again.",
        f"job {counted}": "put right.",
        picture: "removed; send it again: `beholder submit` or POST /v1/pictures stores it anew.",
    }
    assert (answer.code, found["total"], found["left"]) == (1, 3, 2)
    assert "2 left to do." in answer.err


def test_findings_are_counted_in_words() -> None:
    assert [_kind_words(*one) for one in (
        ("picture missing", 2), ("stray picture", 1), ("leftover", 1_000), ("counters", 1),
    )] == ["2 pictures missing", "1 stray picture", "1,000 leftovers", "counters: 1"]  # fmt: skip


def test_a_lost_picture_is_named(beholder: Any, context: Context, dream_job: Any) -> None:
    job_id = dream_job()
    (item, *_) = items(context.db, job_id)
    path = context.store.local_path(picture_path(item.picture_sha256 or ""))
    assert path is not None
    path.write_bytes(b"")
    needed = f"; item 0 of job {job_id} needs it: {item.source}; "
    assert needed in beholder("verify").out
    path.unlink()
    for arguments in ([], [job_id]):
        (line,) = beholder("verify", *arguments).out.splitlines()
        assert f"no such picture in the store, though the database knows it{needed}" in line


def test_many_findings_are_capped(beholder: Any, context: Context, dream_job: Any) -> None:
    job_id = dream_job(noise=30)
    for path in files_of(context, job_id):
        path.unlink()
    answer = beholder("verify")
    assert len(answer.out.splitlines()) == 50
    assert "more; --json lists them." in answer.err


def test_gc_shows_then_removes(beholder: Any, context: Context, dream_job: Any) -> None:
    job_id = dream_job()
    assert beholder("gc", "--yes").code == 0  # from now on the store is this database's
    delete(context.db, job_id)
    answer = beholder("gc")
    assert answer.code == 0
    assert "results" in answer.out
    assert "--yes removes it" in answer.err
    assert context.store.exists(f"results/{job_id}")
    found = json.loads(beholder("gc", "--yes", "--json").out)
    assert found["removed"]
    assert [row["kind"] for row in found["garbage"]] == ["results"]
    assert not context.store.exists(f"results/{job_id}")
    assert json.loads(beholder("gc", "--json").out) == {
        "removed": False, "files": 0, "bytes": 0, "jobs": [], "garbage": [],
    }  # fmt: skip


def test_gc_leaves_the_store_of_another_database(
    beholder: Any, context: Context, dream_job: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    job_id = dream_job()
    monkeypatch.setenv("BEHOLDER_STORE_URL", str(context.store))
    monkeypatch.setenv("BEHOLDER_HOME", str(tmp_path / "hoem"))
    for arguments in (["--yes"], ["--yes", "--older-than", "1d"], []):
        answer = beholder("gc", *arguments)
        assert answer.code == 2
        assert answer.err.startswith(f"beholder: the store {context.store} is not that of ")
        assert "set BEHOLDER_DATABASE_URL or BEHOLDER_HOME to the store's own" in answer.err
        assert len(answer.err.splitlines()) == 1
    assert context.store.exists(f"results/{job_id}")
    assert "is not that of" in beholder("verify").out.splitlines()[0]


def test_a_job_that_is_kept_after_it_was_listed_stays(
    beholder: Any, context: Context, dream_job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = dream_job()
    with context.db.write() as session:
        session.execute(update(Job).values(finished_at=utc_now() - timedelta(days=40)))
    listed = retention.expired

    def kept_then(*arguments: Any, **options: Any) -> list[str]:
        found = listed(*arguments, **options)
        retention.keep(context.db, job_id)
        return found

    monkeypatch.setattr(retention, "expired", kept_then)
    answer = beholder("gc", "--yes", "--older-than", "30d")
    assert f"job {job_id} not removed: job {job_id} is kept, whatever its age." in answer.err
    assert get_job(context.db, job_id).state == "done"


def test_every_finding_is_mended_not_only_those_listed(
    beholder: Any, context: Context, dream_job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.upkeep.KEPT", 2)
    job_id = dream_job()
    for path in files_of(context, job_id):
        path.unlink()
    found = json.loads(beholder("verify", "--mend", "--json").out)
    assert (len(found["findings"]), found["total"]) == (2, 6)
    assert found["mended"] == [f"job {job_id}: 6 items queued again."]


@pytest.mark.both
def test_jobs_are_kept_listed_and_let_go(beholder: Any, dream_job: Any) -> None:
    empty = beholder("keep")
    assert (empty.code, empty.out, empty.err) == (0, "", "No job is kept.\n")
    assert json.loads(beholder("keep", "--json").out) == []
    job, _ = dream_job(), dream_job()
    assert json.loads(beholder("keep", job, "--json").out)["id"] == job
    assert [row["id"] for row in json.loads(beholder("keep", "--json").out)] == [job]
    assert job in beholder("keep").out
    alone = beholder("keep", "--undo")
    assert (alone.code, alone.out) == (2, "")
    assert alone.err == "beholder: --undo is of one job: `beholder keep JOB --undo`.\n"
    assert beholder("keep", job, "--undo").code == 0
    assert json.loads(beholder("keep", "--json").out) == []


def test_gc_by_age_state_and_job(beholder: Any, context: Context, dream_job: Any) -> None:
    old, kept, young = dream_job(), dream_job(), dream_job()
    with context.db.write() as session:
        aged = update(Job).where(Job.id.in_((old, kept)))
        session.execute(aged.values(finished_at=utc_now() - timedelta(days=40)))
    assert "kept, whatever its age" in beholder("keep", kept).err
    assert kept in beholder("keep").out
    found = json.loads(beholder("gc", "--older-than", "30d", "--json").out)
    assert found["jobs"] == [old]
    assert found["garbage"][0]["kind"] == "job"
    none = json.loads(
        beholder("gc", "--older-than", "30d", "--state", "failed", "--json", "-y").out
    )
    assert none["jobs"] == []
    assert beholder("gc", "--yes", "--older-than", "4w").code == 0
    beholder("keep", kept, "--undo")
    assert beholder("gc", "-y", "--job", kept).code == 0
    left = [row["id"] for row in json.loads(beholder("jobs", "--json").out)]
    assert left == [young]
    assert beholder("verify").code == 0


def test_gc_lists_the_jobs_that_would_go(
    beholder: Any, context: Context, dream_job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [dream_job() for _ in range(3)]
    with context.db.write() as session:
        for number, job_id in enumerate(jobs):
            ended = utc_now() - timedelta(days=40 - number)
            session.execute(update(Job).where(Job.id == job_id).values(finished_at=ended))
    monkeypatch.setattr("cli.upkeep.SHOWN_JOBS", 2)
    answer = beholder("gc", "--older-than", "0d")
    cells = [re.findall(r"[^│]+", line) for line in answer.out.splitlines() if "kelpies" in line]
    assert [[cell.strip() for cell in line] for line in cells] == [
        [jobs[0], "dream", "kelpies", "done", "40 days ago"],
        [jobs[1], "dream", "kelpies", "done", "39 days ago"],
    ]
    assert "... and 1 more job; --json lists them." in answer.err
    assert "can be removed; --yes removes it" in answer.err
    assert len(json.loads(beholder("jobs", "--json").out)) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--state", "done"), "--state needs --older-than"),
        (
            ("--older-than", "30"),
            "write hours, days or weeks (h, d, w), such as 12h or 30d; got '30'",
        ),
        (("--older-than", "1s"), "write hours, days or weeks (h, d, w), such as 12h or 30d"),
        (("--older-than", "1d", "--state", "running"), "no state 'running' to remove"),
        (("--job", "nojob"), "no job 'nojob'"),
    ],
)
def test_what_gc_refuses(beholder: Any, arguments: tuple[str, ...], message: str) -> None:
    answer = beholder("gc", *arguments)
    assert answer.code == 2
    assert message in answer.err
    assert len(answer.err.splitlines()) == 1


def test_gc_leaves_a_job_that_runs(beholder: Any, dream_job: Any) -> None:
    answer = beholder("gc", "--yes", "--job", dream_job(chunks=1))
    assert answer.code == 2
    assert "cancel it before you remove it" in answer.err


def test_a_backup_is_whole_and_never_overwritten(
    beholder: Any, dream_job: Any, tmp_path: Path
) -> None:
    job_id, copy = dream_job(), tmp_path / "copy.db"
    assert beholder("db", "backup", str(copy)).code == 0
    with sqlite3.connect(copy) as connection:
        assert connection.execute("SELECT id FROM jobs").fetchall() == [(job_id,)]
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    assert sorted(path.name for path in tmp_path.glob("*copy*")) == ["copy.db"]
    again = beholder("db", "backup", str(copy))
    assert (again.code, again.err) == (2, f"beholder: {copy} is there already: name a new file.\n")
    nowhere = beholder("db", "backup", str(tmp_path / "no" / "copy.db"))
    said = f"beholder: no folder {tmp_path / 'no'}: make it first, or name another.\n"
    assert (nowhere.code, nowhere.err) == (2, said)


def test_a_postgres_is_backed_up_by_its_own_tool(
    beholder: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BEHOLDER_DATABASE_URL", "postgresql://nobody@localhost/none")
    assert "use `pg_dump" in beholder("db", "backup", str(tmp_path / "copy")).err


def test_ages_and_amounts() -> None:
    assert [age(text).days for text in ("30d", "2w", "48h")] == [30, 14, 2]
    for wrong in ("", "d", "30", "-1d", "3y", "1e9d"):
        with pytest.raises(InvalidInput, match="older-than"):
            age(wrong)
    assert [amount(size) for size in (1, 999, 1500, 2.5e9, 3e12)] == [
        "1 byte", "999 bytes", "1.5 kB", "2.5 GB", "3.0 TB",
    ]  # fmt: skip

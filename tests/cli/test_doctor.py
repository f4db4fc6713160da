"""`doctor` believes the kernel's locks, and looks for the store that the database knows."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beholder.alive import Alive, worker_name
from beholder.jobs.models import utc_now
from beholder.jobs.workers import WorkerView, beat
from beholder.tokens import make_token
from beholder.upkeep.checkpoints import Tidying
from cli.context import Context

pytestmark = pytest.mark.slow  # with real servers or files; seconds in all

Beholder = Callable[..., Any]
Make = Callable[..., str]


def test_doctor_does_not_call_a_worker_alive_whose_lock_is_free(
    beholder: Beholder, context: Context
) -> None:
    dead, now = worker_name(), utc_now()
    lock = context.settings.home / "workers" / dead
    lock.parent.mkdir()
    lock.touch()
    living = worker_name()
    alive = Alive(context.settings.home, living)
    for name in (dead, living):
        beat(context.db, WorkerView(name, "host", 1, "cpu", now, now, 7, 0, 0.0, None))
    doctor = {row["name"]: row for row in json.loads(beholder("doctor", "--json").out)}
    assert doctor["workers"]["detail"] == f"1 alive, 1 busy: {living}"
    left = f"worker {living} leaves job abc to others: no weights."
    for reason, ok in ((left, True), ("no room left.", False)):
        beat(context.db, WorkerView(living, "h", 1, "cpu", now, now, 7, 0, 0.0, None, reason))
        rows = json.loads(beholder("doctor", "--json").out)
        assert [row["ok"] for row in rows if row["name"] == "workers"] == [ok]
    del alive
    assert "none heard of" in beholder("doctor").out


def test_doctor_misses_the_store_that_the_database_knows(
    beholder: Beholder, context: Context, dream_job: Make
) -> None:
    dream_job()
    Tidying(context.db, context.store).step()
    assert beholder("doctor").code == 0
    store = context.settings.home / "store"
    store.rename(store.with_name("away"))
    answer = beholder("doctor")
    assert answer.code == 2
    assert f"store       the store {store} is not there: mount or restore it" in answer.out
    store.mkdir()
    assert "has no file 'database': mount or restore it" in beholder("doctor").out


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("DEVICE", "tpu", "no device 'tpu': write auto, cpu, cuda or cuda:1."),
        ("REDIS_URL", "foo", "BEHOLDER_REDIS_URL is no Redis URL: write redis://"),
        ("STORE_URL", "nothing://x", "write a folder's path or s3://BUCKET/PATH"),
    ],
)
def test_a_setting_that_no_program_could_run_with_is_refused_before_any_starts(
    beholder: Beholder,
    context: Context,
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    line: str,
) -> None:
    monkeypatch.setenv(f"BEHOLDER_{name}", value)
    for command in (("up", "--no-page"), ("submit", "--dir", str(pictures), "--wait")):
        answer = beholder(*command)
        assert answer.code != 0
        assert line in answer.err
        assert "Running" not in answer.err
    assert not (context.settings.home / "logs").exists()  # nothing was started
    answer = beholder("doctor")
    assert answer.code == 2
    assert line in answer.out


def test_up_says_once_that_its_redis_is_silent_and_what_it_does_not_read(tmp_path: Path) -> None:
    env = {
        **os.environ,
        "BEHOLDER_HOME": str(tmp_path),
        "BEHOLDER_REDIS_URL": "redis://127.0.0.1:1",
        "BEHOLDER_RETENTION_DAY": "3",
    }
    command = [sys.executable, "-m", "cli", "up", "--no-page"]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as up:
        assert up.stderr is not None
        said = [up.stderr.readline() for _ in range(3)]
        up.terminate()
        said += (up.communicate(timeout=30)[1] or "").splitlines()
    silent = [one for one in said if "redis://127.0.0.1:1 does not answer" in one]
    assert len(silent) == 1, said
    assert "check BEHOLDER_REDIS_URL." in silent[0]
    assert "did you mean BEHOLDER_RETENTION_DAYS?" in said[0]


def test_doctor_names_a_setting_that_is_none(
    beholder: Beholder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEHOLDER_RETENTION_DAY", "3")
    answer = beholder("doctor")
    assert "did you mean BEHOLDER_RETENTION_DAYS?" in answer.out
    assert answer.code == 0


def test_doctor_finds_a_token_in_place_of_its_entry(
    beholder: Beholder, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, _ = make_token("ada", "read")
    monkeypatch.setenv("BEHOLDER_API_TOKENS", token)
    answer = beholder("doctor", "--json")
    (row,) = (row for row in json.loads(answer.out) if row["name"] == "settings")
    assert "entry 1 is not NAME:SCOPE:HASH" in row["detail"]
    assert answer.code == 2
    assert token not in answer.out + answer.err

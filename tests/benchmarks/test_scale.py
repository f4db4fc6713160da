"""The large database is one that the code takes for its own, and every question finds its rows."""

from pathlib import Path

import pytest

from beholder.jobs.database import Database
from beholder.jobs.queries import get_job, items
from beholder.jobs.schema import check
from benchmarks.databases import BIG, STUDY, Size, fill
from benchmarks.scale import Desk


@pytest.mark.slow
def test_a_small_one_is_asked_everything(tmp_path: Path) -> None:
    size = Size(items=2_000, judged=60, jobs=60, studies=2, done=0.9)
    url = f"sqlite:///{tmp_path / 'scale.db'}"
    fill(url, size)
    database = Database.open(url)
    check(database)
    desk = Desk(database, size)
    desk.ask_all()
    job = get_job(database, BIG)
    assert (job.state, job.total, job.done, job.queued) == ("running", 2_000, 1_808, 192)
    assert len(list(items(database, STUDY, role="control"))) == 30
    assert all(len(taken) == 1 for taken in desk.taken.values())
    assert "claim 4 chunks" in desk.taken
    assert {row.better for row in desk.rows("SQLite")} == {"lower"}
    database.dispose()

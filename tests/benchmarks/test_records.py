"""The large database has what records are made of, and every question finds something."""

from pathlib import Path

import pytest

from beholder.jobs.contrast_queries import contrasts
from beholder.jobs.database import Database
from beholder.jobs.record_queries import channel_records
from benchmarks.databases import Size, fill
from benchmarks.records import LABELS, Desk, add_classes


@pytest.mark.slow
def test_a_small_one_is_asked_everything(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'records.db'}"
    fill(url, Size(items=1_000, judged=60, jobs=10, studies=2))
    database = Database.open(url, foreign_keys=False)
    add_classes(database)
    desk = Desk(database, studies=2)
    desk.ask_all()
    assert all(len(taken) == 1 for taken in desk.taken.values())
    assert {row.better for row in desk.rows("SQLite")} == {"lower"}
    (record,) = channel_records(database, layer=29, channel=7)
    assert {one.label for one in record.classes} == set(LABELS)
    assert record.classes[0].strengths.n == 200
    assert contrasts(database, ["skunk"], ["kelpie"], layers=[29]).channels
    database.dispose()

"""The questions that are asked often are answered from an index, not by reading a table."""

import re

import pytest
from sqlalchemy import event, inspect

from beholder.jobs.channel_queries import channels
from beholder.jobs.claims import claim_next, renew_all
from beholder.jobs.contrast_queries import contrasts
from beholder.jobs.models import Base
from beholder.jobs.queries import items, latest_study, list_jobs, progress
from beholder.jobs.record_export import export_rows
from beholder.jobs.record_queries import channel_records
from beholder.jobs.silence import Silence
from beholder.jobs.sweep import sweep
from beholder.jobs.turns import waiting, whose_turn
from tests.jobs.test_records import CHANNEL, LAYER
from tests.jobs.test_records import study as measured_study

pytestmark = pytest.mark.slow  # real databases and servers; seconds in all

# Of workers there are few, all alive are wanted, and an index would be written with each heartbeat.
TABLES = "|".join(Base.metadata.tables.keys() - {"workers"})


@pytest.fixture
def plans(sqlite_database):
    """A function: the plan of every statement that a piece of work runs."""

    def plans_of(work):
        statements = []

        def note(connection, cursor, statement, parameters, context, many):
            if not statement.startswith(("BEGIN", "INSERT", "PRAGMA")):
                statements.append((statement, parameters))

        event.listen(sqlite_database.engine, "before_cursor_execute", note)
        try:
            work()
        finally:
            event.remove(sqlite_database.engine, "before_cursor_execute", note)
        with sqlite_database.read() as session:
            connection = session.connection()
            return [
                row.detail
                for statement, parameters in statements
                for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            ]

    return plans_of


QUESTIONS = {
    "newest jobs": lambda db, job: list_jobs(db),
    "jobs by state": lambda db, job: list_jobs(db, state="running"),
    "jobs by kind": lambda db, job: list_jobs(db, kind="study"),
    "latest study": lambda db, job: latest_study(db),
    "progress": lambda db, job: progress(db, job),
    "items": lambda db, job: list(items(db, job)),
    "failed items": lambda db, job: list(items(db, job, state="failed")),
    "how much waits": lambda db, job: waiting(db, limit=32),
    "whose turn": lambda db, job: whose_turn(db),
    "top of a layer": lambda db, job: list(channels(db, study=job, layer=35, top=3)),
    "chosen": lambda db, job: list(channels(db, study=job, chosen=True)),
    "across studies": lambda db, job: list(channels(db, layer=35, channel=7)),
    "sweep": lambda db, job: sweep(db, Silence(0, 0), now=0),
    "claim": lambda db, job: claim_next(db, worker="w", lease_s=15, room=8),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_table_is_read_through(desk_on_sqlite, plans, question):
    desk = desk_on_sqlite
    job = desk.study(2, 1, chunk_size=1).id
    desk.run(job)
    desk.dream(2, chunk_size=1)
    found = plans(lambda: QUESTIONS[question](desk.database, job))
    assert found
    assert not [plan for plan in found if re.match(rf"SCAN ({TABLES})\b(?!.* USING)", plan)]


@pytest.mark.parametrize(
    ("question", "index"),
    [
        ("newest jobs", "ix_jobs_created_at_id"),
        ("jobs by state", "ix_jobs_state_created_at_id"),
        ("latest study", "ix_jobs_kind_created_at_id"),
        ("failed items", "ix_items_job_id_state_position"),
        ("top of a layer", "ix_channels_top"),
        ("across studies", "ix_channels_across"),
        ("sweep", "ix_chunks_state"),
        ("sweep", "ix_jobs_unsettled"),
        ("whose turn", "ix_jobs_round"),
        ("claim", "ix_jobs_turn"),
        ("claim", "ix_chunks_job_id_state_first_position"),
        ("claim", "ix_chunks_job_id_state_layer_first_position"),
        ("claim", "ix_jobs_batch"),
    ],
)
def test_an_index_is_made_for_it(desk_on_sqlite, plans, question, index):
    desk = desk_on_sqlite
    job = desk.study(2, 1).id
    desk.run(job)
    desk.dream(2, chunk_size=1)
    assert any(index in plan for plan in plans(lambda: QUESTIONS[question](desk.database, job)))


def test_what_renewing_changes_is_in_no_index(database):
    """Postgres would write an entry into every index of the table, each second, for each chunk."""
    columns = {
        column
        for index in inspect(database.engine).get_indexes("chunks")
        for column in index["column_names"]
    }
    assert "state" in columns
    assert columns.isdisjoint({"lease_until", "progress", "attempts"})


def test_renewing_reads_a_job_and_a_chunk_by_their_keys(desk_on_sqlite, plans):
    held = desk_on_sqlite.claim_next(desk_on_sqlite.dream(1).id)
    found = plans(lambda: renew_all(desk_on_sqlite.database, [held], lease_s=15))
    assert len(found) == 4  # the job; the chunk for its lock, its lease, and whether it stands
    assert all(re.match(r"SEARCH .*(\(id=|PRIMARY KEY)", plan) for plan in found)


def test_claiming_reads_no_items_but_the_chunks(desk_on_sqlite, plans):
    desk_on_sqlite.dream(2)
    found = plans(lambda: desk_on_sqlite.claims(room=8))
    of_items = [plan for plan in found if plan.startswith("SEARCH items") and "job_id" in plan]
    assert of_items
    assert all("position>? AND position<?" in plan for plan in of_items)


def test_what_was_chosen_is_found_without_reading_all_that_is_done(desk_on_sqlite, plans):
    job = desk_on_sqlite.study(2, 1, chunk_size=1).id
    while (held := desk_on_sqlite.claim_next(job)).stage != "choose":
        desk_on_sqlite.finish(held)
    desk_on_sqlite.finish(held)
    found = plans(desk_on_sqlite.claims)
    assert any("job_id=? AND state=? AND first_position=?" in plan for plan in found)


RECORDS = {
    "record": lambda db: channel_records(db, layer=LAYER, channel=CHANNEL),
    "contrast": lambda db: contrasts(db, ["kelpie"], ["skunk"], layers=[LAYER]),
    "export": lambda db: list(export_rows(db, layers=[LAYER])),
}


@pytest.mark.parametrize("question", RECORDS)
def test_strengths_by_class_are_searched_by_their_key(desk_on_sqlite, plans, question):
    """There are 10,000,000 of them, and SQLite would as soon read them through."""
    for size in (224, 448):
        classes = {"kelpie": [1.0, 2.0], "skunk": [0.0, 1.0]}
        measured_study(desk_on_sqlite, classes, size=size)
    found = plans(lambda: RECORDS[question](desk_on_sqlite.database))
    of_classes = [plan for plan in found if " channel_classes" in plan]
    assert of_classes
    by_key = r"SEARCH channel_classes USING PRIMARY KEY \(job_id=\? AND number=\?"
    assert all(re.match(by_key, plan) for plan in of_classes)
    assert not [plan for plan in found if re.match(r"SCAN channels\b", plan)]

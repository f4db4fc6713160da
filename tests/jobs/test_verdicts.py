"""A study's summary is read off its job, in step with its verdicts."""

import pytest
from alembic import command
from sqlalchemy import text, update

from beholder.jobs import control, schema
from beholder.jobs.models import Job
from beholder.jobs.queries import items
from beholder.jobs.verdicts import Summary, summary_of


@pytest.mark.slow
def test_the_summary_counts_both_verdicts_of_each_role(desk):
    job = desk.study(4, 3, chunk_size=2)
    assert summary_of(desk.database, job.id) == Summary()
    desk.run(job.id)
    assert summary_of(desk.database, job.id) == Summary(4, 3, 3, 2)  # 1 and 4 changed
    desk.check(job.id)


@pytest.mark.slow
def test_a_retry_counts_anew(desk):
    job = desk.study(4, 3, chunk_size=2)
    desk.run(job.id, failing=lambda position: position in (1, 3))
    assert summary_of(desk.database, job.id) == Summary(2, 2, 3, 2)
    control.retry(desk.database, job.id)
    assert summary_of(desk.database, job.id) == Summary()
    desk.run(job.id)
    assert summary_of(desk.database, job.id) == Summary(4, 3, 3, 2)


def test_items_of_one_role(desk):
    job = desk.study(3, 2)
    for role, positions in (("target", [0, 1, 2]), ("control", [3, 4]), (None, [0, 1, 2, 3, 4])):
        found = list(items(desk.database, job.id, role=role))
        assert [item.position for item in found] == positions


@pytest.mark.slow
def test_studies_from_before_get_their_summary(desk):
    job = desk.study(4, 3)
    desk.run(job.id)
    with desk.database.write() as session:
        session.execute(update(Job).values(targets_judged=0, controls_kept=0))
        connection = session.connection()
        if connection.dialect.name == "sqlite":
            session.execute(text("PRAGMA defer_foreign_keys = ON"))
        command.downgrade(schema._config(connection), "0004")
        command.upgrade(schema._config(connection), "head")
    assert summary_of(desk.database, job.id) == Summary(4, 3, 3, 2)

"""Many rows at a time, around the ORM: `in_batches`, `table_of`, `insert_pictures`, `UNSYNCED`."""

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from beholder.jobs.models import Picture

Rows = list[dict[str, Any]]
BATCH = 1_000  # rows handed to the database at a time
# For updates and deletes of rows that the session has not loaded, or loads anew.
UNSYNCED = {"synchronize_session": False}


def in_batches(rows: Iterable[dict[str, Any]], write: Callable[[Rows], object]) -> None:
    """Hand `rows` to `write`, a bounded number at a time."""
    batch: Rows = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            write(batch)
            batch = []
    if batch:
        write(batch)


def insert_pictures(session: Session, rows: Rows) -> None:
    """Note pictures, leaving those that are known as they are."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table_of(Picture)).on_conflict_do_nothing()
    session.execute(statement, rows)


def table_of(model: type[Any]) -> Table:
    """A model's table, for statements that go around the ORM because they are many."""
    table = model.__table__
    assert isinstance(table, Table)
    return table

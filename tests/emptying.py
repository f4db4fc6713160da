"""`empty(database)`: as it is after migrating."""

from functools import cache

from sqlalchemy import Table, delete

from beholder.jobs.database import Database
from beholder.jobs.models import Base


def empty(database: Database) -> None:
    """Remove every row: most go with the job that they are of."""
    with database.write() as session:
        for table in _roots():
            session.execute(delete(table))


@cache
def _roots() -> list[Table]:
    """Tables whose rows go with no other's; first those that take along what refers to the rest."""
    tables = Base.metadata.sorted_tables
    cascades = {
        table: [key for key in table.foreign_keys if key.ondelete == "CASCADE"] for table in tables
    }
    takers = {key.column.table for keys in cascades.values() for key in keys}
    return sorted(
        (table for table in tables if not cascades[table]), key=lambda one: one not in takers
    )

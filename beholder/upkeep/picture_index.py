"""An index of the items' pictures on Postgres, while pictures' rows are removed: `indexed`.

Postgres looks through all items for each picture that is deleted, to keep its foreign key, while
submissions wait. The index takes about as long to make as one such look.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from beholder.jobs.database import Database

_NAME = "ix_items_while_pictures_go"
_LOCK = 0x62656870  # any number that nothing else on the server locks
_PATIENCE_MS = 30_000  # for those whose transactions are in its way, such as a pg_dump


@contextmanager
def indexed(database: Database) -> Iterator[bool]:
    """Whether there is one, until the end.

    There is none without the right to make it, while others make theirs, nor beside a long
    transaction. What one that was killed has left goes with the next.
    """
    with database.engine.connect() as pooled:
        connection = pooled.execution_options(isolation_level="AUTOCOMMIT")
        connection.detach()  # with its settings and its lock it is nobody else's afterwards
        connection.execute(text(f"SET lock_timeout = {_PATIENCE_MS}"))
        alone = connection.scalar(text(f"SELECT pg_try_advisory_lock({_LOCK})"))
        try:
            yield bool(alone) and _made(connection)
        finally:
            if alone:
                _drop(connection)


def _made(connection: Connection) -> bool:
    _drop(connection)
    try:
        # Not in a transaction, so that nobody has to wait for it who writes items.
        connection.execute(text(f"CREATE INDEX CONCURRENTLY {_NAME} ON items (picture_sha256)"))
    except DBAPIError:
        return False
    return True


def _drop(connection: Connection) -> None:
    with suppress(DBAPIError):
        connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {_NAME}"))

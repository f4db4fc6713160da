"""The database's schema: `upgrade(url)` brings it up to date, `check(database)` insists that it is.

The migrations are in the `migrations` folder, installed beside the `beholder` package. Alembic runs
them; every command checks, so checking does without Alembic, whose import takes as long as it.
"""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

import beholder
from beholder.errors import DatabaseOutdated, ServiceUnavailable
from beholder.jobs.database import Database, parse_url

if TYPE_CHECKING:
    from alembic.config import Config

# Beside the package, in a checkout and in site-packages alike. Looking it up by import instead
# would also find a folder of that name in whatever directory the command runs.
MIGRATIONS = Path(beholder.__file__).parents[1] / "migrations"
_UPGRADE_LOCK = 0x6265686F  # any number that nothing else on the server locks
# A change waits for all who read its table, such as a pg_dump, and whoever comes after it waits
# with it. So it gives up soon, lets the others pass, and tries again.
_PATIENCE_MS = 3_000
_TRIES, _PAUSE_S = 5, 3.0
_LOCK_NOT_AVAILABLE = "55P03"


def upgrade(url: str) -> None:
    """Create the database's tables, or change them to this version's, in one transaction.

    Raises ServiceUnavailable, and has changed nothing, where others hold its tables for long.
    """
    _make_folder(url)
    _make_private(url)
    # SQLite changes a table by copying and dropping it, which would cascade to the rows below.
    database = Database.open(url, foreign_keys=False)
    try:
        for attempt in range(_TRIES):
            time.sleep(_PAUSE_S if attempt else 0)
            if _upgraded(database):
                return
        raise ServiceUnavailable(
            f"another transaction (a backup?) holds tables of the database {database}: run "
            "`beholder db upgrade` again when it has ended."
        )
    finally:
        database.dispose()


def _upgraded(database: Database) -> bool:
    """Whether it is up to date now; if not, others hold its tables."""
    from alembic import command

    with database.write() as session:
        connection = session.connection()
        _refuse_newer(connection)
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})"))
            connection.execute(text(f"SET LOCAL lock_timeout = {_PATIENCE_MS}"))
        try:
            command.upgrade(_config(connection), "head")
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            session.rollback()
            return False
    return True


def create_if_empty(url: str) -> None:
    """Create the tables where there are none yet; leave any other database as it is.

    Two processes may do so at the same time: the second finds the first one's tables.
    """
    _make_folder(url)
    _make_private(url)
    database = Database.open(url)
    try:
        with database.read() as session:
            empty = _current(session.connection()) is None
    finally:
        database.dispose()
    if empty:
        upgrade(url)


def check(database: Database) -> None:
    """Raise DatabaseOutdated, naming the way out, unless the schema is exactly this version's."""
    with database.read() as session:
        connection = session.connection()
        _refuse_newer(connection)
        current, head = _current(connection), head_revision()
    if current is None:
        raise DatabaseOutdated(f"the database {database} is empty: run `beholder db upgrade`.")
    if current != head:
        raise DatabaseOutdated(
            f"the database is at revision {current}, this version needs {head}: "
            "run `beholder db upgrade`."
        )


def check_url(url: str) -> None:
    """The same for the database at a URL."""
    database = Database.open(url)
    try:
        check(database)
    finally:
        database.dispose()


def head_revision() -> str:
    """The revision that this version of the code works with."""
    return _revisions()[-1]


def _refuse_newer(connection: Connection) -> None:
    current = _current(connection)
    if current is not None and current not in _revisions():
        raise DatabaseOutdated(
            f"the database was written by a newer Beholder (revision {current}, this version knows "
            f"{head_revision()}): install that version."
        )


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return None if found is None else str(found)


def _revisions() -> list[str]:
    """Every revision, oldest first: they count up, and their files' names begin with them."""
    return sorted(path.name[:4] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def _config(connection: Connection) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _make_private(url: str) -> None:
    """Make SQLite's file readable by its owner alone: it holds webhooks' secrets.

    Its journal gets the same mode. A file that is there keeps its own, and is not opened: to close
    it again would drop the locks that SQLite has on it for others in this process.
    """
    path = parse_url(url).database if url.startswith("sqlite") else None
    if path and path != ":memory:":
        with suppress(OSError):  # opening it says what is wrong
            # A link may lead to where nothing is yet.
            real = os.path.realpath(path)
            os.close(os.open(real, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _make_folder(url: str) -> None:
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:"):
        folder = Path(str(parsed.database)).parent
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ServiceUnavailable(
                f"the folder {folder} can't be made: {error.strerror}. Set BEHOLDER_HOME to "
                "one that can."
            ) from None

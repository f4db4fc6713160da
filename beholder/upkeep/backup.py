"""A copy of a SQLite database as of one moment, taken while others write: `back_up`."""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from beholder.errors import Conflict, InvalidInput, ServiceUnavailable, StorageFull
from beholder.jobs.database import parse_url

_PAGES = 4_096  # copied at a time


def back_up(url: str, target: Path) -> None:
    """Copy the database at `url` to a new file; whole, or not there at all.

    Raises InvalidInput for a database that is not SQLite, or where the folder is missing; Conflict
    where the file exists.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() != "sqlite":
        raise InvalidInput("this copies SQLite only: use `pg_dump --format=custom` for Postgres.")
    if target.exists():
        raise Conflict(f"{target} is there already: name a new file.")
    if not target.parent.is_dir():
        raise InvalidInput(f"no folder {target.parent}: make it first, or name another.")
    source, partial = Path(parsed.database or ""), target.with_name(f".{target.name}.partial")
    if not source.is_file():
        raise ServiceUnavailable(f"no database {source}: set BEHOLDER_HOME to where it is.")
    try:
        partial.unlink(missing_ok=True)
        with suppress(OSError):  # opening it says what is wrong
            partial.touch(mode=0o600)  # it holds webhooks' secrets
        _copy(source, partial)
        partial.replace(target)
    except sqlite3.Error as error:
        full = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL
        kind = StorageFull if full else ServiceUnavailable
        raise kind(f"the database can't be copied to {target}: {error}.") from None
    finally:
        partial.unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(target)) as copy:
        # Holding this moment: else a write by another process makes the copy begin anew.
        live.execute("BEGIN")
        live.execute("SELECT count(*) FROM sqlite_master").fetchone()
        live.backup(copy, pages=_PAGES)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it

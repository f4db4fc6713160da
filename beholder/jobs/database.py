"""The connection to the database: `Database.open(url)`, then `.read()` and `.write()`.

SQLite runs in WAL mode with foreign keys on, and its writers begin IMMEDIATE, so that reading
before writing never deadlocks. Errors come out as Beholder's own, without passwords.
"""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from beholder.errors import (
    BeholderError,
    DatabaseOutdated,
    InvalidInput,
    ServiceUnavailable,
    StorageFull,
)

BUSY_TIMEOUT_S = 30.0  # how long a SQLite writer waits for another
CONNECT_TIMEOUT_S = 10
# Of a host that has lost its power nobody says so: else a question to it would wait for hours.
_TIMEOUTS = {
    "connect_timeout": CONNECT_TIMEOUT_S,
    "keepalives": 1,
    "keepalives_idle": 10,  # seconds
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,  # milliseconds that what was sent may go unanswered
}
# The server likewise gives a lost client's locks up after that, not after hours; and those of one
# that has stopped in mid-transaction, whose host still answers for it.
_SERVER_TIMEOUTS = {
    "idle_in_transaction_session_timeout": "60s",
    "tcp_keepalives_idle": 10,
    "tcp_keepalives_interval": 5,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
# It guesses that the items of a chunk are a ninth of all, and would then start a process, or
# compile, for what it finds by an index in a tenth of the time. Nothing here asks for so much.
_SERVER_PLANS = {"max_parallel_workers_per_gather": 0, "jit": "off"}
_SNAPSHOT_IDLE = "1h"
_WRITES = "beholder_writes"  # execution option: this connection's transactions will write
_LASTS = "beholder_lasts"  # and this one: a power cut is to take none of them back
# Temporary, so that nobody else sees it, and too varied to be compressed.
_PROBE = """
CREATE TEMPORARY TABLE beholder_probe ON COMMIT DROP AS
SELECT md5(row::text) || md5((-row)::text) AS noise FROM generate_series(1, :rows) AS row
"""
_PROBE_ROW = 100  # bytes that one takes on the disk, about
_UPGRADE = "run `beholder db upgrade`."


class Database:
    """One database, safe to share between threads. Nothing is connected until it is used."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.writer = engine.execution_options(**{_WRITES: True})
        self._lasting = engine.execution_options(**{_WRITES: True, _LASTS: True})

    @classmethod
    def open(
        cls, url: str, *, foreign_keys: bool = True, busy_timeout_s: float = BUSY_TIMEOUT_S
    ) -> "Database":
        """The database at a SQLAlchemy URL: sqlite:///path or postgresql://user@host/name."""
        parsed = parse_url(url)
        if parsed.get_backend_name() == "sqlite":
            engine = create_engine(
                parsed, hide_parameters=True, connect_args={"timeout": busy_timeout_s}
            )
            _prepare_sqlite(engine, foreign_keys=foreign_keys)
        else:
            engine = create_engine(
                parsed,
                hide_parameters=True,  # else a traceback in a log would show webhooks' secrets
                pool_pre_ping=True,
                connect_args={
                    name: value for name, value in _TIMEOUTS.items() if name not in parsed.query
                },
            )
            _prepare_postgres(engine)
        return cls(engine)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session to read with: what it changes is forgotten."""
        with self._reported(), Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """A session that sees the database as it was at its first question, whatever follows.

        Its user may take time between questions, such as to write out what came.
        """
        engine, postgres = self.engine, self.engine.dialect.name == "postgresql"
        if postgres:
            engine = engine.execution_options(isolation_level="REPEATABLE READ")
        with self._reported(), Session(engine, expire_on_commit=False) as session:
            if postgres:
                idle = f"SET LOCAL idle_in_transaction_session_timeout = '{_SNAPSHOT_IDLE}'"
                session.execute(text(idle))
            yield session

    @contextmanager
    def write(self, *, lasting: bool = False) -> Iterator[Session]:
        """A session whose changes are committed at the end, all of them or, on an error, none.

        lasting: they and all before them outlive a power cut once committed, as on Postgres all
        do. SQLite would wait for the disk, some milliseconds each time, so that others do when the
        system writes them: the end of a chunk that was lost so is reached again.
        """
        engine = self._lasting if lasting else self.writer
        with self._reported(), Session(engine, expire_on_commit=False) as session:
            session.connection()  # takes SQLite's write lock before anything is read
            yield session
            session.commit()

    def probe(self, size: int) -> None:
        """Raise StorageFull unless some `size` bytes more have room; ServiceUnavailable if away."""
        insist_on_room(self.engine, size)
        if self.engine.dialect.name == "postgresql":
            with self.write() as session:
                # Where its disk is, only the server knows: have it write, and forget that again.
                session.execute(text(_PROBE), {"rows": max(1, size // _PROBE_ROW)})

    def dispose(self) -> None:
        """Drop the pooled connections."""
        self.engine.dispose()

    def __str__(self) -> str:
        return describe(self.engine.url)

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except PoolTimeout:
            raise ServiceUnavailable(f"the database {self} has no free connection.") from None
        except DBAPIError as error:
            translated = _translate(str(self), error)
            if translated is None:
                raise
            raise translated from None
        except OverflowError:  # SQLite counts to 2**63
            raise _too_large() from None


def insist_on_room(engine: Engine, size: int) -> None:
    """Raise StorageFull where an SQLite file's disk has less than `size` bytes free."""
    path = engine.url.database
    if engine.dialect.name == "sqlite" and path and path != ":memory:":
        with suppress(OSError):
            if shutil.disk_usage(Path(path).parent).free < size:
                raise _full(describe(engine.url))


def parse_url(url: str) -> URL:
    """A URL of a database that we know, with the driver we use. Raises InvalidInput."""
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError):
        backend = ""
    if backend == "sqlite":
        return parsed
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    raise InvalidInput(
        "BEHOLDER_DATABASE_URL is no database URL: write sqlite:///PATH or "
        "postgresql://USER:PASSWORD@HOST/NAME."
    )


def describe(url: URL) -> str:
    """The database for people: a path, or host and name. Never the password."""
    if url.get_backend_name() == "sqlite":
        return url.database or ":memory:"
    host = url.host or url.query.get("host") or "localhost"
    port = f":{url.port}" if url.port else ""
    return f"{host if isinstance(host, str) else host[0]}{port}/{url.database or ''}"


def _prepare_sqlite(engine: Engine, *, foreign_keys: bool) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")

    @event.listens_for(engine, "begin")
    def began(connection: Connection) -> None:
        options = connection.get_execution_options()
        if not options.get(_WRITES):
            connection.exec_driver_sql("BEGIN")
            return
        flush = "FULL" if options.get(_LASTS) else "NORMAL"
        driver = connection.connection.dbapi_connection
        assert driver is not None
        driver.execute(f"PRAGMA synchronous = {flush}")
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _prepare_postgres(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: Any, record: Any) -> None:
        settings = _SERVER_TIMEOUTS | _SERVER_PLANS
        calls = ", ".join(
            f"set_config('{name}', '{value}', false)" for name, value in settings.items()
        )
        connection.execute(f"SELECT {calls}")
        connection.commit()


def _translate(name: str, error: DBAPIError) -> BeholderError | None:
    """Our error for what went wrong outside the code; None for what is a mistake inside it."""
    if isinstance(error.orig, sqlite3.Error):
        return _from_sqlite(name, error.orig)
    return _from_postgres(name, error)


def _from_sqlite(name: str, error: sqlite3.Error) -> BeholderError | None:
    reason, code = str(error), getattr(error, "sqlite_errorcode", 0)
    if code == sqlite3.SQLITE_IOERR_SHMSIZE:  # what a full disk is to the index of the WAL
        return _full(name)
    match code & 0xFF:
        case sqlite3.SQLITE_FULL:
            return _full(name)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return ServiceUnavailable(
                f"the database {name} is locked by another program: try again when it is done."
            )
        case sqlite3.SQLITE_CANTOPEN:
            return ServiceUnavailable(
                f"the database {name} can't be opened: check the folder, or {_UPGRADE}"
            )
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return ServiceUnavailable(f"the database {name} can't be used: {reason}.")
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return ServiceUnavailable(
                f"the database {name} is damaged ({reason}): put a backup in its place, or move it "
                "away to start anew."
            )
    if reason.startswith(("no such table", "no such column")):
        return _outdated(name)
    return None


def _from_postgres(name: str, error: DBAPIError) -> BeholderError | None:
    code = getattr(error.orig, "sqlstate", None) or ""
    if code == "53100":  # disk_full
        return _full(name)
    if code in ("42P01", "42703"):  # undefined_table, undefined_column
        return _outdated(name)
    if code == "22003":  # numeric_value_out_of_range
        return _too_large()
    if code.startswith("40"):  # deadlock, serialization failure
        return ServiceUnavailable(f"the database {name} is busy: try again.")
    if not code and not error.connection_invalidated and "Operational" not in type(error).__name__:
        return None
    if code.startswith(("22", "23", "42")):  # bad data, broken constraint, bad SQL: our mistake
        return None
    lines = str(error.orig).strip().splitlines()
    reason = lines[-1].strip() if lines else "no answer"
    return ServiceUnavailable(f"the database {name} can't be used: {reason}")


def _full(name: str) -> StorageFull:
    return StorageFull(f"no room left for the database {name}: free some space.")


def _too_large() -> InvalidInput:
    return InvalidInput("a number is larger than any there is here: write a smaller one.")


def _outdated(name: str) -> DatabaseOutdated:
    return DatabaseOutdated(f"the database {name} lacks tables of this version: {_UPGRADE}")

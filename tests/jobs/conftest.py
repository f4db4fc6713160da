"""Databases to test on: SQLite, and a real Postgres from a wheel.

Each test that takes `database` or `desk` runs on both; those on Postgres are marked slow.
"""

import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from beholder.jobs.database import Database
from beholder.jobs.schema import upgrade
from tests.emptying import empty
from tests.jobs.desk import Desk

_NUMBERS = itertools.count()
SERVERS = ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)]


@pytest.fixture(scope="session")
def postgres(postgres_server: str) -> str:
    """The URL of a real Postgres with a migrated database `empty` to copy."""
    _in_postgres(postgres_server, "CREATE DATABASE empty")
    upgrade(_named(postgres_server, "empty"))
    return postgres_server


@pytest.fixture(scope="session")
def shared_sqlite(empty_database: Path) -> Iterator[Database]:
    """One SQLite database for all tests, since an engine compiles every statement anew."""
    opened = Database.open(f"sqlite:///{empty_database.with_name('shared.db')}")
    shutil.copy(empty_database, str(opened))
    yield opened
    opened.dispose()


@pytest.fixture(scope="session")
def shared_postgres(postgres: str) -> Iterator[Database]:
    """One Postgres database for all tests."""
    _in_postgres(postgres, "CREATE DATABASE shared TEMPLATE empty")
    opened = Database.open(_named(postgres, "shared"))
    yield opened
    opened.dispose()


@pytest.fixture
def sqlite_database(shared_sqlite: Database) -> Iterator[Database]:
    """An empty, migrated database, for what only SQLite does."""
    yield shared_sqlite
    empty(shared_sqlite)


@pytest.fixture
def postgres_database(shared_postgres: Database) -> Iterator[Database]:
    """The same, for what only Postgres does; for slow tests."""
    yield shared_postgres
    empty(shared_postgres)


@pytest.fixture(params=SERVERS)
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """An empty, migrated database."""
    opened = request.getfixturevalue(f"shared_{request.param}")
    yield opened
    empty(opened)


@pytest.fixture(params=SERVERS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a migrated database of the test's own."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("empty_database"), tmp_path / "test.db")
        yield f"sqlite:///{tmp_path / 'test.db'}"
    else:
        with _fresh_postgres(request.getfixturevalue("postgres"), "TEMPLATE empty") as fresh:
            yield fresh


@pytest.fixture(params=SERVERS)
def bare_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'folder' / 'bare.db'}"
    else:
        with _fresh_postgres(request.getfixturevalue("postgres"), "") as fresh:
            yield fresh


@pytest.fixture
def desk(database: Database) -> Desk:
    """A worker's and a submitter's hands on a fresh database."""
    return Desk(database)


@pytest.fixture
def desk_on_sqlite(sqlite_database: Database) -> Desk:
    """The same, on SQLite alone."""
    return Desk(sqlite_database)


@contextmanager
def _fresh_postgres(server: str, how: str) -> Iterator[str]:
    name = f"test_{next(_NUMBERS)}"
    _in_postgres(server, f"CREATE DATABASE {name} {how}")
    yield _named(server, name)
    _in_postgres(server, f"DROP DATABASE {name} WITH (FORCE)")


def _in_postgres(url: str, statement: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


def _named(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)

"""The migrations build what the models say, and a database that does not fit is refused."""

import re
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from beholder.errors import DatabaseOutdated, ServiceUnavailable
from beholder.jobs import schema
from beholder.jobs.database import Database
from beholder.jobs.models import Base


def test_migrations_and_models_agree(database):
    with database.engine.connect() as connection, warnings.catch_warnings():
        warnings.simplefilter("error")  # of indexes that could not be compared
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []


def test_every_index_of_the_models_is_there(database):
    found = inspect(database.engine)
    for table in Base.metadata.sorted_tables:
        names = {index["name"] for index in found.get_indexes(table.name)}
        assert names == {index.name for index in table.indexes}


def test_upgrade_builds_an_empty_database_and_leaves_a_current_one(bare_url):
    schema.upgrade(bare_url)
    schema.upgrade(bare_url)
    database = Database.open(bare_url)
    schema.check(database)
    assert "jobs" in inspect(database.engine).get_table_names()
    database.dispose()


def test_an_empty_database_names_the_command(bare_url, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(DatabaseOutdated, match="is empty: run `beholder db upgrade`"):
        schema.check(Database.open(bare_url))


def test_a_database_that_is_behind_names_both_revisions(database, monkeypatch):
    here = schema.head_revision()
    monkeypatch.setattr(schema, "head_revision", lambda: "9999")
    with pytest.raises(
        DatabaseOutdated,
        match=f"at revision {here}, this version needs 9999: run `beholder db upgrade`",
    ):
        schema.check(database)


def test_a_database_from_a_newer_version_is_left_alone(url):
    database = Database.open(url)
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = 'fedcba'"))
    for refuse in (lambda: schema.check(database), lambda: schema.upgrade(url)):
        with pytest.raises(DatabaseOutdated, match=r"newer Beholder.*install that version"):
            refuse()
    database.dispose()


@pytest.mark.slow
@pytest.mark.parametrize("bare_url", ["postgres"], indirect=True)
def test_an_upgrade_beside_a_long_transaction_stops_nobody_for_long(bare_url, monkeypatch):
    """Such as a pg_dump: whoever asks after a change that waits for it waits for both."""
    monkeypatch.setattr(schema, "_PATIENCE_MS", 200)
    monkeypatch.setattr(schema, "_PAUSE_S", 0.05)
    database = Database.open(bare_url)
    with database.write() as session:
        command.upgrade(schema._config(session.connection()), "0010")  # the next changes `jobs`
    jobs, waits = text("SELECT count(*) FROM jobs"), []
    with ThreadPoolExecutor(1) as other:
        with database.snapshot() as dump:
            dump.execute(jobs)
            upgrading = other.submit(schema.upgrade, bare_url)
            while not upgrading.done():
                began = time.monotonic()
                with database.write() as session:
                    session.execute(text("SET LOCAL lock_timeout = '20s'"))
                    session.execute(jobs)
                waits.append(time.monotonic() - began)
            with pytest.raises(ServiceUnavailable, match=r"\(a backup\?\).*again when it"):
                upgrading.result()
        with database.snapshot() as dump:
            dump.execute(jobs)
            upgrading = other.submit(schema.upgrade, bare_url)
            time.sleep(0.5)  # for more than one try
        upgrading.result(30)
    schema.check(database)
    database.dispose()
    assert 0.1 < max(waits) < 5  # behind the change, and then past it


def test_revisions_count_up():
    names = sorted(path.name for path in (schema.MIGRATIONS / "versions").glob("*.py"))
    assert [int(re.match(r"\d{4}", name)[0]) for name in names] == list(range(1, len(names) + 1))


def test_what_the_files_are_called_is_what_alembic_reads_in_them():
    scripts = ScriptDirectory(str(schema.MIGRATIONS))
    assert schema.head_revision() == scripts.get_current_head()


@pytest.mark.slow
def test_looking_whether_it_is_empty_leaves_this_process_its_locks(tmp_path):
    """A file that is opened and closed again loses them: whoever writes next and ends then takes
    itself for the last, and removes the journal that this process goes on reading.
    """
    url = f"sqlite:///{tmp_path / 'x.db'}"
    schema.create_if_empty(url)
    database = Database.open(url)
    script = (
        "import sqlite3, sys; other = sqlite3.connect(sys.argv[1]); "
        "other.execute('UPDATE alembic_version SET version_num = ?', sys.argv[2:]); "
        "other.commit(); other.close()"
    )

    def stored() -> str:
        with database.read() as session:
            return session.scalar(text("SELECT version_num FROM alembic_version"))

    assert stored() == schema.head_revision()
    schema.create_if_empty(url)
    for given in ("one", "two"):
        subprocess.run([sys.executable, "-c", script, str(tmp_path / "x.db"), given], check=True)
        assert stored() == given
    database.dispose()

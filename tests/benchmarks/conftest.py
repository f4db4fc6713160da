"""One thread, as in the science's tests: on busy cores torch's threads wait for one another."""

import os
from contextlib import nullcontext
from functools import partial

import pytest
import torch
from sqlalchemy import create_engine, make_url, text


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def a_database(postgres_server, tmp_path):
    """A server's empty database, as the benchmarks start one."""
    name = f"bench_{os.getpid()}_{tmp_path.name[-20:].lower()}"
    engine = create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    engine.dispose()
    url = make_url(postgres_server).set(database=name)
    return partial(nullcontext, url.render_as_string(hide_password=False))

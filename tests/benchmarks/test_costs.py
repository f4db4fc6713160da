"""What an item costs is counted where it happens: in the database, on the bucket, among bells."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from beholder.errors import ServiceUnavailable
from beholder.jobs.database import Database
from beholder.jobs.schema import upgrade
from beholder.settings import Settings
from beholder.store import Store
from benchmarks.costs import _connections, figures, reckoned
from benchmarks.databases import Server
from worker.pipeline import BEHIND
from worker.tidying import Tidier

KEPT = 5  # connections, by SQLAlchemy's pool


@pytest.mark.slow
def test_a_small_job_is_counted(a_database: Server) -> None:
    for package in ("moto", "s3fs"):
        pytest.importorskip(package)
    rows = {row.name: row for row in figures(items=16, server=a_database)}
    assert rows["store requests"].value == 2, "a start from noise and a dream are stored"
    assert rows["store requests"].detail == "2.00 put_object"
    assert 4 <= rows["rows written"].value <= 10
    assert rows["messages"].value == 2 / 16
    assert rows["statements to claim"].value == 8
    assert rows["statements to renew"].value == 4
    assert rows["statements of a heartbeat"].value == 3
    assert 0 < rows["statements of a sweep"].value <= 8
    assert 2 <= rows["database connections"].value <= KEPT


@pytest.mark.slow
def test_connections_of_a_worker_s_threads_stay_open_as_the_page_says(a_database: Server) -> None:
    """Whatever met in a small job: here all of them do, as they may."""
    threads = BEHIND + 5  # ends; and claims, what may pass, renewals, sweeps, tidying
    barrier = threading.Barrier(threads)
    with a_database() as url:
        database = Database.open(url)
        pool: Any = database.engine.pool

        def ask() -> int:
            with database.read() as session:
                session.execute(text("SELECT 1"))
                barrier.wait(10)
                return int(pool.checkedin() + pool.checkedout())

        with ThreadPoolExecutor(threads) as asking:
            most = max(one.result() for one in [asking.submit(ask) for _ in range(threads)])
        assert (most, pool.checkedin(), pool.checkedout()) == (threads, KEPT, 0)
        database.dispose()
    assert f"keeps {KEPT} database connections open: {threads} threads ask" in _page()


@pytest.mark.slow
def test_connections_are_not_counted_where_one_of_the_threads_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(tidier: Tidier) -> None:
        raise ServiceUnavailable("the database is away.")

    monkeypatch.setattr(Tidier, "step", failing)
    settings = Settings(home=tmp_path, device="cpu")
    upgrade(settings.database)
    database, store = Database.open(settings.database), Store.open(settings.store)
    try:
        with pytest.raises(ServiceUnavailable, match="is away"):
            _connections(database, store, settings, 1)
    finally:
        database.dispose()


def test_the_page_says_what_was_reckoned() -> None:
    """Whatever a busy machine counts, its arithmetic on the page's own counts is the page's."""
    costs = {
        "store requests": 2,
        "rows written": 5.1,
        "database": 2_800,
        "database connections": KEPT,
    }
    found = {row.name: row.value for row in reckoned(costs, kept=3, api=15)}
    page = _page()
    for said in (
        f"{found['reckoned: PUTs']:,.0f} PUTs a second",
        f"{found['reckoned: rows']:,.0f} rows written a second",
        f"{found['reckoned: PUTs in all'] / 1e9:.0f} billion PUTs",
        f"{found['reckoned: database in all']:.1f} TB",
        f"{found['reckoned: store in all']:.0f} TB",
        f"{found['reckoned: workers on 100 connections']:.0f} workers",
        f"carries {found['reckoned: workers on 400 connections']:.0f}",
    ):
        assert said in page, said


def _page() -> str:
    return " ".join((Path(__file__).parents[2] / "docs" / "scaling.md").read_text().split())

"""Connecting: pragmas, transactions, and what errors people see."""

import os
import shutil
import socket
import sqlite3
import threading
import time
from contextlib import suppress

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import IntegrityError

from beholder.errors import DatabaseOutdated, InvalidInput, ServiceUnavailable, StorageFull
from beholder.jobs.database import _SERVER_PLANS, _SERVER_TIMEOUTS, Database
from beholder.jobs.models import Picture


def _picture(sha256="a" * 64):
    return Picture(sha256=sha256, width=1, height=2, format="PNG", bytes=3)


def test_a_write_is_whole_or_nothing(database):
    def interrupted():
        with database.write() as session:
            session.add(_picture())
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    with database.read() as session:
        assert session.get(Picture, "a" * 64) is None
    with database.write() as session:
        session.add(_picture())
    with database.read() as session:
        assert session.get(Picture, "a" * 64).height == 2


def test_reading_changes_nothing(database):
    with database.read() as session:
        session.add(_picture())
        session.flush()
    with database.read() as session:
        assert session.get(Picture, "a" * 64) is None


def test_times_come_back_aware(database):
    with database.write() as session:
        session.add(_picture())
    with database.read() as session:
        assert session.get(Picture, "a" * 64).created_at.utcoffset().total_seconds() == 0


def test_sqlite_is_set_up_for_several_processes(tmp_path):
    database = Database.open(f"sqlite:///{tmp_path / 'x.db'}")
    with database.read() as session:
        pragmas = {
            name: session.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {
        "journal_mode": "wal", "synchronous": 1, "foreign_keys": 1, "busy_timeout": 30_000
    }  # fmt: skip


def test_writers_that_read_first_do_not_deadlock(sqlite_database):
    """Each reads a value and writes it plus one. A deferred BEGIN would fail here."""
    database = sqlite_database
    with database.write() as session:
        session.add(_picture())

    def work():
        for _ in range(10):
            with database.write() as session:
                session.get(Picture, "a" * 64).bytes += 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert session.get(Picture, "a" * 64).bytes == 43


def test_a_missing_server_is_one_line_without_the_password():
    database = Database.open("postgresql://anna:s3cret@127.0.0.1:1/beholder")
    with pytest.raises(ServiceUnavailable) as caught, database.read() as session:
        session.execute(text("SELECT 1"))
    assert "127.0.0.1:1/beholder" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def _forward(listening, path):
    """Connect one client with what listens at a unix socket."""
    client, _ = listening.accept()
    server = socket.socket(socket.AF_UNIX)
    server.connect(path)

    def copy(source, target):
        with suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    back = threading.Thread(target=copy, args=(server, client), daemon=True)
    back.start()
    copy(client, server)
    back.join(10)
    client.close()
    server.close()


@pytest.mark.slow
def test_a_host_that_is_gone_is_found_out_by_the_kernel(postgres_server):
    url = make_url(postgres_server)
    path = f"{url.query['host']}/.s.PGSQL.{url.port or 5432}"
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=_forward, args=(listening, path), daemon=True)
    thread.start()
    here = url.set(host="127.0.0.1", port=listening.getsockname()[1], query={})
    database = Database.open(f"{here.render_as_string(hide_password=False)}?keepalives_count=2")
    with database.read() as session:
        session.execute(text("SELECT 1"))
        number = session.connection().connection.dbapi_connection.fileno()
        with socket.socket(fileno=os.dup(number)) as ours:
            alive = ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            options = (
                socket.TCP_KEEPIDLE,
                socket.TCP_KEEPINTVL,
                socket.TCP_KEEPCNT,
                socket.TCP_USER_TIMEOUT,
            )
            values = [ours.getsockopt(socket.IPPROTO_TCP, option) for option in options]
    assert (alive, values) == (1, [10, 5, 2, 25_000])  # 2: what the URL says stays
    database.dispose()
    thread.join(10)
    listening.close()


@pytest.mark.slow
def test_who_stops_in_mid_transaction_keeps_nobody_waiting(postgres_database, monkeypatch):
    """As a worker that is paused from outside, whose host still answers."""
    name = "idle_in_transaction_session_timeout"
    monkeypatch.setitem(_SERVER_TIMEOUTS, name, "200ms")
    stopped = Database.open(postgres_database.engine.url.render_as_string(hide_password=False))
    with postgres_database.write() as session:
        session.add(_picture())

    def stop():
        with stopped.write() as session:
            session.get(Picture, "a" * 64, with_for_update=True)
            begun = time.monotonic()
            with postgres_database.write() as other:
                other.get(Picture, "a" * 64, with_for_update=True).height = 7
            assert time.monotonic() - begun < 10
            session.get(Picture, "a" * 64, populate_existing=True).height = 8

    with pytest.raises(ServiceUnavailable, match="idle-in-transaction"):
        stop()
    with stopped.snapshot() as session:
        session.get(Picture, "a" * 64)
        time.sleep(0.5)
        assert session.get(Picture, "a" * 64, populate_existing=True).height == 7
    with postgres_database.read() as session:
        assert session.scalar(text(f"SHOW {name}")) == "1min"
    stopped.dispose()


@pytest.mark.slow
def test_no_question_starts_processes_or_a_compiler(postgres_database):
    with postgres_database.read() as session:
        plans = [session.scalar(text(f"SHOW {name}")) for name in _SERVER_PLANS]
    assert plans == ["0", "off"]


def test_a_locked_database_says_so(tmp_path):
    path = tmp_path / "x.db"
    database = Database.open(f"sqlite:///{path}", busy_timeout_s=0.01)
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(ServiceUnavailable, match="locked"), database.write():
        pass
    other.close()


@pytest.mark.slow
def test_a_full_disk_says_so(empty_database, tmp_path):
    shutil.copy(empty_database, tmp_path / "x.db")
    database = Database.open(f"sqlite:///{tmp_path / 'x.db'}")

    def fill():
        with database.write() as session:
            session.execute(text("PRAGMA max_page_count = 1"))
            session.add_all(_picture(f"{number:064}") for number in range(2_000))

    with pytest.raises(StorageFull, match="no room left"):
        fill()


def test_a_missing_folder_says_so(tmp_path):
    database = Database.open(f"sqlite:///{tmp_path / 'no' / 'x.db'}")
    with pytest.raises(ServiceUnavailable, match="can't be opened"), database.read() as session:
        session.execute(text("SELECT 1"))


def test_something_else_in_the_file_says_so(tmp_path):
    (tmp_path / "x.db").write_bytes(b"not a database, but long enough to be taken for one" * 50)
    database = Database.open(f"sqlite:///{tmp_path / 'x.db'}")
    with pytest.raises(ServiceUnavailable, match="is damaged"), database.read() as session:
        session.execute(text("SELECT 1"))


def test_missing_tables_name_the_command(bare_url, tmp_path):
    (tmp_path / "folder").mkdir()
    database = Database.open(bare_url)
    with pytest.raises(DatabaseOutdated, match="beholder db upgrade"), database.read() as session:
        session.get(Picture, "a")


def test_our_own_mistakes_are_not_dressed_up(database):
    with pytest.raises(IntegrityError), database.write() as session:
        session.add(Picture(sha256="b" * 64, width=None, height=2, format="PNG", bytes=3))


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://x/y", "sqlite"])
def test_other_urls_are_refused(url):
    with pytest.raises(InvalidInput, match="BEHOLDER_DATABASE_URL"):
        Database.open(url)

"""Postgres has an index of the items' pictures while pictures go, and none before or after."""

import threading

import pytest
from sqlalchemy import text

from beholder.store import Store
from beholder.upkeep import picture_index
from beholder.upkeep.garbage import collect
from beholder.upkeep.picture_index import indexed
from beholder.upkeep.unused import UnusedPictures
from tests.emptying import empty
from tests.upkeep.conftest import Home

pytestmark = pytest.mark.slow
FOUND = text(
    "SELECT indisvalid FROM pg_index JOIN pg_class ON oid = indexrelid WHERE relname = :name"
)


@pytest.fixture
def home(postgres_home, tmp_path):
    yield Home(postgres_home, Store.open(str(tmp_path / "store")))
    empty(postgres_home)


def found(home):
    """Whether it is there and valid."""
    with home.db.read() as session:
        return session.scalar(FOUND, {"name": picture_index._NAME})


def gc_of_one(home, monkeypatch):
    """Collect a picture; whether there was an index meanwhile."""
    home.submit([0])
    home.store.put_picture(b"nobody's")
    home.age_pictures()
    seen, forget = [], UnusedPictures._forget

    def looked(*arguments):
        seen.append(found(home))
        return forget(*arguments)

    monkeypatch.setattr(UnusedPictures, "_forget", looked)
    assert len(list(collect(home.db, home.store, home.path(""), remove=True))) == 1
    assert found(home) is None
    return seen


def test_it_is_there_for_as_long_as_it_takes(home, monkeypatch):
    assert gc_of_one(home, monkeypatch) == [True]


def test_what_one_that_was_killed_has_left_goes_with_the_next(home, monkeypatch):
    with home.db.write() as session:
        session.execute(text(f"CREATE INDEX {picture_index._NAME} ON items (picture_sha256)"))
    assert gc_of_one(home, monkeypatch) == [True]


def test_beside_a_long_transaction_there_is_none(home, monkeypatch):
    monkeypatch.setattr(picture_index, "_PATIENCE_MS", 200)
    home.submit([1])
    with home.db.snapshot() as other:
        other.execute(text("SELECT count(*) FROM items"))
        with indexed(home.db) as there:
            assert not there
    with indexed(home.db):
        assert found(home)
    assert found(home) is None


def test_of_two_at_once_one_has_it_made(home):
    entered, leave = threading.Event(), threading.Event()

    def first():
        with indexed(home.db):
            entered.set()
            leave.wait(30)

    thread = threading.Thread(target=first)
    thread.start()
    assert entered.wait(30)
    with indexed(home.db) as there:
        assert not there
        assert found(home)
    assert found(home)
    leave.set()
    thread.join()
    assert found(home) is None

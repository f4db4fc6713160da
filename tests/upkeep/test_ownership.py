"""A store is looked after by its own database alone, whichever of the two was there first."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select

from beholder.errors import Conflict, StoreMissing
from beholder.jobs.control import delete as delete_job
from beholder.jobs.database import Database
from beholder.jobs.models import Picture
from beholder.jobs.schema import upgrade
from beholder.jobs.service_models import Identity
from beholder.store import checkpoint_path
from beholder.upkeep.checkpoints import Tidying
from beholder.upkeep.garbage import collect
from beholder.upkeep.ownership import MARK
from beholder.upkeep.verify import verify
from tests.upkeep.conftest import Home


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Database]:
    """Another database, which is empty."""
    url = f"sqlite:///{tmp_path / 'other.db'}"
    upgrade(url)
    opened = Database.open(url)
    yield opened
    opened.dispose()


def gc(database, home, *, remove=True):
    return list(collect(database, home.store, home.path(""), remove=remove))


def stored(home):
    root = home.path("")
    return {path.relative_to(root) for path in root.rglob("*") if path.is_file()}


def refused(database, home, words):
    before = stored(home)
    for remove in (False, True):
        with pytest.raises(Conflict, match=words) as error:
            gc(database, home, remove=remove)
        assert "set BEHOLDER_DATABASE_URL or BEHOLDER_HOME" in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(Conflict, match=words):
        Tidying(database, home.store).step()
    assert stored(home) == before
    first = next(verify(database, home.store))
    assert first.kind == "store"
    assert words in first.line()


def test_a_store_without_a_mark_whose_jobs_it_does_not_know(home, other):
    home.done([0])
    home.age_pictures()
    refused(other, home, "which knows 0 of 1 jobs in it")
    assert gc(home.db, home) == []


def test_a_store_without_a_mark_whose_pictures_it_does_not_know(home, other):
    home.submit([0])
    home.age_pictures()
    refused(other, home, "which knows 0 of 1 pictures in it")
    assert gc(home.db, home) == []


def test_a_store_without_a_mark_most_of_whose_jobs_it_does_not_know(home, other):
    """It was used by mistake, and has a job there too."""
    home.done([0])
    home.done([1])
    Home(other, home.store).done([2])
    refused(other, home, "which knows 1 of 3 jobs in it")
    assert {one.kind for one in gc(home.db, home)} == {"results"}, "the stranger's"


def test_a_store_that_is_marked_whatever_is_in_it(home, other):
    gc(home.db, home)
    refused(other, home, "belongs to another database")
    Home(other, home.store).done([1])
    with other.write() as session:
        session.add(Identity(id=1, name="another"))
    refused(other, home, "belongs to another database")
    assert {one.kind for one in gc(home.db, home)} == {"results"}, "the stranger's"


def test_first_use_marks_it_and_a_dry_run_does_not(home):
    job_id = home.done([0])
    gc(home.db, home, remove=False)
    assert not home.store.exists(MARK)
    Tidying(home.db, home.store).step()
    mark = home.store.get(MARK)
    delete_job(home.db, job_id)
    assert {one.kind for one in gc(home.db, home)} == {"results"}, "though it knows no job there"
    assert home.store.get(MARK) == mark
    assert home.verify() == []


def test_what_is_in_the_place_of_a_missing_store_is_not_marked(home):
    home.done([0])
    Tidying(home.db, home.store).step()
    root, away = home.path("."), home.path(".").with_name("away")
    root.rename(away)
    for empty in (False, True):
        if empty:
            root.mkdir()  # as where nothing is mounted
        for act in (Tidying(home.db, home.store).step, lambda: gc(home.db, home)):
            with pytest.raises(StoreMissing) as error:
                act()
            assert "\n" not in str(error.value)
    root.rmdir()
    away.rename(root)
    assert gc(home.db, home) == []


def test_a_lost_mark_is_written_again_by_gc_alone(home):
    home.done([0])
    Tidying(home.db, home.store).step()
    home.store.remove(MARK)
    with pytest.raises(StoreMissing, match="`beholder gc --yes` writes it"):
        Tidying(home.db, home.store).step()
    assert gc(home.db, home) == []
    Tidying(home.db, home.store).step()


def test_a_store_from_which_nothing_is_missing_is_made_anew_by_gc_alone(home):
    job_id = home.submit([], noise=1)
    Tidying(home.db, home.store).step()
    home.store.remove_folder(".")
    with pytest.raises(StoreMissing, match="if nothing was in it, `beholder gc --yes` makes it"):
        Tidying(home.db, home.store).step()
    assert gc(home.db, home) == []
    Tidying(home.db, home.store).step()
    home.run(job_id)
    home.store.remove_folder(".")
    with pytest.raises(StoreMissing):
        gc(home.db, home)


def test_checkpoints_of_another_database_stay(home, other):
    path = checkpoint_path(home.submit([0]), 0)
    home.store.put(path, b"kept")
    Tidying(home.db, home.store).step()
    with other.write() as session:
        session.add(Identity(id=1, name="another"))
    with pytest.raises(Conflict):
        Tidying(other, home.store).step()
    assert home.store.exists(path)


def test_a_backup_from_before_there_were_marks_takes_the_store_over(home):
    home.done([0])
    gc(home.db, home)
    with home.db.read() as session:
        name = session.scalar(select(Identity.name))
    home.set(delete(Identity))
    assert gc(home.db, home) == []
    with home.db.read() as session:
        assert session.scalar(select(Identity.name)) == name
        assert session.scalar(select(func.count()).select_from(Picture)) == 1

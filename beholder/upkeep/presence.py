"""Whether a store is there as a whole: `insist_on_there`, asked where a file of it is not found.

A database that was restored without its store, or a disk that is not mounted, would otherwise fail
item after item for want of its picture.
"""

from sqlalchemy import select

from beholder.errors import StoreMissing
from beholder.jobs.database import Database
from beholder.jobs.models import Picture
from beholder.store import Store
from beholder.upkeep.ownership import MARK, acquaintance, mark_of, name_of


def insist_on_there(database: Database, store: Store) -> None:
    """Raise StoreMissing where the store's folder, or its mark, is not there but has been.

    It has been if the database knows of pictures; its mark, if the database has a name for it.
    """
    if (lacking := _lacking(database, store)) and _has_pictures(database):
        raise StoreMissing(f"the store {store} {lacking}.")


def insist_on_some(database: Database, store: Store) -> None:
    """The same, but something that the database knows does for a mark."""
    try:
        insist_on_there(database, store)
    except StoreMissing:
        _, known, _ = acquaintance(database, store)
        if not known:
            raise


def _lacking(database: Database, store: Store) -> str | None:
    root = store.local_path(".")
    if root is not None and not root.is_dir():
        return "is not there: mount or restore it, or submit its pictures again"
    if name_of(database) is None or mark_of(store) is not None:
        return None
    again = "`beholder gc --yes` writes it once something of this database's is there"
    return f"has no file {MARK!r}: mount or restore it; {again}"


def _has_pictures(database: Database) -> bool:
    with database.read() as session:
        return session.scalar(select(Picture.sha256).limit(1)) is not None

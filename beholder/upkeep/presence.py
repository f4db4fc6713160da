"""Whether a store is there as a whole: `insist_on_there`, asked where a file of it is not found.

`reading` asks it where a file can't be read.

A database that was restored without its store, or a disk that is not mounted, would otherwise fail
item after item for want of its picture.
"""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import select

from beholder.errors import FileUnusable, ServiceUnavailable, StoreMissing
from beholder.jobs.database import Database
from beholder.jobs.models import Picture
from beholder.store import Store
from beholder.upkeep.ownership import MARK, acquaintance, mark_of, name_of

Read = TypeVar("Read")


def insist_on_there(database: Database, store: Store) -> None:
    """Raise StoreMissing where the store's folder, or its mark, is not there but has been.

    It has been if the database knows of pictures; its mark, if the database has a name for it.
    Raises ServiceUnavailable where it does not answer.
    """
    if (lacking := _lacking(database, store)) and _has_pictures(database):
        raise StoreMissing(f"the store {store} {lacking}.")


def reading(insist: Callable[[], object], path: str, read: Callable[[], Read]) -> Read:
    """What `read` reads of the store's file at `path`.

    insist: as `insist_on_there`. Raises what that raises, or else FileUnusable: the store answers,
    and whoever waited for this one file would wait for ever. NotFound as `read` does.
    """
    try:
        return read()
    except ServiceUnavailable:
        insist()
    try:  # once more: what a store fails at for a moment is no fault of the file
        return read()
    except ServiceUnavailable as error:
        insist()
        raise FileUnusable(
            f"{path} can't be read, though its store answers ({error}): see to its rights and its "
            "disk."
        ) from None


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
    if mark_of(store) is not None or name_of(database) is None:
        return None
    again = "`beholder gc --yes` writes it once something of this database's is there"
    return f"has no file {MARK!r}: mount or restore it; {again}"


def _has_pictures(database: Database) -> bool:
    with database.read() as session:
        return session.scalar(select(Picture.sha256).limit(1)) is not None

"""Whether a store is there as a whole: `insist_on_there`, asked where a file of it is not found.

`of_one_file` asks it where a file can't be used.

A database that was restored without its store, or a disk that is not mounted, would otherwise fail
item after item for want of its picture. What a worker writes asks with each file (`worker.place`).
"""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import select

from beholder.errors import FileUnusable, ServiceUnavailable, StoreMissing
from beholder.jobs.database import Database
from beholder.jobs.models import Chunk, File, Picture
from beholder.store import Store
from beholder.upkeep.ownership import MARK, acquaintance, mark_of, name_of

Got = TypeVar("Got")


def insist_on_there(database: Database, store: Store) -> None:
    """Raise StoreMissing where the store's folder, or its mark, is not there but has been.

    Both have been if the database has a name for the mark; the folder, if it knows of pictures.
    Raises ServiceUnavailable where it does not answer.
    """
    named = name_of(database) is not None
    if (lacking := _lacking(store, named)) and (named or _has_pictures(database)):
        raise StoreMissing(f"the store {store} {lacking}.")


def of_one_file(
    insist: Callable[[], object], path: str, act: Callable[[], Got], *, done: str = "read"
) -> Got:
    """What `act` does with the store's file at `path`, which is to be `done` with it.

    insist: as `insist_on_there`. Raises what that raises, or else FileUnusable: the store answers,
    and whoever waited for this one file would wait for ever. All other errors are those of `act`.
    """
    try:
        return act()
    except ServiceUnavailable:
        insist()
    try:  # once more: what a store fails at for a moment is no fault of the file
        return act()
    except ServiceUnavailable as error:
        insist()
        raise FileUnusable(
            f"{path} can't be {done}, though its store answers ({error}): see to its rights and "
            "its disk."
        ) from None


def insist_on_some(database: Database, store: Store) -> None:
    """The same, but something that the database knows does for a mark, and nothing for nothing."""
    try:
        insist_on_there(database, store)
    except StoreMissing:
        _, known, _ = acquaintance(database, store)
        if not known and _has_anything(database):
            raise


def _lacking(store: Store, named: bool) -> str | None:
    root = store.local_path(".")
    if root is not None and not root.is_dir():
        return (
            "is not there: mount or restore it, or submit its pictures again; if nothing was in "
            "it, `beholder gc --yes` makes it anew"
        )
    if mark_of(store) is not None or not named:
        return None
    again = "`beholder gc --yes` writes it once something of this database's is there"
    return f"has no file {MARK!r}: mount or restore it; {again}"


def _has_anything(database: Database) -> bool:
    """Whether anything of this database's was ever put into a store."""
    results = select(File.item_id), select(Chunk.id).where(Chunk.partial.is_not(None))
    with database.read() as session:
        found = [session.scalar(statement.limit(1)) for statement in results]
    return _has_pictures(database) or found != [None, None]


def _has_pictures(database: Database) -> bool:
    with database.read() as session:
        return session.scalar(select(Picture.sha256).limit(1)) is not None

"""Which database a store belongs to: `insist_on_own` refuses one of which `stranger` knows why.

To another database every result is nobody's, and would be removed. So a store names its database
in a file, and a database has a name of its own. Where either has none yet, the store is taken for
its own if it knows most of the jobs whose results are there.
"""

import secrets
from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import InstrumentedAttribute

from beholder.errors import Conflict, NotFound
from beholder.jobs.database import Database
from beholder.jobs.incoming import lock_submissions
from beholder.jobs.models import Job, Picture
from beholder.jobs.service_models import Identity
from beholder.store import FOLDERS, Store

MARK = "database"  # no hidden name: it goes with a copy of the store
OWN = (
    "set BEHOLDER_DATABASE_URL or BEHOLDER_HOME to the store's own database, or BEHOLDER_STORE_URL "
    "to this database's store."
)
_TOGETHER = 500
_ENOUGH = 500  # pictures to judge by


def insist_on_own(database: Database, store: Store, *, record: bool) -> None:
    """Raise Conflict unless the store is this database's. record: note it, where it is not yet."""
    if against := stranger(database, store):
        raise Conflict(f"the store {store} {against}: {OWN}")
    if record:
        _record(database, store)


def stranger(database: Database, store: Store) -> str | None:
    """What speaks against the store being this database's, in words; None where nothing does."""
    mark, name = mark_of(store), name_of(database)
    another = f"belongs to another database than {database}"
    if mark and name:
        return None if mark == name else another
    what, known, found = acquaintance(database, store)
    if mark and not known:
        return another
    if 2 * known < found:
        return f"is not that of {database}, which knows {known:,} of {found:,} {what} in it"
    return None


def acquaintance(database: Database, store: Store) -> tuple[str, int, int]:
    """What to judge by, how many of them the database knows, and how many there are."""
    jobs = [one.name for one in store.list("results") if one.is_folder]
    if jobs:
        return "jobs", _known(database, Job.id, jobs), len(jobs)
    pictures = _pictures(store)
    return "pictures", _known(database, Picture.sha256, pictures), len(pictures)


def _known(database: Database, key: InstrumentedAttribute[str], names: Sequence[str]) -> int:
    known = 0
    with database.read() as session:
        for start in range(0, len(names), _TOGETHER):
            some = select(func.count()).where(key.in_(names[start : start + _TOGETHER]))
            known += session.scalar(some) or 0
    return known


def _pictures(store: Store) -> list[str]:
    """Some of its pictures."""
    found: list[str] = []
    for folder in FOLDERS:
        found += [one.name for one in store.list(f"pictures/{folder}") if one.name[0] != "."]
        if len(found) >= _ENOUGH:
            break
    return found


def _record(database: Database, store: Store) -> None:
    mark, name = mark_of(store), name_of(database)
    if name is None:
        with database.write() as session:
            lock_submissions(session)  # others may do the same
            name = session.scalar(select(Identity.name))
            if name is None:
                name = mark or secrets.token_hex(16)
                if mark is None:  # first: a store without its mark is taken for another's place
                    store.put(MARK, name.encode())
                session.add(Identity(id=1, name=name))
                return
    if mark is None:
        store.put(MARK, name.encode())


def mark_of(store: Store) -> str | None:
    """The name of the database that a store says it belongs to; None where it says none."""
    try:
        return store.get(MARK).decode(errors="replace").strip()
    except NotFound:
        return None


def name_of(database: Database) -> str | None:
    """A database's own name; None before a store was noted as its own."""
    with database.read() as session:
        return session.scalar(select(Identity.name))

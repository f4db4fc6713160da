"""The pictures that the database knows, whichever job or upload brought them.

`record_pictures`, `known_pictures`, and `use_pictures` for those that a job is to name.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from sqlalchemy import func, select, update

from beholder.jobs.bulk import in_batches, insert_pictures
from beholder.jobs.database import Database
from beholder.jobs.incoming import lock_submissions
from beholder.jobs.models import Picture, utc_now
from beholder.jobs.spool import StoredPicture
from beholder.jobs.views import columns_of

_PAGE = 500
_FRESH = timedelta(hours=1)  # what was asked for since then need not be noted again
last_used = func.coalesce(Picture.used_at, Picture.created_at)
_COLUMNS = [getattr(Picture, name) for name in columns_of(StoredPicture)]


def record_pictures(database: Database, pictures: Iterable[StoredPicture]) -> None:
    """Note pictures that are in the store now; of those known already, that they were asked for."""
    rows = [vars(picture) for picture in pictures]
    with database.write() as session:
        lock_submissions(session)
        in_batches(rows, lambda batch: insert_pictures(session, batch))
    use_pictures(database, [row["sha256"] for row in rows])


def known_pictures(database: Database, hashes: Sequence[str]) -> dict[str, StoredPicture]:
    """What is known of these pictures, by hash; those that are not known are left out."""
    found: dict[str, StoredPicture] = {}
    with database.read() as session:
        for start in range(0, len(hashes), _PAGE):
            some = select(*_COLUMNS).where(Picture.sha256.in_(hashes[start : start + _PAGE]))
            found |= {row.sha256: StoredPicture(*row) for row in session.execute(some)}
    return found


def use_pictures(database: Database, hashes: Sequence[str]) -> dict[str, StoredPicture]:
    """What is known of these pictures, for somebody about to name them in a job.

    That they were asked for keeps them, with their files, for another day: see `upkeep.pictures`.
    """
    known = known_pictures(database, hashes)
    gone: set[str] = set()
    asked = list(known)
    for start in range(0, len(asked), _PAGE):
        gone |= _renew(database, asked[start : start + _PAGE])
    return {sha256: picture for sha256, picture in known.items() if sha256 not in gone}


def _renew(database: Database, hashes: Sequence[str]) -> set[str]:
    """Note that these are asked for; those that have been removed meanwhile."""
    now = utc_now()
    old = select(Picture.sha256).where(Picture.sha256.in_(hashes), last_used < now - _FRESH)
    with database.read() as session:
        ageing = set(session.scalars(old))
    if not ageing:
        return set()
    used = update(Picture).where(Picture.sha256.in_(ageing)).values(used_at=now)
    with database.write() as session:
        lock_submissions(session)  # in one order with others that ask for the same
        return ageing - set(session.scalars(used.returning(Picture.sha256)))

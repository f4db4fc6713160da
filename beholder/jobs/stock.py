"""The pictures that the database knows, whichever job or upload brought them."""

from collections.abc import Iterable, Sequence

from sqlalchemy import select

from beholder.jobs.bulk import in_batches, insert_pictures
from beholder.jobs.database import Database
from beholder.jobs.models import Picture
from beholder.jobs.spool import StoredPicture
from beholder.jobs.views import columns_of

_PAGE = 500
_COLUMNS = [getattr(Picture, name) for name in columns_of(StoredPicture)]


def record_pictures(database: Database, pictures: Iterable[StoredPicture]) -> None:
    """Note pictures that are in the store now; those known already stay as they are."""
    rows = [vars(picture) for picture in pictures]
    with database.write() as session:
        in_batches(rows, lambda batch: insert_pictures(session, batch))


def known_pictures(database: Database, hashes: Sequence[str]) -> dict[str, StoredPicture]:
    """What is known of these pictures, by hash; those that are not known are left out."""
    found: dict[str, StoredPicture] = {}
    with database.read() as session:
        for start in range(0, len(hashes), _PAGE):
            some = select(*_COLUMNS).where(Picture.sha256.in_(hashes[start : start + _PAGE]))
            found |= {row.sha256: StoredPicture(*row) for row in session.execute(some)}
    return found

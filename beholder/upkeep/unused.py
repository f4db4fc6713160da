"""Pictures that no item has and no job names: `UnusedPictures`, known from one pass over the items.

An index of the items' pictures would answer at once, but cost submissions a third of their speed.
Postgres has one while rows are removed (`beholder.upkeep.picture_index`).
"""

import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import delete, select

from beholder.jobs.database import Database
from beholder.jobs.incoming import lock_submissions
from beholder.jobs.models import Item, Picture
from beholder.jobs.named import named_by_jobs
from beholder.jobs.stock import last_used
from beholder.temporary import temporary_room
from beholder.upkeep.picture_index import indexed
from beholder.upkeep.pictures import in_folder

_PAGE = 10_000
_FORGOTTEN = 500  # rows in a transaction
_FORGOTTEN_SLOWLY = 20  # where all items are looked through for each


class UnusedPictures:
    """Which pictures nothing named when it was opened. before: seconds since the epoch.

    The items' hashes are in a temporary file, so that memory stays constant. Raises StorageFull.
    """

    def __init__(self, database: Database, before: float) -> None:
        self._database = database
        self._before = datetime.fromtimestamp(before, UTC)
        self._last: tuple[int, str] | None = None
        self._index = ExitStack()
        self._indexed: bool | None = None  # not known before it is needed

    def __enter__(self) -> Self:
        with temporary_room():
            self._note_used()
        # Deleting a row makes SQLite look through the items too, unless it is told not to.
        self._sqlite = self._database.engine.dialect.name == "sqlite"
        self._writer = self._database
        if self._sqlite:
            url = self._database.engine.url.render_as_string(hide_password=False)
            self._writer = Database.open(url, foreign_keys=False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._index.close()
        if self._sqlite:
            self._writer.dispose()
        self._used.close()
        self._folder.cleanup()

    def _note_used(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="beholder-")
        self._used = sqlite3.connect(Path(self._folder.name) / "used.db", isolation_level=None)
        self._used.execute("PRAGMA synchronous = OFF")
        self._used.execute("CREATE TABLE used (sha256 TEXT PRIMARY KEY) WITHOUT ROWID")
        self._last = self._latest()
        for page in self._items():
            self._used.execute("BEGIN")
            self._used.executemany("INSERT OR IGNORE INTO used VALUES (?)", page)
            self._used.execute("COMMIT")
        with self._database.read() as session:
            named = [(sha256,) for sha256 in named_by_jobs(session)]
        self._used.executemany("INSERT OR IGNORE INTO used VALUES (?)", named)

    def rows(self, folder: str) -> tuple[set[str], set[str]]:
        """The pictures whose hashes begin so: those unused and not asked for of late, and all.

        All that are known, or that an item has whose picture's row was lost.
        """
        statement = select(Picture.sha256, last_used < self._before).where(in_folder(folder))
        with self._database.read() as session:
            known = [(sha256, old) for sha256, old in session.execute(statement)]
        between = "SELECT sha256 FROM used WHERE sha256 BETWEEN ? AND ?"
        used = {row[0] for row in self._used.execute(between, (folder, folder + "g"))}
        unused = {sha256 for sha256, old in known if old and sha256 not in used}
        return unused, used | {sha256 for sha256, _ in known}

    def forget(self, hashes: Sequence[str]) -> Iterator[str]:
        """Remove the rows of those that are still unused; of which there is none any more."""
        if hashes and self._indexed is None:
            index = indexed(self._database)
            self._indexed = self._sqlite or self._index.enter_context(index)
        size = _FORGOTTEN if self._indexed else _FORGOTTEN_SLOWLY
        for start in range(0, len(hashes), size):
            yield from self._forget(hashes[start : start + size])

    def _forget(self, hashes: Sequence[str]) -> list[str]:
        with self._writer.write(lasting=True) as session:  # before their files go
            lock_submissions(session)
            since = select(Item.picture_sha256).where(Item.picture_sha256.in_(hashes))
            if self._last is not None:
                number, job_id = self._last
                # Numbers above it are new as long as it is there: SQLite may give them again else.
                still = select(Item.id).where(Item.id == number, Item.job_id == job_id)
                if session.scalar(still) is None:
                    return []  # for the next time
                since = since.where(Item.id > number)
            used = {*session.scalars(since), *named_by_jobs(session, hashes)}
            unused = [sha256 for sha256 in hashes if sha256 not in used]
            old = Picture.sha256.in_(unused), last_used < self._before
            session.execute(delete(Picture).where(*old))
            left = set(session.scalars(select(Picture.sha256).where(Picture.sha256.in_(unused))))
            return [sha256 for sha256 in unused if sha256 not in left]

    def _latest(self) -> tuple[int, str] | None:
        """The number and the job of the item that was written last, while nobody writes any."""
        with self._database.write() as session:
            lock_submissions(session)
            latest = select(Item.id, Item.job_id).order_by(Item.id.desc()).limit(1)
            row = session.execute(latest).first()
        return (row[0], row[1]) if row else None

    def _items(self) -> Iterator[list[tuple[str]]]:
        """The items' pictures up to the latest, page by page."""
        first, last = 0, self._last[0] if self._last else -1
        while first <= last:
            statement = select(Item.picture_sha256).where(
                Item.id.between(first, first + _PAGE - 1),
                Item.id <= last,
                Item.picture_sha256.is_not(None),
            )
            with self._database.read() as session:
                page = [(sha256,) for sha256 in session.scalars(statement) if sha256]
            yield page
            first += _PAGE

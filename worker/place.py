"""A store as a worker writes to it: `Place`, whose files go nowhere else when a disk comes off.

Where a disk was mounted there is then an empty folder, or none, which is easily made. What was
written there would be nowhere once the disk is back, though rows speak of it.
"""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

from beholder.errors import NotFound, ServiceUnavailable
from beholder.files import Parts
from beholder.jobs.database import Database
from beholder.store import Store
from beholder.upkeep.ownership import MARK, name_of
from beholder.upkeep.presence import insist_on_there, of_one_file

_ASK_S = 1.0  # whether the database has a name by now, which it gets once


class Place:
    """The files of a store. Methods raise StoreMissing where it is away, StorageFull as it does.

    On a local disk the store's mark is looked at each time, which costs microseconds. A bucket
    says itself that it is not there. Used by several threads.
    """

    def __init__(self, database: Database, store: Store) -> None:
        self._database = database
        self._store = store
        self._local = store.local_path(".") is not None
        self._marked = False
        self._asked_at = -_ASK_S

    def put(self, path: str, data: bytes | Parts) -> None:
        """Write a file. Where it is has to be flushed, once for all of a folder: `seal`.

        Raises FileUnusable where it can't be written, though others can.
        """
        self.insist()

        def put() -> None:
            self._store.put(path, data, anew=not self._marked)

        with self._there():
            of_one_file(self.insist_on_answer, path, put, done="written")

    def seal(self, folder: str) -> None:
        """Return once what was put into a folder is in the store for good, for rows to speak of."""
        with self._there():
            self._store.flush_names(folder)
        self.insist()

    def insist(self) -> None:
        """Raise StoreMissing where nothing may be written now. An unnamed database has no mark."""
        if self._local and self._is_marked() and not self._store.exists(MARK):
            insist_on_there(self._database, self._store)

    def insist_on_answer(self) -> None:
        """Raise what is wrong with the whole store, if anything is: it is tried, with a byte.

        What can be read need not be writable, and may come out of memory when a disk has died.
        """
        insist_on_there(self._database, self._store)
        self._store.probe(1, secrets.token_hex(6))

    def _is_marked(self) -> bool:
        if not self._marked and time.monotonic() - self._asked_at >= _ASK_S:
            self._asked_at = time.monotonic()
            self._marked = name_of(self._database) is not None
        return self._marked

    @contextmanager
    def _there(self) -> Iterator[None]:
        """What is lost between two steps is no fault of the job: it is done again."""
        try:
            yield
        except NotFound as error:
            insist_on_there(self._database, self._store)
            raise ServiceUnavailable(str(error)) from None

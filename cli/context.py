"""What a command works with, opened when first asked for: settings, database, store, queue."""

from functools import cached_property
from typing import TYPE_CHECKING

from beholder.errors import ServiceUnavailable

if TYPE_CHECKING:
    from beholder.jobs.database import Database
    from beholder.settings import Settings
    from beholder.store import Store
    from worker.queue import Queue


def make_home(settings: "Settings") -> None:
    """Make the data folder, for its owner alone. Raises ServiceUnavailable where it can't be."""
    try:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ServiceUnavailable(
            f"the data folder {settings.home} can't be made ({error.strerror}): set BEHOLDER_HOME "
            "to one that can."
        ) from None


class Context:
    """One command's connections."""

    @cached_property
    def settings(self) -> "Settings":
        """The settings, from the environment."""
        from beholder.settings import read_settings

        return read_settings()

    @cached_property
    def db(self) -> "Database":
        """The database, with the schema that this version needs.

        The embedded default's database is made when there is none; any other has to be there.
        """
        from beholder.jobs.database import Database
        from beholder.jobs.schema import check, create_if_empty

        if self.settings.database_url is None:
            make_home(self.settings)
            create_if_empty(self.settings.database)
        db = Database.open(self.settings.database)
        check(db)
        return db

    @cached_property
    def store(self) -> "Store":
        """The store of pictures and results."""
        from beholder.store import Store

        return Store.open(self.settings.store)

    @cached_property
    def queue(self) -> "Queue":
        """The queue that workers read."""
        from worker.app import make_app
        from worker.queue import Queue

        return Queue(make_app(self.settings.broker))

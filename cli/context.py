"""What a command works with, opened when first asked for: settings, and the desk where it asks.

Database, store and queue are this machine's; where a server is named they are not to be had.
"""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beholder.errors import InvalidInput, ServiceUnavailable

if TYPE_CHECKING:
    from beholder.jobs.database import Database
    from beholder.settings import Settings
    from beholder.store import Store
    from cli.desk import Desk
    from cli.desk.remote import RemoteDesk
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


_given: dict[str, Any] = {}  # settings named before the command, over the environment's


def give(**settings: str | Path | None) -> None:
    """What the options before the command say: settings that go before the environment."""
    _given.clear()
    _given.update({name: value for name, value in settings.items() if value is not None})


class Context:
    """One command's connections."""

    @cached_property
    def settings(self) -> "Settings":
        """The settings, from the environment."""
        from beholder.settings import read_settings

        return read_settings(**_given)

    @cached_property
    def desk(self) -> "Desk":
        """Where commands ask: at the server that is named, else on this machine."""
        if self.settings.server is None:
            from cli.desk.local import LocalDesk

            return LocalDesk(self)
        return self.remote_desk

    @cached_property
    def remote_desk(self) -> "RemoteDesk":
        """The server's. Raises InvalidInput for an address or a token that can't be used."""
        from cli.desk.address import read_token, server_address
        from cli.desk.remote import RemoteDesk
        from cli.desk.wire import Wire

        file = self.settings.token_file
        token = None if file is None else read_token(file)
        url = server_address(self.settings.server or "", has_token=token is not None)
        return RemoteDesk(Wire(url, token), self.settings.home)

    @property
    def own(self) -> "Settings":
        """The settings of a command that works on this machine's disk and processes.

        Raises InvalidInput where a server is named, which has its own.
        """
        if self.settings.server is not None:
            raise InvalidInput(
                "this command works on the disk of the machine that it runs on: run it on the "
                "server, or without --server (BEHOLDER_SERVER)."
            )
        return self.settings

    @cached_property
    def db(self) -> "Database":
        """The database, with the schema that this version needs.

        The embedded default's database is made when there is none; any other has to be there.
        """
        from beholder.jobs.database import Database
        from beholder.jobs.schema import check, create_if_empty

        if self.own.database_url is None:
            make_home(self.own)
            create_if_empty(self.own.database)
        db = Database.open(self.own.database)
        check(db)
        return db

    @cached_property
    def store(self) -> "Store":
        """The store of pictures and results."""
        from beholder.store import Store

        return Store.open(self.own.store)

    @cached_property
    def queue(self) -> "Queue":
        """The queue that workers read."""
        from worker.app import make_app
        from worker.queue import Queue

        return Queue(make_app(self.own.broker))

"""What a request works with: `Services`, opened once a process, and the dependency that hands it.

Write `services: Services = Depends(services)`, or `services(request)` where there is a request.
"""

from dataclasses import dataclass

from starlette.requests import HTTPConnection

from api.live import Live
from beholder.jobs.database import Database
from beholder.jobs.schema import check, create_if_empty
from beholder.settings import Settings
from beholder.store import Store
from worker.app import make_app
from worker.queue import Queue


@dataclass(frozen=True)
class Services:
    """One process's connections, shared by its requests."""

    settings: Settings
    db: Database
    store: Store
    queue: Queue
    live: Live

    @classmethod
    def open(cls, settings: Settings) -> "Services":
        """Open everything. Raises DatabaseOutdated or ServiceUnavailable with the way out.

        The embedded default's database is made when there is none; any other has to be there.
        """
        if settings.database_url is None:
            create_if_empty(settings.database)
        db = Database.open(settings.database)
        check(db)
        return cls(
            settings=settings,
            db=db,
            store=Store.open(settings.store),
            queue=Queue(make_app(settings.broker)),
            live=Live(db),
        )

    async def close(self) -> None:
        """Stop what runs in the background, and disconnect."""
        await self.live.close()
        self.db.dispose()


def services(request: HTTPConnection) -> Services:
    """This process's services, for a route."""
    found: Services = request.app.state.services
    return found

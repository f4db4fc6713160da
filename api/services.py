"""What a request works with: `Services`, opened once a process, and the dependency that hands it.

Write `services: Services = Depends(services)`, or `services(request)` where there is a request.
"""

from dataclasses import dataclass

from anyio import CapacityLimiter
from starlette.requests import HTTPConnection

from api.live import Live
from api.reports import Reports
from api.thumbnails import Thumbnails
from api.uploads import Uploads
from api.webhooks import Sender
from beholder.jobs.database import Database
from beholder.jobs.schema import check, create_if_empty
from beholder.settings import Settings
from beholder.store import Store
from worker.app import make_app
from worker.queue import Queue

FILMS_AT_ONCE = 1  # Pillow holds all frames of a WebP, of up to a gigabyte


@dataclass(frozen=True)
class Services:
    """One process's connections, shared by its requests.

    films: who makes one, each in a thread besides those of other requests.
    """

    settings: Settings
    db: Database
    store: Store
    queue: Queue
    live: Live
    sender: Sender
    thumbnails: Thumbnails
    reports: Reports
    films: CapacityLimiter
    uploads: Uploads

    @classmethod
    def open(cls, settings: Settings) -> "Services":
        """Open everything. Raises DatabaseOutdated or ServiceUnavailable with the way out.

        The embedded default's database is made when there is none; any other has to be there.
        """
        if settings.database_url is None:
            create_if_empty(settings.database)
        db = Database.open(settings.database)
        check(db)
        store = Store.open(settings.store)
        return cls(
            settings=settings,
            db=db,
            store=store,
            queue=Queue(make_app(settings.broker)),
            live=Live(db),
            sender=Sender(db, settings),
            thumbnails=Thumbnails(settings.max_pixels),
            reports=Reports(db, store, settings.max_pixels),
            films=CapacityLimiter(FILMS_AT_ONCE),
            uploads=Uploads(settings.home / "uploads", total_bytes=settings.upload_total_bytes),
        )

    async def close(self) -> None:
        """Stop what runs in the background, and disconnect."""
        await self.live.close()
        await self.sender.close()
        self.db.dispose()


def services(request: HTTPConnection) -> Services:
    """This process's services, for a route."""
    found: Services = request.app.state.services
    return found

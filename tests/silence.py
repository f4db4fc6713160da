"""`silent(database, name, seconds)`: a worker that has not been heard of for so long."""

from sqlalchemy import update

from beholder.jobs.clock import ago
from beholder.jobs.database import Database
from beholder.jobs.service_models import Worker


def silent(database: Database, name: str, seconds: float) -> None:
    """As if its last heartbeat were so old."""
    with database.write() as session:
        session.execute(update(Worker).where(Worker.name == name).values(seen_at=ago(seconds)))

"""The workers that are alive: each writes a heartbeat, `live_workers` reads them.

When, says the database's clock, here and where it is compared: those of the machines may differ.
A heartbeat's answer is what the worker was told meanwhile (`beholder.jobs.fleet`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import Session

from beholder.jobs.clock import ago
from beholder.jobs.database import Database
from beholder.jobs.service_models import Order, Worker
from beholder.jobs.views import View, columns_of

FORGOTTEN_AFTER_S = 3_600.0
_ALIVE_S = 30.0  # several heartbeats
IsDead = Callable[[str], bool]  # whether the worker of this name has surely ended


def willing() -> tuple[ColumnElement[bool], ...]:
    """Conditions on workers: heard of lately, and told neither to pause nor to drain."""
    return Worker.seen_at >= ago(_ALIVE_S), Worker.told.is_(None)


@dataclass(frozen=True)
class WorkerView(View):
    """A worker as of its last heartbeat; see `beholder.jobs.service_models.Worker`.

    seen_at: None in a heartbeat that is still to be written.
    """

    name: str
    host: str
    pid: int
    device: str
    started_at: datetime
    seen_at: datetime | None
    chunk_id: int | None
    chunks: int
    chunk_seconds: float
    gpu_bytes: int | None
    paused: str | None = None
    since: datetime | None = None
    items: int = 0
    rate: float | None = None
    told: Order | None = None


_COLUMNS = [getattr(Worker, name) for name in columns_of(WorkerView)]


def beat(database: Database, worker: WorkerView) -> Order | None:
    """Write a worker's heartbeat; what it is told.

    What the heartbeat says of that counts only where nothing was known of the worker.
    """
    values = {**vars(worker), "seen_at": ago(0)}
    told = values.pop("told")
    with database.write() as session:
        same = update(Worker).where(Worker.name == worker.name).values(values)
        row = session.execute(same.returning(Worker.told)).first()
        if row is None:
            session.add(Worker(**values, told=told))
    return told if row is None else row[0]


def forget(database: Database, names: Sequence[str]) -> None:
    """Workers of these names have ended."""
    if names:
        with database.write() as session:
            session.execute(delete(Worker).where(Worker.name.in_(names)))


def forget_silent(database: Database) -> None:
    """Forget workers that have not been heard of for long."""
    with database.write() as session:
        session.execute(delete(Worker).where(Worker.seen_at < ago(FORGOTTEN_AFTER_S)))


def live_workers(
    database: Database, *, within_s: float, is_dead: IsDead = lambda name: False
) -> list[WorkerView]:
    """Workers heard of in the last `within_s` seconds, by name, without those that `is_dead`."""
    with database.read() as session:
        return workers_heard_of(session, within_s, is_dead)


def workers_heard_of(session: Session, within_s: float, is_dead: IsDead) -> list[WorkerView]:
    """The same, in a session that is there."""
    statement = select(*_COLUMNS).where(Worker.seen_at >= ago(within_s)).order_by(Worker.name)
    heard_of = [WorkerView(*row) for row in session.execute(statement)]
    return [worker for worker in heard_of if not is_dead(worker.name)]

"""The workers as their operator sees them: `fleet` says who runs what, `tell` pauses or drains one.

What a worker is told stands in its row; it reads it with its next heartbeat, wherever it runs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Row, func, select, update
from sqlalchemy.orm import Session

from beholder.devices import DeviceClass, class_of
from beholder.errors import Conflict, InvalidInput, NotFound
from beholder.jobs.clock import ago
from beholder.jobs.database import Database
from beholder.jobs.models import Chunk
from beholder.jobs.pauses import has_paused
from beholder.jobs.service_models import Order, Worker
from beholder.jobs.views import View
from beholder.jobs.workers import IsDead

HEARD_OF_S = 60.0  # a list shows who fell silent a little longer than who counts as alive
State = Literal["idle", "running", "pausing", "paused", "draining"]
STATES: tuple[State, ...] = ("idle", "running", "pausing", "paused", "draining")


@dataclass(frozen=True)
class FleetView(View):
    """A worker. state: `pausing` and `draining` while it finishes what it has.

    job, chunk, since, progress (0 to 1): what it is at. in_hand: chunks that it holds in all.
    items: how many it has brought to their end, and rate, how many a second in the last minute.
    reason: why it pauses by itself, or leaves jobs to others, one to a line.
    """

    name: str
    host: str
    pid: int
    device: str
    device_class: DeviceClass
    state: State
    job: str | None
    chunk: int | None
    since: datetime | None
    progress: float | None
    in_hand: int
    items: int
    rate: float | None
    reason: str | None
    gpu_bytes: int | None
    started_at: datetime
    seen_at: datetime


def fleet(
    database: Database, *, within_s: float = HEARD_OF_S, is_dead: IsDead = lambda name: False
) -> list[FleetView]:
    """The workers heard of lately, by name, without those that have surely ended."""
    with database.read() as session:
        return [_view(row) for row in _rows(session, within_s) if not is_dead(row.Worker.name)]


def tell(
    database: Database,
    name: str,
    order: Order | None,
    *,
    within_s: float = HEARD_OF_S,
    is_dead: IsDead = lambda name: False,
) -> list[str]:
    """Tell a worker, or all on a host, to pause, to drain, or (None) to go on; their names.

    name: the worker's or the beginning of it, or the host's. Raises NotFound, InvalidInput if it
    could be several, and Conflict for one that drains: that can't be taken back.
    """
    with database.write() as session:
        workers = [row.Worker for row in _rows(session, within_s) if not is_dead(row.Worker.name)]
        meant = _meant(workers, name)
        if order != "drain" and (draining := [one.name for one in meant if one.told == "drain"]):
            raise Conflict(f"worker {draining[0]} drains, and ends: start another in its place.")
        names = [one.name for one in meant]
        session.execute(update(Worker).where(Worker.name.in_(names)).values(told=order))
    return names


def _meant(workers: Sequence[Worker], name: str) -> list[Worker]:
    if on_host := [one for one in workers if one.host == name]:
        return on_host
    found = [one for one in workers if one.name.startswith(name)] if name else []
    exact = [one for one in found if one.name == name]
    if not found:
        raise NotFound(
            f"no worker {name[:80]!r} was heard of lately: `beholder workers` lists them."
        )
    if len(found) > 1 and not exact:
        raise InvalidInput(f"{name!r} begins {len(found)} workers' names: write more of one.")
    return exact or found


def _rows(session: Session, within_s: float) -> Iterator[Row[Any]]:
    """Workers, each with its chunk, and how many chunks it holds."""
    held = (
        select(Chunk.worker, func.count().label("count"))
        .where(Chunk.state == "running")
        .group_by(Chunk.worker)
        .subquery()
    )
    statement = (
        select(Worker, Chunk.job_id, Chunk.progress, held.c.count.label("in_hand"))
        .outerjoin(Chunk, Chunk.id == Worker.chunk_id)
        .outerjoin(held, held.c.worker == Worker.name)
        .where(Worker.seen_at >= ago(within_s))
        .order_by(Worker.name)
    )
    yield from session.execute(statement)


def _view(row: Row[Any]) -> FleetView:
    worker: Worker = row.Worker
    in_hand = row.in_hand or 0
    return FleetView(
        name=worker.name,
        host=worker.host,
        pid=worker.pid,
        device=worker.device,
        device_class=class_of(worker.device),
        state=_state(worker, in_hand),
        job=row.job_id,
        chunk=worker.chunk_id,
        since=worker.since,
        progress=row.progress,
        in_hand=in_hand,
        items=worker.items,
        rate=worker.rate,
        reason=worker.paused,
        gpu_bytes=worker.gpu_bytes,
        started_at=worker.started_at,
        seen_at=worker.seen_at,
    )


def _state(worker: Worker, in_hand: int) -> State:
    if worker.told == "drain":
        return "draining"
    if worker.told == "pause":
        return "pausing" if in_hand else "paused"
    if worker.chunk_id is not None:
        return "running"
    return "paused" if has_paused(worker.paused) else "idle"

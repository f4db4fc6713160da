"""A worker's hold on a chunk: `claim` it, `renew` the lease while working, or `release` it.

A claim is one conditional UPDATE that sets a new token; every later change is made only where
that token still stands, so a worker that was given up for dead changes nothing.
"""

import secrets
import time
from dataclasses import dataclass
from typing import Literal, cast

from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.orm import Session

from beholder.jobs.database import Database
from beholder.jobs.models import OPEN, Channel, Chunk, Item, Job, utc_now
from beholder.jobs.rows import (
    fresh_chunk,
    items_of,
    lock_job,
    requeue_chunk,
    start_items,
    with_stale,
)
from beholder.specs import JobKind, Spec, spec_of

Stage = Literal["dream", "measure", "choose", "classify"]

MAX_ATTEMPTS = 3  # of one item; after that its worker's deaths are taken to be its doing
SPLIT_AFTER = 2  # attempts of a chunk of several items; each then goes on alone


@dataclass(frozen=True)
class ClaimedItem:
    """One item to work on: a stored picture, or a noise start's seed."""

    position: int
    picture_sha256: str | None
    seed: int | None
    role: str | None
    layer: int | None
    source: str


@dataclass(frozen=True)
class Claim:
    """A chunk that is ours while the lease lasts.

    network_sha256: of the weights that the job began with; None if this is its first chunk.
    stale_tokens: of earlier claims of this chunk; their result folders are to be removed.
    partials: in the choose stage, where the measured statistics are, by first position.
    chosen: in the classify stage, the channels to blind of each layer, most common first.
    """

    chunk_id: int
    token: str
    attempt: int
    job_id: str
    kind: JobKind
    stage: Stage
    spec: Spec
    network_sha256: str | None
    items: tuple[ClaimedItem, ...]
    stale_tokens: tuple[str, ...] = ()
    partials: tuple[str, ...] = ()
    chosen: dict[int, tuple[int, ...]] | None = None


def claim(
    database: Database, chunk_id: int, *, worker: str, lease_s: float, now: float | None = None
) -> Claim | None:
    """Take a chunk that is queued, or whose worker let its lease run out; None if it's not to be.

    now: seconds since the epoch.
    """
    asked = time.time() if now is None else now
    with database.write() as session:
        # The lease counts from when the write lock is had, which may take longer than a lease; a
        # lease that ran out during that wait may only be waiting for the same lock.
        held_from = time.time() if now is None else now
        found = fresh_chunk(session, chunk_id)
        job = lock_job(session, found.job_id) if found else None
        chunk = fresh_chunk(session, chunk_id)
        if job is None or chunk is None or job.state not in OPEN:
            return None
        if not _take(session, chunk, worker, asked, held_from + lease_s):
            return None
        start_items(session, job, chunk)
        job.state = "running"
        job.started_at = job.started_at or utc_now()
        return _claim_of(session, job, chunk)


def renew(
    database: Database,
    claim: Claim,
    *,
    lease_s: float,
    progress: float = 0.0,
    now: float | None = None,
) -> Literal["held", "lost", "cancelled"]:
    """Keep a claim for another `lease_s`, and hear whether the work is still wanted.

    progress: how much of the chunk's work is done, from 0 to 1, for those who watch.
    """
    with database.write() as session:
        now = time.time() if now is None else now
        state = session.scalar(select(Job.state).where(Job.id == claim.job_id))
        if state == "cancelled":
            return "cancelled"
        values = {"lease_until": now + lease_s, "progress": progress}
        statement = update(Chunk).where(held_by(claim)).values(values)
        renewed = session.execute(statement.returning(Chunk.id)).first()
        return "held" if renewed and state in OPEN else "lost"


def release(database: Database, claim: Claim) -> bool:
    """Give a chunk back unfinished, the attempt not counted; False if it was no longer ours.

    The chunk counts as never sent: send its id, or leave that to the sweep.
    """
    with database.write() as session:
        job = lock_job(session, claim.job_id)
        chunk = held_chunk(session, claim)
        if job is None or chunk is None or job.state not in OPEN:
            return False
        requeue_chunk(session, job, chunk)
        chunk.attempts -= 1
        chunk.sent_at = None
        return True


def give_up(database: Database, claim: Claim, reason: str) -> None:
    """End a claim after an error: the attempt counts, and a sweep decides what follows.

    reason: in one line; what its items are told if it is not tried again.
    """
    with database.write() as session:
        values = {"lease_until": 0.0, "error": reason}
        session.execute(update(Chunk).where(held_by(claim)).values(values))


def held_by(claim: Claim) -> ColumnElement[bool]:
    """The chunk, on condition that the claim still stands."""
    return and_(Chunk.id == claim.chunk_id, Chunk.token == claim.token, Chunk.state == "running")


def held_chunk(session: Session, claim: Claim) -> Chunk | None:
    """The claimed chunk as it is now, its job being locked; None if the claim no longer stands."""
    statement = select(Chunk).where(held_by(claim))
    return session.scalar(statement.execution_options(populate_existing=True))


def worn_out(chunk: Chunk) -> bool:
    """Whether workers died on the chunk so often that it is not to be tried again as it is."""
    several = chunk.last_position > chunk.first_position
    return chunk.attempts >= (SPLIT_AFTER if several else MAX_ATTEMPTS)


def _take(session: Session, chunk: Chunk, worker: str, now: float, lease_until: float) -> bool:
    """The conditional UPDATE. Whoever changes the row has the chunk."""
    free = Chunk.state == "queued"
    if not worn_out(chunk):
        free = or_(free, and_(Chunk.state == "running", Chunk.lease_until < now))
    statement = (
        update(Chunk)
        .where(Chunk.id == chunk.id, free)
        .values(
            state="running",
            token=secrets.token_hex(6),
            stale_tokens=with_stale(chunk),
            lease_until=lease_until,
            progress=0.0,
            error=None,
            attempts=Chunk.attempts + 1,
            worker=worker,
        )
    )
    taken = session.execute(
        statement.returning(Chunk.id), execution_options={"synchronize_session": False}
    ).first()
    session.refresh(chunk)
    return taken is not None


def _claim_of(session: Session, job: Job, chunk: Chunk) -> Claim:
    kind: JobKind = "dream" if job.kind == "dream" else "study"
    return Claim(
        chunk_id=chunk.id,
        token=chunk.token or "",
        attempt=chunk.attempts,
        job_id=job.id,
        kind=kind,
        stage=cast(Stage, chunk.stage),
        spec=spec_of(kind, job.spec),
        network_sha256=job.network_sha256,
        items=_items(session, chunk),
        stale_tokens=tuple(chunk.stale_tokens),
        partials=_partials(session, job.id) if chunk.stage == "choose" else (),
        chosen=_chosen(session, job.id) if chunk.stage == "classify" else None,
    )


def _items(session: Session, chunk: Chunk) -> tuple[ClaimedItem, ...]:
    statement = select(
        Item.position, Item.picture_sha256, Item.seed, Item.role, Item.layer, Item.source
    )
    rows = session.execute(statement.where(items_of(chunk)).order_by(Item.position))
    return tuple(ClaimedItem(*row) for row in rows)


def _partials(session: Session, job_id: str) -> tuple[str, ...]:
    statement = select(Chunk.partial).where(
        Chunk.job_id == job_id, Chunk.state == "done", Chunk.partial.is_not(None)
    )
    rows = session.scalars(statement.order_by(Chunk.first_position, Chunk.id))
    return tuple(path for path in rows if path)


def _chosen(session: Session, job_id: str) -> dict[int, tuple[int, ...]]:
    statement = (
        select(Channel.layer, Channel.channel)
        .where(Channel.job_id == job_id, Channel.chosen)
        .order_by(Channel.layer, Channel.count.desc(), Channel.mean.desc(), Channel.channel)
    )
    chosen: dict[int, tuple[int, ...]] = {}
    for layer, channel in session.execute(statement):
        chosen[layer] = (*chosen.get(layer, ()), channel)
    return chosen

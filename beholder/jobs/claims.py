"""A worker's hold on chunks: `claim_next` takes, `renew_all` keeps, `release` gives one back.

A claim sets a new token under the lock of the chunk's row; every later change is made only where
that token still stands, so a worker that was given up for dead changes nothing.
"""

import secrets
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import fields
from operator import attrgetter
from typing import Literal, NamedTuple, cast

from sqlalchemy import and_, case, select, update
from sqlalchemy.orm import Session

from beholder.devices import DeviceClass
from beholder.errors import InvalidInput, ServiceUnavailable
from beholder.jobs.bulk import UNSYNCED
from beholder.jobs.chunking import most_items
from beholder.jobs.claim import Claim, ClaimedItem
from beholder.jobs.clock import ago
from beholder.jobs.database import Database
from beholder.jobs.deaths import recover
from beholder.jobs.frames import Frames, before
from beholder.jobs.models import OPEN, Chunk, Item, Job
from beholder.jobs.rows import fail_everything, items_of, lock_job, requeue_chunk, with_stale
from beholder.jobs.sharing import companions
from beholder.jobs.stages import Stage, chosen, handed_on, made_by
from beholder.jobs.turns import latest_turn, passes, whose_turn
from beholder.specs import DreamSpec, JobKind, Spec, spec_of

Hold = Literal["held", "lost", "cancelled"]
Room = Callable[[DreamSpec, int], int]  # how many pictures of a spec, at a layer, a batch can hold

_LOOKS = 32  # at whose turn it is, where other workers are quicker each time
_ITEM = [getattr(Item, one.name) for one in fields(ClaimedItem)]


class _Found(NamedTuple):
    """A queued chunk, locked, with its job."""

    job: Job
    chunk: Chunk
    spec: Spec


class _Served(NamedTuple):
    """When a job was, before it is claimed again."""

    never: bool
    just_now: bool


class _OpenItem(NamedTuple):
    id: int
    state: str
    item: ClaimedItem


def claim_next(
    database: Database,
    *,
    worker: str,
    lease_s: float,
    room: int | Room = 1,
    suspects: bool = True,
    without: Collection[str] = (),
    device: DeviceClass | None = None,
    passing: Claim | None = None,
    let_new: bool = False,
    unsure: Callable[[Sequence[Claim]], object] = lambda claims: None,
) -> tuple[Claim, ...]:
    """Take the chunk whose turn it is, and for a dream others that share its batch; () if none.

    room: up to how many items the batch may hold; a chunk that is larger comes alone.
    suspects: whether it may be one that a worker died on. Whoever has something in hand may not:
        such a chunk is to be alone in its worker's hands. None is then taken while one is next.
    without: the ids of jobs that this worker leaves to others.
    device: the worker's class, where jobs may ask for another; None takes all.
    passing: in hand already: only what goes before it is then taken, which is of a higher priority,
        or with `let_new` of a new job, and on its network, which is the one that is loaded.
    unsure: told of what may be taken all the same, where the database fell silent at the last
        moment: it is to be released, since its worker does not have it.
    """
    for look in range(_LOOKS):
        turn = whose_turn(database, without, device)
        if turn is None:
            return ()
        if passing and not passes(turn.priority, turn.new, passing.priority, let_new=let_new):
            return ()
        taken: tuple[Claim, ...] = ()
        try:
            with database.write() as session:
                # While this worker waited for the lock, another may have served the job. After
                # many such looks it takes the job's next chunk all the same.
                number = turn.number if look < _LOOKS // 2 else None
                found = _found(session, turn.job_id, number)
                if found is None:
                    continue
                if found.chunk.attempts and not suspects:
                    return ()
                if passing and found.spec.network != passing.spec.network:
                    return ()
                left = _left(found, room)
                together = [found, *_companions(session, found, left, without, device)]
                taken = _take(session, together, worker, time.time() + lease_s)
        except ServiceUnavailable:
            unsure(taken)
            raise
        return taken
    return ()


def _found(session: Session, job_id: str, number: int | None) -> _Found | None:
    """A job's next chunk, locked; None if there is none, or the job's turn is not this number."""
    job = lock_job(session, job_id)
    if job is None or number not in (None, job.turn):
        return None
    first = _first(session, job)
    if first is None:
        return None
    try:
        return _Found(job, first, _spec(job))
    except InvalidInput as error:  # another version's: it would be next for ever
        fail_everything(session, job, f"this version can't run it: {error}")
        return None


def renew_all(
    database: Database,
    claims: Sequence[Claim],
    *,
    lease_s: float,
    progress: float = 0.0,
    further: Collection[str] = (),
) -> dict[str, Hold]:
    """Keep claims for another `lease_s`; by token, whether each is ours and the work still wanted.

    progress: how much of the batch's work is done, from 0 to 1, for those who watch.
    further: tokens of those that have kept more of their work than any claim before them. The
        deaths of earlier workers are then no reason to set their items aside: they count no more.
    """
    with database.write() as session:
        jobs = select(Job.id, Job.state).where(Job.id.in_({claim.job_id for claim in claims}))
        states = dict(session.execute(jobs).all())
        open_claims = [claim for claim in claims if states.get(claim.job_id) in OPEN]
        ours = and_(
            Chunk.id.in_([claim.chunk_id for claim in open_claims]),
            Chunk.token.in_([claim.token for claim in open_claims]),
            Chunk.state == "running",
        )
        # Whoever has locked one is about to end it, perhaps this worker, and wants the others too:
        # to wait for it would be a deadlock. It is ours until that is committed.
        free = session.scalars(select(Chunk.id).where(ours).with_for_update(skip_locked=True)).all()
        kept = update(Chunk).where(Chunk.id.in_(free))
        kept = kept.values(lease_until=time.time() + lease_s, progress=progress)
        if further:
            kept = kept.values(attempts=case((Chunk.token.in_(further), 1), else_=Chunk.attempts))
        session.execute(kept, execution_options=UNSYNCED)
        standing = set(session.scalars(select(Chunk.token).where(ours)))

    def hold(claim: Claim) -> Hold:
        if states.get(claim.job_id) == "cancelled":
            return "cancelled"
        return "held" if claim.token in standing else "lost"

    return {claim.token: hold(claim) for claim in claims}


def release(database: Database, claim: Claim) -> bool:
    """Give a chunk back unfinished, the attempt not counted; False if it was no longer ours.

    Of its stale tokens those are remembered that the claim, as it is given here, still has.
    """
    with database.write() as session:
        job = lock_job(session, claim.job_id)
        chunk = held_chunk(session, claim)
        if job is None or chunk is None or job.state not in OPEN:
            return False
        chunk.stale_tokens = list(claim.stale_tokens)
        requeue_chunk(session, job, chunk)
        chunk.attempts -= 1
        return True


def give_up(database: Database, claim: Claim, reason: str) -> None:
    """End a claim after an error: the attempt counts, as if its worker had died.

    reason: in one line; what its items are told if it is not tried again.
    """
    with database.write() as session:
        job = lock_job(session, claim.job_id)
        chunk = held_chunk(session, claim)
        if job is not None and chunk is not None and job.state in OPEN:
            chunk.error = reason
            recover(session, job, chunk)


def held_chunk(session: Session, claim: Claim) -> Chunk | None:
    """The claimed chunk as it is now, its job being locked; None if the claim no longer stands."""
    statement = select(Chunk).where(
        Chunk.id == claim.chunk_id, Chunk.token == claim.token, Chunk.state == "running"
    )
    return session.scalar(statement.execution_options(populate_existing=True))


def _first(session: Session, job: Job) -> Chunk | None:
    """The locked job's next chunk."""
    if job.state not in OPEN:
        return None
    queued = select(Chunk).where(Chunk.job_id == job.id, Chunk.state == "queued")
    queued = queued.order_by(Chunk.first_position, Chunk.id).limit(1)
    return session.scalar(queued.with_for_update())


def _left(found: _Found, room: int | Room) -> int:
    """The room that is left beside a chunk in its batch."""
    job, first, spec = found
    if callable(room):
        shared = job.batch_key is not None
        room = room(spec, first.layer or 0) if isinstance(spec, DreamSpec) and shared else 1
    return room - most_items(job, first)


def _companions(
    session: Session,
    found: _Found,
    room: int,
    without: Collection[str],
    device: DeviceClass | None,
) -> Iterator[_Found]:
    """What shares a batch with a chunk."""
    job, first, _ = found
    alike = companions(session, job, first, room, without=without, device=device)
    for owner, chunk in alike:
        with suppress(InvalidInput):  # which its own turn will bring to light
            yield _Found(owner, chunk, _spec(owner))


def _spec(job: Job) -> Spec:
    """Raises InvalidInput for one that another version has stored."""
    return spec_of("dream" if job.kind == "dream" else "study", job.spec)


def _take(
    session: Session, found: list[_Found], worker: str, lease_until: float
) -> tuple[Claim, ...]:
    """Make these chunks ours. Their rows are locked, so nobody else changes them meanwhile."""
    items = _items(session, [chunk for _, chunk, _ in found])
    latest = latest_turn(session)
    served = {job.id: _Served(job.started_at is None, job.turn == latest) for job, _, _ in found}
    for job, chunk, _ in found:
        chunk.stale_tokens = with_stale(chunk)
        chunk.state, chunk.token = "running", secrets.token_hex(6)
        chunk.lease_until, chunk.progress, chunk.error = lease_until, 0.0, None
        chunk.attempts += 1
        chunk.worker = worker
        starting = sum(item.state == "queued" for item in items[chunk.id])
        job.queued -= starting
        job.running += starting
        job.state, job.turn = "running", latest + 1
        if job.started_at is None:
            job.started_at = ago(0)
    _start(session, [item.id for each in items.values() for item in each if item.state == "queued"])
    return tuple(_claim_of(session, one, items[one.chunk.id], served[one.job.id]) for one in found)


def _start(session: Session, item_ids: list[int]) -> None:
    session.execute(
        update(Item).where(Item.id.in_(item_ids)).values(state="running"),
        execution_options=UNSYNCED,
    )


def _claim_of(session: Session, found: _Found, items: list[_OpenItem], served: _Served) -> Claim:
    job, chunk, spec = found
    kind: JobKind = "dream" if job.kind == "dream" else "study"
    stage = cast(Stage, chunk.stage)
    return Claim(
        chunk_id=chunk.id,
        token=chunk.token or "",
        attempt=chunk.attempts,
        job_id=job.id,
        kind=kind,
        stage=stage,
        spec=spec,
        network_sha256=job.network_sha256,
        items=tuple(one.item for one in items),
        stale_tokens=tuple(chunk.stale_tokens),
        partials=handed_on(session, job.id, stage),
        chosen=chosen(session, job.id) if stage == "classify" else None,
        plan=made_by(session, job.id, "choose") if stage in ("classify", "conclude") else None,
        device=job.device,
        priority=job.priority,
        new=served.never,
        again=served.just_now,
        frames=Frames.of(job),
        before=before(session, job, [one.item.position for one in items]),
    )


def _items(session: Session, chunks: list[Chunk]) -> dict[int, list[_OpenItem]]:
    """The items of each chunk, by the chunk's id, in the order of their positions."""
    statement = (
        select(Chunk.id, Item.id, Item.state, *_ITEM)
        .join(Item, items_of(Chunk))
        .where(Chunk.id.in_([chunk.id for chunk in chunks]))
    )
    # Sorted here: asked to do it, SQLite reads all items that come after the chunk's.
    rows = sorted(session.execute(statement), key=attrgetter("position"))
    found: dict[int, list[_OpenItem]] = {chunk.id: [] for chunk in chunks}
    for chunk_id, number, state, *item in rows:
        found[chunk_id].append(_OpenItem(number, state, ClaimedItem(*item)))
    return found

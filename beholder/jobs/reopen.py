"""What ended and is to run again: `begin` says so, then `reopen_part` until it does.

Queueing a million items in one transaction would keep every other writer of SQLite waiting. So the
job stays at its end, for all who look, until its last part: its items and chunks are queued, and a
study's verdicts forgotten, in short ones before, of which nobody claims anything. Whoever dies on
the way leaves the rest to the workers' sweeps.
"""

from typing import NamedTuple

from sqlalchemy import delete, exists, or_, select, update
from sqlalchemy.orm import Session

from beholder.jobs.advance import is_sound, start_stage
from beholder.jobs.bulk import UNSYNCED
from beholder.jobs.channel_models import removals
from beholder.jobs.chunking import insert_chunks, ranges_of
from beholder.jobs.frames import Frames
from beholder.jobs.hooks import rearm
from beholder.jobs.models import Chunk, Item, Job, Verdict
from beholder.jobs.rows import item_counts
from beholder.jobs.stages import Stage, made_by

REOPEN_LIMIT = 2_000  # items at a time
_REOPENED = Item.state.in_(("failed", "cancelled"))
_RUNNABLE = or_(Item.picture_sha256.is_not(None), Item.seed.is_not(None))


class Part(NamedTuple):
    """How many items and chunks were queued; over: whether the job runs again."""

    items: int
    chunks: int
    over: bool


def begin(session: Session, job: Job) -> bool:
    """Have a locked, settled job run again; False where nothing of it can."""
    can = can_reopen(session, job)
    if can:
        job.unsettled = False
    return can


def can_reopen(session: Session, job: Job) -> bool:
    """Whether anything of a job that has ended can run again: not what could never be read."""
    if job.unsettled is not None:  # on the way to its end, or back from it
        return True
    wanted = exists().where(Item.job_id == job.id, _REOPENED, _RUNNABLE)
    return bool(session.scalar(select(wanted))) or _lacks_conclusion(session, job)


def reopen_part(session: Session, job: Job) -> Part:
    """Queue some of the items that are to run; after the last the job runs again."""
    by_position = job.kind == "dream" and not Frames.of(job)  # else chunks depend on all items
    found = _next(session, job, by_position)
    queued = update(Item).where(Item.id.in_([number for number, *_ in found]))
    session.execute(queued.values(state="queued", error=None), execution_options=UNSYNCED)
    chunks = 0
    if by_position:
        ranges = ranges_of([(position, layer) for _, position, layer in found], job.chunk_size)
        chunks = insert_chunks(session, job, ranges, stage="dream")
    if len(found) == REOPEN_LIMIT:
        return Part(len(found), chunks, over=False)
    if by_position:
        job.stage = "dream"
    elif _measures_more(session, job) and _forget_verdicts(session, job):
        return Part(len(found), chunks, over=False)
    else:
        chunks = start_stage(session, job, _first_stage(session, job))
    _show(session, job)
    return Part(len(found), chunks, over=True)


def _next(session: Session, job: Job, by_position: bool) -> list[tuple[int, int, int | None]]:
    """(id, position, layer) of items to queue; by position: those behind what is queued already."""
    some = select(Item.id, Item.position, Item.layer).where(Item.job_id == job.id, _RUNNABLE)
    if by_position:
        queued = select(Chunk.last_position).where(Chunk.job_id == job.id, Chunk.state == "queued")
        last = session.scalar(queued.order_by(Chunk.first_position.desc()).limit(1))
        some = some.where(Item.position > (-1 if last is None else last)).order_by(Item.position)
    rows = session.execute(some.where(_REOPENED).limit(REOPEN_LIMIT))
    return [(number, position, layer) for number, position, layer in rows]


def _show(session: Session, job: Job) -> None:
    """From now on it is queued."""
    for name, count in item_counts(session, job.id).items():
        setattr(job, name, count)
    if not job.done and not job.measured:  # nothing that other weights would not go with
        job.network_sha256 = None
    job.state, job.error, job.finished_at, job.unsettled = "queued", None, None, None
    rearm(session, job.id)


def _lacks_conclusion(session: Session, job: Job) -> bool:
    """Whether all of a sound study is done but for what follows from it."""
    concluded = made_by(session, job.id, "conclude") is not None
    return is_sound(job) and job.target_pictures is not None and job.done > 0 and not concluded


def _first_stage(session: Session, job: Job) -> Stage:
    """Where a retried job begins; a study that has something new to measure starts all over."""
    if job.kind == "dream":
        return "dream"
    if _measures_more(session, job):
        _forget_results(session, job)
        return "measure"
    if job.target_pictures is None:
        return "choose"
    waiting = exists().where(Item.job_id == job.id, Item.state == "queued")
    return "classify" if session.scalar(select(waiting)) else "conclude"


def _measures_more(session: Session, job: Job) -> bool:
    """Whether other pictures will have a say in what a study chooses."""
    of_study = Item.job_id == job.id, Item.state == "queued", ~Item.measured
    return job.kind == "study" and bool(session.scalar(select(exists().where(*of_study))))


def _forget_verdicts(session: Session, job: Job) -> bool:
    """Have some pictures wait for their blinded verdicts anew; whether more may be left."""
    done = select(Item.id).where(Item.job_id == job.id, Item.state == "done").limit(REOPEN_LIMIT)
    ids = session.scalars(done).all()
    for statement in (
        delete(Verdict).where(Verdict.kind == "blinded", Verdict.item_id.in_(ids)),
        update(Item).where(Item.id.in_(ids)).values(state="queued"),
    ):
        session.execute(statement, execution_options=UNSYNCED)
    return len(ids) == REOPEN_LIMIT


def _forget_results(session: Session, job: Job) -> None:
    """Undo the rest of a study's last two stages."""
    job.target_pictures = job.control_pictures = None
    job.targets_judged = job.targets_kept = job.controls_judged = job.controls_kept = 0
    later = Chunk.job_id == job.id, Chunk.stage != "measure"
    for statement in (
        *removals(job.id),
        update(Chunk).where(*later).values(partial=None),
    ):
        session.execute(statement, execution_options=UNSYNCED)

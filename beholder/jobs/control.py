"""What people do to a job: `cancel` it, `retry` what failed, `delete` it."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete as delete_from
from sqlalchemy import exists, func, or_, select, update
from sqlalchemy.orm import Session

from beholder.errors import Conflict, NotFound
from beholder.jobs.advance import is_sound, start_stage
from beholder.jobs.bulk import UNSYNCED
from beholder.jobs.channel_models import removals
from beholder.jobs.database import Database
from beholder.jobs.hooks import rearm
from beholder.jobs.models import FINISHED, INCOMING, ITEM_STATES, Chunk, Item, Job, Verdict
from beholder.jobs.removal import hide, remove_rows
from beholder.jobs.rows import cancel_everything, lock_job, settle
from beholder.jobs.stages import Stage, made_by


@dataclass(frozen=True)
class Retried:
    """items: how many run again, in how many chunks."""

    items: int
    chunks: int


def cancel(database: Database, job_id: str) -> None:
    """End a job now. Workers that are at it hear of it when they renew their lease.

    Costs the same for any number of items: past some, their rows are left to the sweep.
    Raises NotFound, or Conflict when the job has already finished.
    """
    with database.write() as session:
        job = _job(session, job_id)
        if job.state in FINISHED:
            raise Conflict(f"job {job_id} is already {job.state}: there is nothing to cancel.")
        cancel_everything(session, job)


def retry(database: Database, job_id: str) -> Retried:
    """Run again what failed or was cancelled; what is done stays, except a study's verdicts.

    A study measures what it could not measure, then chooses and classifies everything again; if
    nothing is left to measure, it goes on where it stopped, even if only the conclusion is
    missing. Raises NotFound, or Conflict when the
    job is still at work or nothing can be run again.
    """
    with database.write() as session:
        job = _job(session, job_id)
        if job.state not in FINISHED:
            raise Conflict(f"job {job_id} is {job.state}: wait until it ends, or cancel it.")
        if job.unsettled:
            settle(session, job, limit=None)
        items = _reopen(session, job)
        if not items and not _lacks_conclusion(session, job):
            raise Conflict(_nothing_to_retry(job))
        chunks = start_stage(session, job, _first_stage(session, job))
        _recount(session, job)
        if not job.done and not job.measured:  # nothing that other weights would not go with
            job.network_sha256 = None
        job.state, job.error, job.finished_at = "queued", None, None
        rearm(session, job_id)
        return Retried(items, chunks)


def delete(database: Database, job_id: str, *, ended_before: datetime | None = None) -> None:
    """Remove a finished job's rows: at once for all who look, then in short parts.

    Its pictures stay, since other jobs may use them; so do its files, and for their sake its own
    row (`beholder.jobs.removal`). ended_before: as for `put_away`. Raises NotFound or Conflict.
    """
    put_away(database, job_id, ended_before=ended_before)
    remove_rows(database, job_id)


def put_away(database: Database, job_id: str, *, ended_before: datetime | None = None) -> None:
    """Take a finished job out of sight for good, and leave the rest of its removal to the workers.

    ended_before: only if it ended earlier and is not to be kept. Raises NotFound or Conflict.
    """
    with database.write(lasting=True) as session:  # before its files go
        job = _job(session, job_id)
        if job.state not in FINISHED:
            raise Conflict(f"job {job_id} is {job.state}: cancel it before you delete it.")
        if ended_before is not None:
            _insist_on_age(job, ended_before)
        hide(session, job)


def _insist_on_age(job: Job, ended_before: datetime) -> None:
    """Raise Conflict where somebody wants the job after all."""
    if job.kept:
        raise Conflict(f"job {job.id} is kept, whatever its age.")
    if job.finished_at is None or job.finished_at >= ended_before:
        raise Conflict(f"job {job.id} has been run again, and ended not long ago.")


def _job(session: Session, job_id: str) -> Job:
    job = lock_job(session, job_id)
    if job is None or job.state == INCOMING:
        raise NotFound(f"no job {job_id!r}: `beholder jobs` lists them.")
    return job


def _reopen(session: Session, job: Job) -> int:
    """Queue every item that failed or was cancelled and has something to run on."""
    runnable = or_(Item.picture_sha256.is_not(None), Item.seed.is_not(None))
    statement = (
        update(Item)
        .where(Item.job_id == job.id, Item.state.in_(("failed", "cancelled")), runnable)
        .values(state="queued", error=None)
        .returning(Item.id)
    )
    return sum(1 for _ in session.execute(statement, execution_options=UNSYNCED))


def _nothing_to_retry(job: Job) -> str:
    if job.failed:
        return (
            f"job {job.id} has nothing to retry: its {job.failed} failed pictures could not be "
            "read when they were submitted. Submit them again."
        )
    return f"job {job.id} has nothing to retry: no item failed."


def _lacks_conclusion(session: Session, job: Job) -> bool:
    """Whether all of a sound study is done but for what follows from it."""
    concluded = made_by(session, job.id, "conclude") is not None
    return is_sound(job) and job.target_pictures is not None and job.done > 0 and not concluded


def _first_stage(session: Session, job: Job) -> Stage:
    """Where a retried job begins; a study that has something new to measure starts all over."""
    if job.kind == "dream":
        return "dream"
    unmeasured = exists().where(Item.job_id == job.id, Item.state == "queued", ~Item.measured)
    if session.scalar(select(unmeasured)):
        _forget_results(session, job)
        return "measure"
    if job.target_pictures is None:
        return "choose"
    waiting = exists().where(Item.job_id == job.id, Item.state == "queued")
    return "classify" if session.scalar(select(waiting)) else "conclude"


def _forget_results(session: Session, job: Job) -> None:
    """Undo a study's last two stages: other pictures will have a say in what is chosen."""
    job.target_pictures = job.control_pictures = None
    job.targets_judged = job.targets_kept = job.controls_judged = job.controls_kept = 0
    of_job = select(Item.id).where(Item.job_id == job.id)
    later = Chunk.job_id == job.id, Chunk.stage != "measure"
    for statement in (
        *removals(job.id),
        delete_from(Verdict).where(Verdict.kind == "blinded", Verdict.item_id.in_(of_job)),
        update(Item).where(Item.job_id == job.id, Item.state == "done").values(state="queued"),
        update(Chunk).where(*later).values(partial=None),
    ):
        session.execute(statement, execution_options=UNSYNCED)


def _recount(session: Session, job: Job) -> None:
    """Set the counters from the rows."""
    statement = select(Item.state, func.count()).where(Item.job_id == job.id)
    rows = session.execute(statement.group_by(Item.state))
    counts: dict[str, int] = {row[0]: row[1] for row in rows}
    for state in ITEM_STATES:
        setattr(job, state, counts.get(state, 0))

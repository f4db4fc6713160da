"""Jobs on their way out: `hide` one, `remove_rows`; the sweeps' part is the others.

Removing a million items in one transaction would keep every other writer of SQLite waiting. So a
job is hidden in a short one, as one whose submitter has died (`beholder.jobs.incoming`), and its
rows are removed in many. Whoever dies on the way leaves the rest to the workers' sweeps, which also
give up what submitters have left (`give_up_abandoned`) and remove some of all that (`remove_some`).
A job that was begun may have files, which nobody finds without its row. So that stays until whoever
has removed them (`hidden_jobs`) says so: `forget_hidden`.
"""

from datetime import UTC, datetime

from sqlalchemy import and_, delete, exists, or_, select, update
from sqlalchemy.orm import Session

from beholder.jobs.bulk import UNSYNCED
from beholder.jobs.channel_models import removals
from beholder.jobs.database import Database
from beholder.jobs.models import INCOMING, Chunk, File, Item, Job
from beholder.jobs.rows import lock_job
from beholder.jobs.service_models import IdempotencyKey
from beholder.jobs.silence import Submission, Unchanged

ABANDONED_S = 600.0  # far longer than a writer may have to wait for its turn
GIVEN_UP = datetime(1970, 1, 1, tzinfo=UTC)  # from then on nothing more is written of the job
_TOGETHER = 2_000  # rows; removing one costs about as much as writing one
_REMOVALS = 10  # such transactions at a time, so that those who sweep get on with the rest
GONE = and_(Job.state == INCOMING, Job.finished_at <= GIVEN_UP)  # jobs that nobody will see again
_HAS_ROWS = or_(exists().where(Item.job_id == Job.id), exists().where(Chunk.job_id == Job.id))


def hide(session: Session, job: Job) -> None:
    """Nobody sees the locked job any more, nor what is compared across jobs.

    The same request makes a new one.
    """
    job.state, job.finished_at, job.unsettled = INCOMING, GIVEN_UP, None
    job.target_pictures = job.control_pictures = None
    for statement in (
        delete(IdempotencyKey).where(IdempotencyKey.job_id == job.id),
        *removals(job.id),
    ):
        session.execute(statement, execution_options=UNSYNCED)


def remove_rows(database: Database, job_id: str) -> None:
    """Remove a hidden job's rows to the end; sweeps may be at it too."""
    while _remove_part(database, job_id):
        pass


def hidden_jobs(database: Database) -> list[str]:
    """Jobs that are out of sight, and whose files may still be there."""
    with database.read() as session:
        return list(session.scalars(select(Job.id).where(GONE, Job.started_at.is_not(None))))


def forget_hidden(database: Database, job_id: str) -> None:
    """A hidden job's files are removed: once its other rows are, nothing is left of it."""
    with database.write() as session:
        lock_job(session, job_id)
        session.execute(
            delete(Job).where(Job.id == job_id, GONE, ~_HAS_ROWS), execution_options=UNSYNCED
        )


def give_up_abandoned(database: Database, submissions: Unchanged[Submission], now: float) -> None:
    """Give up what nobody has written of for long, as far as this process has seen.

    now: as `submissions` takes it.
    """
    written = (Job.state == INCOMING, Job.finished_at > GIVEN_UP)
    with database.read() as session:
        rows = session.execute(select(Job.id, Job.finished_at).where(*written))
        found = [Submission(*row) for row in rows]
    for one, silent_s in submissions.look(found, now).items():
        if silent_s >= ABANDONED_S:
            with database.write() as session:
                _give_up(session, one)


def remove_some(database: Database) -> None:
    """Remove some of what was hidden or given up; more when called again."""
    left = select(Job.id).where(GONE, or_(Job.started_at.is_(None), _HAS_ROWS)).limit(1)
    for _ in range(_REMOVALS):
        with database.read() as session:
            job_id = session.scalar(left)
        if job_id is None:
            return
        _remove_part(database, job_id)


def _remove_part(database: Database, job_id: str) -> bool:
    """Remove a bounded number of rows of a job that nobody sees; whether more are left."""
    with database.write() as session:
        job = lock_job(session, job_id)
        if job is None:
            return False
        if _remove_items(session, job_id) or _remove_chunks(session, job_id):
            return True
        if job.started_at is None:
            session.execute(delete(Job).where(Job.id == job_id), execution_options=UNSYNCED)
        return False


def _give_up(session: Session, seen: Submission) -> None:
    """If it is still as it was seen, nobody writes of it from now on.

    Removing takes many transactions, and a submitter that only slept may wake between two.
    """
    as_seen = (Job.id == seen.job_id, Job.state == INCOMING, Job.finished_at == seen.written_at)
    session.execute(
        update(Job).where(*as_seen).values(finished_at=GIVEN_UP), execution_options=UNSYNCED
    )


def _remove_items(session: Session, job_id: str) -> bool:
    """Remove some, with about as many of their files; whether there were any."""
    of_job = select(Item.id, Item.position).where(Item.job_id == job_id)
    first = of_job.order_by(Item.position).limit(_TOGETHER).subquery()
    with_files = select(first.c.position).join(File, File.item_id == first.c.id)
    enough = session.scalar(with_files.order_by(first.c.position).offset(_TOGETHER).limit(1))
    some = select(first.c.id)
    if enough is not None:
        some = some.where(first.c.position <= enough)
    removed = delete(Item).where(Item.id.in_(some)).returning(Item.id)
    return len(session.execute(removed, execution_options=UNSYNCED).all()) > 0


def _remove_chunks(session: Session, job_id: str) -> bool:
    some = select(Chunk.id).where(Chunk.job_id == job_id).limit(_TOGETHER)
    removed = delete(Chunk).where(Chunk.id.in_(some)).returning(Chunk.id)
    return len(session.execute(removed, execution_options=UNSYNCED).all()) > 0

"""Jobs that are removed for their age, with their results: `expired`, `remove_job`, `Retention`.

`keep` takes a job out of it. `remove_hidden` ends what others have begun to remove.
"""

import logging
import time
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import func, select

from beholder.errors import BeholderError, Conflict, NotFound, ServiceUnavailable
from beholder.jobs.control import delete, is_expired, put_away
from beholder.jobs.database import Database
from beholder.jobs.models import FINISHED, File, Item, Job
from beholder.jobs.removal import forget_hidden, hidden_jobs
from beholder.jobs.rows import lock_job
from beholder.plurals import plural
from beholder.store import Store, job_folder
from beholder.upkeep.presence import insist_on_there

log = logging.getLogger(__name__)
_REST_S = 3600.0


def expired(
    database: Database,
    *,
    older_than: timedelta,
    states: Sequence[str] = FINISHED,
    limit: int | None = None,
) -> list[str]:
    """Jobs that ended longer ago than that and that nobody wants, the oldest first."""
    statement = (
        select(Job.id)
        .where(Job.state.in_(states), is_expired(older_than))
        .order_by(Job.finished_at, Job.id)
        .limit(limit)
    )
    with database.read() as session:
        return list(session.scalars(statement))


def result_size(database: Database, job_id: str) -> tuple[int, int]:
    """How many result files a job has, and their bytes."""
    statement = (
        select(func.count(), func.coalesce(func.sum(File.bytes), 0))
        .join(Item, Item.id == File.item_id)
        .where(Item.job_id == job_id)
    )
    with database.read() as session:
        files, size = session.execute(statement).one()
    return files, int(size)


def remove_job(
    database: Database, store: Store, job_id: str, *, older_than: timedelta | None = None
) -> None:
    """Remove a finished job with its results; its pictures stay.

    older_than: only if it ended longer ago and nobody wants it. Where the store does not answer,
    the files are left to the workers: the job is gone all the same. Raises NotFound or Conflict.
    """
    delete(database, job_id, older_than=older_than)
    try:
        insist_on_there(database, store)
        _remove_files(database, store, job_id)
    except BeholderError as error:
        said = "job %s is removed, but its files are left to workers: %s"
        log.warning(said, job_id, error, extra={"job": job_id})


def remove_hidden(database: Database, store: Store) -> None:
    """Remove the files of jobs that are out of sight: of those to be removed, and where it stopped.

    Two may do so at a time. A job whose files can't be removed holds up no other. Raises
    ServiceUnavailable at the end if there is one, at once where the store is away; the next call
    goes on.
    """
    left: dict[str, ServiceUnavailable] = {}
    for job_id in hidden_jobs(database):
        insist_on_there(database, store)  # else nothing would be removed, and the rest forgotten
        try:
            _remove_files(database, store, job_id)
        except ServiceUnavailable as error:
            left[job_id] = error
    if left:
        jobs, (first, reason) = plural(len(left), "removed job"), next(iter(left.items()))
        raise ServiceUnavailable(f"files of {jobs} are left, the first {first}: {reason}")


def _remove_files(database: Database, store: Store, job_id: str) -> None:
    store.remove_folder(job_folder(job_id))
    forget_hidden(database, job_id)


def keep(database: Database, job_id: str, *, kept: bool = True) -> None:
    """Take a job out of what is removed for its age, or put it back. Raises NotFound."""
    with database.write() as session:
        job = lock_job(session, job_id)
        if job is None:
            raise NotFound(f"no job {job_id!r}: `beholder jobs` lists them.")
        job.kept = True if kept else None


class Retention:
    """A worker's part in it: one job at each call until none is left, then an hour's rest."""

    def __init__(self, database: Database, days: float | None) -> None:
        self._database = database
        self._age = None if days is None else timedelta(days=days)
        self._resting_until = 0.0

    def step(self) -> str | None:
        """Put the oldest job away that is too old; its id, or None where there is nothing to do.

        Its rows are removed by sweeps, its files by `remove_hidden`.
        """
        if self._age is None or time.monotonic() < self._resting_until:
            return None
        for job_id in expired(self._database, older_than=self._age, limit=1):
            try:
                put_away(self._database, job_id, older_than=self._age)
            except (Conflict, NotFound):
                return None  # retried, kept, or removed by another worker
            return job_id
        self._resting_until = time.monotonic() + _REST_S
        return None

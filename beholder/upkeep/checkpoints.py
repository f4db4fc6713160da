"""Checkpoints that nobody will go on from: `stray_checkpoints`, and a worker's part, `Tidying`.

A worker that finishes an item removes its checkpoint. Others remain: of items that were cancelled
or set aside, of deleted jobs, and what a worker wrote that had lost its claim.
"""

import logging
import math
import time
from collections.abc import Iterator

from sqlalchemy import select

from beholder.errors import ServiceUnavailable
from beholder.jobs.database import Database
from beholder.jobs.models import FINISHED, OPEN, Item, Job
from beholder.store import CHECKPOINTS, Store, checkpoint_folder
from beholder.upkeep.leftovers import Leftover, is_nothing, remove_leftover
from beholder.upkeep.ownership import insist_on_own
from beholder.upkeep.presence import insist_on_there

log = logging.getLogger(__name__)
_REST_S = 60.0


def stray_checkpoints(
    database: Database, store: Store, *, before: float = math.inf
) -> Iterator[Leftover]:
    """Folders of jobs that have ended or are gone, and files of items that have ended.

    before: only where the latest was written earlier, in seconds since the epoch.
    """
    # Listed before the database is asked: what ends meanwhile is found the next time.
    for job in list(store.list(CHECKPOINTS)):
        files = list(store.list(checkpoint_folder(job.name))) if job.is_folder else [job]
        if max((one.modified for one in files), default=0.0) >= before:
            continue
        sizes = {one.name: one.bytes for one in files}
        with database.read() as session:
            state = session.scalar(select(Job.state).where(Job.id == job.name))
            ended = select(Item.position).where(
                Item.job_id == job.name,
                Item.position.in_([int(name) for name in sizes if name.isdecimal()]),
                Item.state.in_(FINISHED),
            )
            over = [f"{position:07d}" for position in session.scalars(ended)] if state else []
        if state not in OPEN:
            whole = f"{CHECKPOINTS}/{job.name}"
            left = Leftover(whole, job.is_folder, len(files), sum(sizes.values()))
            if not is_nothing(store, left):
                yield left
            continue
        for name in over:
            yield Leftover(f"{checkpoint_folder(job.name)}/{name}", False, 1, sizes[name])


class Tidying:
    """Removes them: at each call of `step`, but once a minute at most."""

    def __init__(self, database: Database, store: Store) -> None:
        self._database = database
        self._store = store
        self._resting_until = 0.0

    def step(self) -> None:
        """Remove what there is now. Raises ServiceUnavailable, Conflict for another's store.

        A store that nobody has noted yet is noted as this database's own; StoreMissing is raised
        where one that was noted is not there, since what is in its place may be nobody's.
        """
        if time.monotonic() < self._resting_until:
            return
        self._resting_until = time.monotonic() + _REST_S
        insist_on_there(self._database, self._store)
        insist_on_own(self._database, self._store, record=True)
        for left in stray_checkpoints(self._database, self._store):
            try:
                remove_leftover(self._store, left)
            except ServiceUnavailable as error:  # the next is on its own
                log.warning("%s is left: %s", left.path, error)

"""Why open jobs stand still although workers are alive: `pause_of`, and jobs with that remark.

A worker says it in its heartbeat. Of a full SQLite file it can't, so that is looked at here.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Row, ScalarSelect, case, func, literal, or_, select
from sqlalchemy.orm import Session

from beholder.devices import DEFAULT_DEVICE
from beholder.errors import StorageFull
from beholder.jobs.clock import ago
from beholder.jobs.database import insist_on_room
from beholder.jobs.models import FINISHED, Job
from beholder.jobs.service_models import Worker
from beholder.jobs.views import JobView, columns_of

_ALIVE_S = 30.0  # several heartbeats
_LEFT = "leaves job "  # in what a worker says, on a line, of a job that it can't go on with
LEAST_FREE_BYTES = 1 << 20  # with less, a commit of any job may fail
_COLUMNS = [getattr(Job, name) for name in columns_of(JobView) if name != "paused"]


def has_paused(said: str | None) -> bool:
    """Whether a worker that says this takes nothing: one that leaves jobs to others does."""
    return said is not None and _LEFT not in said


def said_pause() -> ScalarSelect[Any]:
    """As part of a query of jobs: why no worker that is alive takes a job's work.

    NULL where one would, though others have paused or leave the job to it. Who was told to pause or
    to drain would not, and gives no reason.
    """
    of_device = case((Worker.device.startswith("cpu"), "cpu"), else_="gpu")  # as devices.class_of
    could = (
        Worker.seen_at >= ago(_ALIVE_S),
        Worker.told.is_(None),
        or_(Job.device == DEFAULT_DEVICE, Job.device == of_device),
    )
    about_it = or_(
        ~Worker.paused.contains(_LEFT), Worker.paused.contains(literal(_LEFT) + Job.id + " ")
    )
    reason = case((about_it, Worker.paused))
    every = func.count() == func.count(reason)
    return select(case((every, func.max(reason)))).where(*could).correlate(Job).scalar_subquery()


def pause_of(session: Session, job_id: str, state: str, said: str | None) -> str | None:
    """Why a job in this state stands still; None if it does not. said: what `said_pause` gave."""
    if state in FINISHED:
        return None
    if said is None:
        try:
            insist_on_room(session.get_bind().engine, LEAST_FREE_BYTES)
        except StorageFull as full:
            return str(full)
    if said is None or has_paused(said):
        return said
    return next(line for line in said.splitlines() if f"{_LEFT}{job_id} " in line)


def job_columns() -> list[Any]:
    """What a query selects to make jobs of its rows."""
    return [*_COLUMNS, said_pause()]


def job_view(session: Session, row: Row[Any] | Sequence[Any]) -> JobView:
    """The job in a row of `job_columns`."""
    *values, said = row
    job = JobView(*values)
    paused = pause_of(session, job.id, job.state, said)
    return job if paused is None else replace(job, paused=paused)

"""Why open jobs stand still although workers are alive: `Pauses`; jobs with that among `Remarks`.

A worker says it in its heartbeat. Of a full SQLite file it can't, so that is looked at here.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from beholder.devices import Device, DeviceClass, class_of, open_to
from beholder.errors import StorageFull
from beholder.jobs.database import insist_on_room
from beholder.jobs.models import FINISHED, Job
from beholder.jobs.service_models import Worker
from beholder.jobs.views import JobView, columns_of
from beholder.jobs.waits import Waits
from beholder.jobs.workers import willing

_LEFT = "leaves job "  # in what a worker says, on a line, of a job that it can't go on with
LEAST_FREE_BYTES = 1 << 20  # with less, a commit of any job may fail
_LOOKED_UP = ("paused", "waits")
JOB_COLUMNS = [getattr(Job, name) for name in columns_of(JobView) if name not in _LOOKED_UP]


def has_paused(said: str | None) -> bool:
    """Whether a worker that says this takes nothing: one that leaves jobs to others does."""
    return said is not None and _LEFT not in said


class Pauses:
    """What living workers say, asked once for however many jobs, when the first open one comes."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def of(self, job_id: str, device: Device, state: str) -> str | None:
        """Why a job that asks for this device, in this state, stands still; None if it does not."""
        if state in FINISHED:
            return None
        return self._said_of(job_id, device) or self._full

    def _said_of(self, job_id: str, device: Device) -> str | None:
        """Why none of the workers that could would take its work; None where one would.

        Others may have paused, or leave the job to that one.
        """
        reasons = []
        for worker, said in self._said:
            if device in open_to(worker):
                reason = _about(job_id, said)
                if reason is None:
                    return None
                reasons.append(reason)
        return max(reasons, default=None)

    @cached_property
    def _said(self) -> list[tuple[DeviceClass, str | None]]:
        """By whom no operator has told to pause or to drain: such a one would not, with no reason.

        What many say alike is here once.
        """
        alike = select(Worker.device, Worker.paused).where(*willing()).distinct()
        return list({(class_of(device), paused) for device, paused in self._session.execute(alike)})

    @cached_property
    def _full(self) -> str | None:
        """What there is to say of a database without room, if it has none."""
        try:
            insist_on_room(self._session.get_bind().engine, LEAST_FREE_BYTES)
        except StorageFull as full:
            return str(full)
        return None


def _about(job_id: str, said: str | None) -> str | None:
    """Why a worker that says this would not take a job's work; None if it would."""
    if said is None or has_paused(said):
        return said
    about = f"{_LEFT}{job_id} "
    return next((line for line in said.splitlines() if about in line), None)


class Remarks:
    """What is said of an open job: why it stands still, or else what it waits for."""

    def __init__(self, session: Session) -> None:
        self._pauses, self._waits = Pauses(session), Waits(session)

    def of(self, job_id: str, device: Device, state: str) -> tuple[str | None, str | None]:
        """`paused` and `waits` of a `JobView`; one of them at most."""
        paused = self._pauses.of(job_id, device, state)
        return paused, None if paused else self._waits.of(device, state)


def job_views(session: Session, rows: Iterable[Row[Any] | Sequence[Any]]) -> Iterator[JobView]:
    """The jobs in rows of `JOB_COLUMNS`."""
    remarks = Remarks(session)
    for row in rows:
        job = JobView(*row)
        paused, waits = remarks.of(job.id, job.device, job.state)
        yield replace(job, paused=paused, waits=waits)

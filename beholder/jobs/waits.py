"""What a queued job waits for while every worker that could take it is busy: `Waits`."""

from functools import cached_property

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from beholder.devices import Device, DeviceClass, class_of, open_to
from beholder.jobs.models import Chunk, Job
from beholder.jobs.service_models import Worker
from beholder.jobs.workers import willing

_Busy = tuple[DeviceClass, float | None, str]  # how far it is, None of an idle one; with what


class Waits:
    """What living workers are at, asked once for however many jobs, when the first queued comes."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def of(self, device: Device, state: str) -> str | None:
        """Words for a job that asks for this device, in this state; None where it waits for none.

        That is so where one is free, which is about to take it, and where nobody is alive.
        """
        if state != "queued":
            return None
        able = [(done, job) for kind, done, job in self._workers if device in open_to(kind)]
        busy = [(done, job) for done, job in able if done is not None]
        if not busy or len(busy) < len(able):
            return None
        done, job = max(busy)
        many = f"all {len(busy):,} workers are busy, one" if len(busy) > 1 else "a worker"
        return f"{many} is {done:.0%} through a batch of {job}"

    @cached_property
    def _workers(self) -> list[_Busy]:
        """The willing ones, as of their last heartbeats."""
        statement = (
            select(Worker.device, Chunk.progress, Job.name, Job.id)
            .outerjoin(Chunk, and_(Chunk.id == Worker.chunk_id, Chunk.state == "running"))
            .outerjoin(Job, Job.id == Chunk.job_id)
            .where(*willing())
        )
        return [
            (class_of(device), None if job_id is None else done or 0.0, name or job_id or "")
            for device, done, name, job_id in self._session.execute(statement)
        ]

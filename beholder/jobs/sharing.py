"""Batches that several chunks share: `batch_key` says whose may, `companions` finds them."""

import hashlib
import json
from collections.abc import Collection, Iterator

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Session, aliased

from beholder.devices import DeviceClass
from beholder.jobs.chunking import most_items
from beholder.jobs.models import Chunk, Job
from beholder.jobs.turns import may_run
from beholder.specs import DreamSpec, Spec

# A chunk has one layer; seeds are an item's or its job's; of a recipe all is in the other fields.
_OF_NO_ACCOUNT = {"layers", "noise", "seed", "recipe"}


def batch_key(spec: Spec) -> str | None:
    """The same for specs whose dreams of one layer are computed alike, in one shape.

    None for studies, and for pictures of their own sizes.
    """
    if not isinstance(spec, DreamSpec) or spec.size == "keep":
        return None
    fields = spec.model_dump(mode="json", exclude=_OF_NO_ACCOUNT)
    if spec.channels_apart:
        fields["channels"] = "each its own"
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]


def companions(
    session: Session,
    job: Job,
    chunk: Chunk,
    room: int,
    *,
    without: Collection[str] = (),
    device: DeviceClass | None = None,
) -> Iterator[tuple[Job, Chunk]]:
    """Queued chunks for `room` more items in the batch of a locked job's chunk, all locked.

    First those of the same job, then one each of other jobs of its priority, as their turns come,
    of those that a worker of this class `device` may run, and `without` some.
    A chunk whose worker died is in nobody's company: it may kill this one too.
    """
    if job.batch_key is None or chunk.attempts > 0 or room <= 0:
        return
    others = _of_others(job, chunk, room).where(*may_run(without, device))
    for owner, one in _alike(session, job, _of_job(job, chunk, room), others):
        if (size := most_items(owner, one)) <= room:
            room -= size
            yield owner, one
        if room == 0:
            return


def _alike(
    session: Session, job: Job, own: Select[Chunk], others: Select[Job, Chunk]
) -> Iterator[tuple[Job, Chunk]]:
    for one in session.scalars(own):
        yield job, one
    for owner, one in session.execute(others):
        yield owner, one


def _of_job(job: Job, chunk: Chunk, limit: int) -> Select[Chunk]:
    statement = select(Chunk).where(Chunk.job_id == job.id, Chunk.id != chunk.id)
    statement = statement.where(*_like(chunk, Chunk)).order_by(Chunk.first_position)
    return statement.limit(limit).with_for_update()


def _of_others(job: Job, chunk: Chunk, limit: int) -> Select[Job, Chunk]:
    """A job that another worker is changing at this moment is passed over, not waited for."""
    its = aliased(Chunk)
    first = select(its.id).where(its.job_id == Job.id, *_like(chunk, its))
    first = first.order_by(its.first_position).limit(1)
    return (
        select(Job, Chunk)
        .join(Chunk, Chunk.id == first.correlate(Job).scalar_subquery())
        .where(
            Job.finished_at.is_(None),
            Job.batch_key == job.batch_key,
            Job.priority == job.priority,
            Job.id != job.id,
            *_like(chunk, Chunk),  # once more, of the row as it is when it has been locked
        )
        .order_by(Job.finished_at, Job.turn, Job.created_at)  # as in the index
        .limit(limit)
        .with_for_update(skip_locked=True)
    )


def _like(chunk: Chunk, other: type[Chunk]) -> tuple[ColumnElement[bool], ...]:
    return (other.state == "queued", other.layer == chunk.layer, other.attempts == 0)

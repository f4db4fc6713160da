"""Storing what studies find of channels: in place of earlier rows, many at a time."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import delete, insert
from sqlalchemy.orm import Session

from beholder.jobs.bulk import in_batches, table_of
from beholder.jobs.channel_models import ChannelClass, ChannelEffect, StudyClass
from beholder.jobs.models import Job
from beholder.jobs.outcomes import ChannelClassRow, ClassRow, EffectRow


def store_channel_classes(
    session: Session, job: Job, classes: Iterable[ClassRow], rows: Iterable[ChannelClassRow]
) -> None:
    """What of a locked study merges into channel records: its classes, and their channels' rows."""
    replace_rows(session, job, StudyClass, classes)
    replace_rows(session, job, ChannelClass, rows)


def store_channel_effects(session: Session, job: Job, rows: Iterable[EffectRow]) -> None:
    """What a locked sound study found of the channels of its set."""
    replace_rows(session, job, ChannelEffect, rows)


def replace_rows(session: Session, job: Job, model: type[Any], rows: Iterable[object]) -> None:
    """The rows of `model` that belong to a locked job, instead of those that it has."""
    session.execute(delete(model).where(model.job_id == job.id))
    in_batches(
        ({"job_id": job.id, **vars(row)} for row in rows),
        lambda batch: session.execute(insert(table_of(model)), batch),
    )

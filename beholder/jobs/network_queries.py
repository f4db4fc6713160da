"""Questions by network: its studies, and what weights are called here.

A network goes by its name, or by the beginning of its weights' hash.
"""

import re

from sqlalchemy import ColumnElement, or_, select

from beholder.jobs.database import Database
from beholder.jobs.models import Job
from beholder.jobs.pauses import JOB_COLUMNS, job_views
from beholder.jobs.views import JobView

_NEWEST = (Job.created_at.desc(), Job.id.desc())
_HASH = re.compile(r"[0-9a-f]{12,64}")


def on_network(network: str) -> ColumnElement[bool]:
    """That a job is on the network of this name, or whose weights' hash begins so."""
    named = Job.network == network
    if not _HASH.fullmatch(network):
        return named
    return or_(named, Job.network_sha256.startswith(network))


def measured_studies(
    database: Database, *, network: str | None = None, limit: int = 1000
) -> list[JobView]:
    """Studies that have their channels, newest first, of one network or of all."""
    statement = select(*JOB_COLUMNS).where(Job.kind == "study", Job.target_pictures.is_not(None))
    if network is not None:
        statement = statement.where(on_network(network))
    with database.read() as session:
        rows = session.execute(statement.order_by(*_NEWEST).limit(limit)).all()
        return list(job_views(session, rows))


def name_of_network(database: Database, sha256: str) -> str | None:
    """What the newest job that ran on these weights called them; None where none did."""
    statement = select(Job.network).where(Job.network_sha256 == sha256).order_by(*_NEWEST)
    with database.read() as session:
        return session.scalar(statement.limit(1))

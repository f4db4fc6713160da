"""Questions by network: its studies, a channel's dream, what weights are called here.

A network goes by its name, or by the beginning of its weights' hash.
"""

import re

from sqlalchemy import ColumnElement, or_, select

from beholder.jobs.database import Database
from beholder.jobs.models import OPEN, Job
from beholder.jobs.pauses import job_columns, job_view
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
    statement = select(*job_columns()).where(Job.kind == "study", Job.target_pictures.is_not(None))
    if network is not None:
        statement = statement.where(on_network(network))
    with database.read() as session:
        rows = session.execute(statement.order_by(*_NEWEST).limit(limit))
        return [job_view(session, row) for row in rows]


def name_of_network(database: Database, sha256: str) -> str | None:
    """What the newest job that ran on these weights called them; None where none did."""
    statement = select(Job.network).where(Job.network_sha256 == sha256).order_by(*_NEWEST)
    with database.read() as session:
        return session.scalar(statement.limit(1))


def channel_dream(
    database: Database, *, network: str, layer: int, channel: int, finished: bool
) -> JobView | None:
    """The newest dream of this channel alone in this layer: a done one, or one that is open."""
    only = (Job.spec["channels"][0].as_integer() == channel) & (
        Job.spec["channels"][1].as_integer().is_(None)
    )
    here = (Job.spec["layers"][0].as_integer() == layer) & (
        Job.spec["layers"][1].as_integer().is_(None)
    )
    state = (Job.state == "done") if finished else Job.state.in_(OPEN)
    statement = select(*job_columns()).where(
        Job.kind == "dream", on_network(network), state, only, here
    )
    with database.read() as session:
        row = session.execute(statement.order_by(*_NEWEST).limit(1)).first()
        return None if row is None else job_view(session, row)

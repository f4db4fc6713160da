"""Pictures that a dream's spec names, beside those that it dreams of: its mask and its guide."""

from collections.abc import Collection, Iterator

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from beholder.errors import InvalidSpec
from beholder.jobs.database import Database
from beholder.jobs.models import Job
from beholder.jobs.stock import use_pictures
from beholder.specs import DreamSpec, Spec

_FIELDS = ("mask", "guide")


def insist_on_named(database: Database, spec: Spec) -> None:
    """Raise InvalidSpec for a picture that a spec names and nobody has sent."""
    if not isinstance(spec, DreamSpec):
        return
    named = {field: getattr(spec, field) for field in _FIELDS if getattr(spec, field)}
    known = use_pictures(database, list(named.values())) if named else {}
    for field, sha256 in named.items():
        if sha256 not in known:
            raise InvalidSpec(
                f"{field}: no picture {sha256[:12]}... here; send it with POST /v1/pictures first."
            )


def named_by_jobs(session: Session, among: Collection[str] | None = None) -> Iterator[str]:
    """The hashes of pictures that any job's spec names; with `among`, of these alone."""
    for field in _FIELDS:
        named = _text(field)
        statement = select(named).where(Job.kind == "dream", named.is_not(None))
        if among is not None:
            statement = statement.where(named.in_(among))
        yield from session.scalars(statement)


def _text(field: str) -> ColumnElement[str]:
    found: ColumnElement[str] = Job.spec[field].as_string()
    return found

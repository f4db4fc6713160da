"""Requests that may be repeated: `Repeatable` names one, `earlier_job` finds what it made before.

A repeated request with the same content is answered with the job it made; with other content it is
refused. Key and job are written in one transaction, under the lock that submissions share.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from beholder.errors import InvalidInput
from beholder.jobs.models import Job
from beholder.jobs.service_models import IdempotencyKey
from beholder.jobs.spool import Entry


@dataclass(frozen=True)
class Repeatable:
    """The client's name for a request. owner: whose name it is; two owners may use the same."""

    key: str
    owner: str = ""


def fingerprint(asked: dict[str, Any], entries: Iterable[Entry]) -> str:
    """The SHA-256 of what a request asks, whatever order or form it came in."""
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode())
    for entry in entries:
        picture = entry.picture.sha256 if entry.picture else entry.error
        line = [entry.source, picture, entry.seed, entry.role, entry.group]
        digest.update(json.dumps(line).encode())
    return digest.hexdigest()


def earlier_job(session: Session, request: Repeatable, content: str) -> Job | None:
    """The job that this request made before; None if it is new. Raises InvalidInput."""
    found = session.get(IdempotencyKey, (request.owner, request.key))
    if found is None:
        return None
    if found.fingerprint != content:
        raise InvalidInput(
            f"Idempotency-Key {request.key!r} was used for another request, which made job "
            f"{found.job_id}: choose a new key."
        )
    return session.get_one(Job, found.job_id)


def remember(session: Session, request: Repeatable, content: str, job_id: str) -> None:
    """Note in the job's transaction that this request made it."""
    row = {"owner": request.owner, "key": request.key}
    session.add(IdempotencyKey(**row, fingerprint=content, job_id=job_id))

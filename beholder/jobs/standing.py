"""What of claims still stands, with their jobs locked: `standing` for one, `all_standing` for more.

`claims.held_chunk` is for who has locked the job.
"""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from beholder.jobs.claim import Claim
from beholder.jobs.models import OPEN, Chunk, Job


def standing(session: Session, claim: Claim) -> tuple[Job, Chunk] | None:
    """The claim's job, locked, and its chunk, if the claim still stands."""
    return all_standing(session, [claim]).get(claim.token)


def all_standing(session: Session, claims: Sequence[Claim]) -> dict[str, tuple[Job, Chunk]]:
    """By token, the locked job and the chunk of each claim that still stands."""
    # In one order, so that two workers that end chunks of the same jobs don't deadlock.
    statement = select(Job).where(Job.id.in_({claim.job_id for claim in claims})).order_by(Job.id)
    jobs = {
        job.id: job for job in session.scalars(statement.with_for_update()) if job.state in OPEN
    }
    chunks = select(Chunk).where(
        Chunk.id.in_([claim.chunk_id for claim in claims]),
        Chunk.token.in_([claim.token for claim in claims]),
        Chunk.state == "running",
        Chunk.job_id.in_(jobs),
    )
    return {chunk.token or "": (jobs[chunk.job_id], chunk) for chunk in session.scalars(chunks)}

"""A chunk's end inside a transaction: `end_items` notes its items' outcomes, `end_chunks` ends it.

For `finish`, which stores between the two what a stage has come to.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from beholder.jobs.advance import advance_all
from beholder.jobs.models import Chunk, Item, Job, utc_now
from beholder.jobs.outcomes import DreamOutcome, Finished, ItemFailure, VerdictOutcome
from beholder.jobs.rows import items_of

Outcome = DreamOutcome | VerdictOutcome | ItemFailure


class Ending(NamedTuple):
    """A held chunk at its end, with an outcome for each of its items; its job is locked."""

    job: Job
    chunk: Chunk
    outcomes: Sequence[Outcome]


def end_items(
    session: Session, endings: Sequence[Ending], *, done: str
) -> dict[tuple[int, int], int]:
    """Give every item of the chunks its outcome: "done", or "queued" for the next stage.

    Item ids by chunk and position.
    """
    before = _open_items(session, [ending.chunk for ending in endings])
    changes: list[dict[str, Any]] = []
    for job, chunk, outcomes in endings:
        wanted = {position for owner, position in before if owner == chunk.id}
        if len(outcomes) != len(wanted) or {one.position for one in outcomes} != wanted:
            raise ValueError(f"chunk {chunk.id} wants one outcome for each of {sorted(wanted)}")
        measured = chunk.stage in ("measure", "classify")
        changes += [
            _change(*before[chunk.id, one.position], one, done, measured) for one in outcomes
        ]
        _count(job, outcomes, done)
    if changes:
        session.execute(update(Item), changes)
    return {place: number for place, (number, _) in before.items()}


def _open_items(
    session: Session, chunks: Sequence[Chunk]
) -> dict[tuple[int, int], tuple[int, float | None]]:
    """The id and the seconds so far of each item of the chunks, by chunk and position."""
    statement = (
        select(Chunk.id, Item.position, Item.id, Item.seconds)
        .join(Item, items_of(Chunk))
        .where(Chunk.id.in_([chunk.id for chunk in chunks]))
    )
    rows = session.execute(statement)
    return {(owner, position): (number, seconds) for owner, position, number, seconds in rows}


def _count(job: Job, outcomes: Sequence[Outcome], done: str) -> None:
    """Keep the job's counters in step with its items."""
    failed = sum(isinstance(one, ItemFailure) for one in outcomes)
    job.running -= len(outcomes)
    job.failed += failed
    if done == "queued":
        job.queued += len(outcomes) - failed
        job.measured += len(outcomes) - failed
    else:
        job.done += len(outcomes) - failed


def _change(
    number: int, seconds: float | None, outcome: Outcome, done: str, measured: bool
) -> dict[str, Any]:
    """The new values of one item: those that failed have one set of keys, the others another.

    All with the same keys go in one statement.
    """
    if isinstance(outcome, ItemFailure):
        return {"id": number, "state": "failed", "error": outcome.reason}
    values: dict[str, Any] = {"id": number, "state": done, "error": None, "measured": measured}
    if isinstance(outcome, DreamOutcome):
        values["result"] = dict(outcome.result)
    return {**values, "seconds": (seconds or 0.0) + outcome.seconds}


def end_chunk(session: Session, ending: Ending) -> Finished:
    """The same as `end_chunks`, for one."""
    return end_chunks(session, [ending])[ending.chunk.id]


def end_chunks(session: Session, endings: Sequence[Ending]) -> dict[int, Finished]:
    """What came of each, by its chunk's id; new chunks count with the first of their job."""
    for _, chunk, _ in endings:
        chunk.state, chunk.token, chunk.finished_at = "done", None, utc_now()
        chunk.lease_until = None
    jobs = {ending.job.id: ending.job for ending in endings}
    new = advance_all(session, list(jobs.values()))
    return {chunk.id: Finished(new.pop(job.id, 0), job.state) for job, chunk, _ in endings}

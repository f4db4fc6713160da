"""The end of a chunk, in one transaction each, and what it brings about.

`finish_dream`, `finish_measure`, `finish_choose`, `finish_classify`; `fail_chunk_job` when the
job can't go on; `record_network` before the first. All of them change nothing, and return None,
where the claim no longer stands.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from beholder.errors import Conflict
from beholder.jobs.advance import advance
from beholder.jobs.claims import Claim, held_chunk
from beholder.jobs.database import Database
from beholder.jobs.models import OPEN, Channel, Chunk, Exemplar, File, Item, Job, Verdict, utc_now
from beholder.jobs.outcomes import (
    ChannelRow,
    DreamOutcome,
    ExemplarRow,
    Finished,
    ItemFailure,
    VerdictKind,
    VerdictOutcome,
)
from beholder.jobs.rows import fail_everything, items_of, lock_job
from beholder.jobs.submit import in_batches, table_of

_Outcome = DreamOutcome | VerdictOutcome | ItemFailure


def finish_dream(
    database: Database, claim: Claim, outcomes: Sequence[DreamOutcome | ItemFailure]
) -> Finished | None:
    """Store a chunk of dreams: one outcome for each of the claim's items."""
    with database.write() as session:
        held = _held(session, claim)
        if held is None:
            return None
        job, chunk = held
        ids = _end_items(session, job, chunk, outcomes, done="done")
        files = [
            {"item_id": ids[outcome.position], **asdict(file)}
            for outcome in outcomes
            if isinstance(outcome, DreamOutcome)
            for file in outcome.files
        ]
        session.execute(delete(File).where(File.item_id.in_(ids.values())))
        if files:
            session.execute(insert(table_of(File)), files)
        return _end_chunk(session, job, chunk)


def finish_measure(
    database: Database,
    claim: Claim,
    outcomes: Sequence[VerdictOutcome | ItemFailure],
    *,
    partial: str | None,
) -> Finished | None:
    """Store a chunk's intact verdicts, and where its statistics are (None if all items failed).

    The last one queues the choose stage.
    """
    with database.write() as session:
        held = _held(session, claim)
        if held is None:
            return None
        job, chunk = held
        ids = _end_items(session, job, chunk, outcomes, done="queued")
        _store_verdicts(session, ids, outcomes, "intact")
        chunk.partial = partial
        return _end_chunk(session, job, chunk)


def finish_choose(
    database: Database,
    claim: Claim,
    rows: Iterable[ChannelRow],
    *,
    exemplars: Iterable[ExemplarRow] = (),
    target_pictures: int,
    control_pictures: int,
) -> Finished | None:
    """Store a study's channels and their strongest pictures, in place of earlier ones.

    Queues the classify stage.
    """
    with database.write() as session:
        held = _held(session, claim)
        if held is None:
            return None
        job, chunk = held
        for model, found in ((Channel, rows), (Exemplar, exemplars)):
            _replace_rows(session, job, model, found)
        job.target_pictures, job.control_pictures = target_pictures, control_pictures
        return _end_chunk(session, job, chunk)


def _replace_rows(
    session: Session, job: Job, model: type[Any], rows: Iterable[ChannelRow | ExemplarRow]
) -> None:
    session.execute(delete(model).where(model.job_id == job.id))
    in_batches(
        ({"job_id": job.id, **vars(row)} for row in rows),
        lambda batch: session.execute(insert(table_of(model)), batch),
    )


def finish_classify(
    database: Database, claim: Claim, outcomes: Sequence[VerdictOutcome | ItemFailure]
) -> Finished | None:
    """Store a chunk's blinded verdicts. The last one finishes the study."""
    with database.write() as session:
        held = _held(session, claim)
        if held is None:
            return None
        job, chunk = held
        ids = _end_items(session, job, chunk, outcomes, done="done")
        _store_verdicts(session, ids, outcomes, "blinded")
        return _end_chunk(session, job, chunk)


def fail_chunk_job(database: Database, claim: Claim, reason: str) -> Finished | None:
    """The whole job fails for this reason, such as weights that can't be had; `retry` is left."""
    with database.write() as session:
        held = _held(session, claim)
        if held is None:
            return None
        job, chunk = held
        chunk.state, chunk.token, chunk.finished_at = "failed", None, utc_now()
        session.flush()
        fail_everything(session, job, reason)
        return Finished((), job.state)


def record_network(database: Database, claim: Claim, name: str, sha256: str) -> None:
    """Note which weights a job runs on. Raises Conflict if it began with others."""
    if claim.network_sha256 is None:
        with database.write() as session:
            held = _held(session, claim)
            if held is None:
                return
            job, _ = held
            job.network_sha256 = job.network_sha256 or sha256
            recorded = job.network_sha256
    else:
        recorded = claim.network_sha256
    if recorded != sha256:
        raise Conflict(
            f"job {claim.job_id} began with weights {recorded[:12]} of {name}, this worker has "
            f"{sha256[:12]}: give every worker the same file, or submit a new job."
        )


def _held(session: Session, claim: Claim) -> tuple[Job, Chunk] | None:
    """The claim's job, locked, and its chunk, if the claim still stands."""
    job = lock_job(session, claim.job_id)
    if job is None or job.state not in OPEN:
        return None
    chunk = held_chunk(session, claim)
    return None if chunk is None else (job, chunk)


def _end_items(
    session: Session, job: Job, chunk: Chunk, outcomes: Sequence[_Outcome], *, done: str
) -> dict[int, int]:
    """Give every item of the chunk its outcome: "done", or "queued" for the next stage.

    Item ids by position.
    """
    rows = session.execute(select(Item.position, Item.id, Item.seconds).where(items_of(chunk)))
    before = {position: (number, seconds) for position, number, seconds in rows}
    if len(outcomes) != len(before) or {one.position for one in outcomes} != set(before):
        raise ValueError(f"chunk {chunk.id} wants one outcome for each of {sorted(before)}")
    measured = chunk.stage in ("measure", "classify")
    changes = [_change(*before[one.position], one, done, measured) for one in outcomes]
    if changes:
        session.execute(update(Item), changes)
    failed = sum(isinstance(one, ItemFailure) for one in outcomes)
    job.running -= len(outcomes)
    job.failed += failed
    if done == "queued":
        job.queued += len(outcomes) - failed
        job.measured += len(outcomes) - failed
    else:
        job.done += len(outcomes) - failed
    return {position: number for position, (number, _) in before.items()}


def _change(
    number: int, seconds: float | None, outcome: _Outcome, done: str, measured: bool
) -> dict[str, Any]:
    """The new values of one item, all rows with the same keys so that they go in one statement."""
    if isinstance(outcome, ItemFailure):
        return {"id": number, "state": "failed", "error": outcome.reason}
    values: dict[str, Any] = {"id": number, "state": done, "error": None, "measured": measured}
    if isinstance(outcome, DreamOutcome):
        values["result"] = dict(outcome.result)
    return {**values, "seconds": (seconds or 0.0) + outcome.seconds}


def _store_verdicts(
    session: Session, ids: dict[int, int], outcomes: Sequence[_Outcome], kind: VerdictKind
) -> None:
    session.execute(delete(Verdict).where(Verdict.item_id.in_(ids.values()), Verdict.kind == kind))
    rows = [
        {"item_id": ids[one.position], "kind": kind, **vars(one.verdict)}
        for one in outcomes
        if isinstance(one, VerdictOutcome)
    ]
    if rows:
        session.execute(insert(table_of(Verdict)), rows)


def _end_chunk(session: Session, job: Job, chunk: Chunk) -> Finished:
    chunk.state, chunk.token, chunk.finished_at = "done", None, utc_now()
    chunk.lease_until = None
    session.flush()
    return Finished(advance(session, job), job.state)

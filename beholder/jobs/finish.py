"""The end of chunks, in one transaction, and what it brings about.

`finish_dreams` for those of a batch, `finish_measure` and `finish_choose`, `finish_classify` and
`finish_conclude`; `fail_chunk_job` and `fail_unless_begun` when the job can't go on;
`record_network` before the first. All of them change nothing where the claim no longer stands.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from beholder.errors import Conflict
from beholder.jobs.advance import advance_all, is_sound
from beholder.jobs.bulk import table_of
from beholder.jobs.channel_models import Channel, Exemplar
from beholder.jobs.channel_records import (
    replace_rows,
    store_channel_classes,
    store_channel_effects,
)
from beholder.jobs.claims import Claim
from beholder.jobs.database import Database
from beholder.jobs.models import OPEN, Chunk, File, Item, Job, Verdict, utc_now
from beholder.jobs.outcomes import (
    ChannelClassRow,
    ChannelRow,
    ClassRow,
    DreamOutcome,
    EffectRow,
    ExemplarRow,
    Finished,
    ItemFailure,
    VerdictKind,
    VerdictOutcome,
)
from beholder.jobs.rows import fail_everything, items_of
from beholder.jobs.verdicts import Summary, count_kept, store_summary

_Outcome = DreamOutcome | VerdictOutcome | ItemFailure


class _Ending(NamedTuple):
    """A held chunk at its end, with an outcome for each of its items; its job is locked."""

    job: Job
    chunk: Chunk
    outcomes: Sequence[_Outcome]


def finish_dreams(
    database: Database, ended: Sequence[tuple[Claim, Sequence[DreamOutcome | ItemFailure]]]
) -> dict[str, Finished | None]:
    """Store chunks of dreams: one outcome for each item of each claim. By the claims' tokens."""
    with database.write() as session:
        held = _all_held(session, [claim for claim, _ in ended])
        endings = [
            _Ending(*held[claim.token], outcomes)
            for claim, outcomes in ended
            if claim.token in held
        ]
        ids = _end_items(session, endings, done="done")
        files = [
            {"item_id": ids[ending.chunk.id, outcome.position], **vars(file)}
            for ending in endings
            for outcome in ending.outcomes
            if isinstance(outcome, DreamOutcome)
            for file in outcome.files
        ]
        session.execute(delete(File).where(File.item_id.in_(ids.values())))
        if files:
            session.execute(insert(table_of(File)), files)
        finished = _end_chunks(session, endings)
        return {claim.token: finished.get(claim.chunk_id) for claim, _ in ended}


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
        ending = _Ending(*held, outcomes)
        ids = _end_items(session, [ending], done="queued")
        _store_verdicts(session, ids, ending, "intact")
        ending.chunk.partial = partial
        return _end_chunk(session, ending)


def finish_choose(
    database: Database,
    claim: Claim,
    rows: Iterable[ChannelRow],
    *,
    exemplars: Iterable[ExemplarRow] = (),
    classes: Iterable[ClassRow] = (),
    by_class: Iterable[ChannelClassRow] = (),
    target_pictures: int,
    control_pictures: int,
    partial: str | None = None,
) -> Finished | None:
    """Store a study's channels and their pictures, in place of earlier ones.

    classes, by_class: what channel records merge. partial: the folder of a sound study's plan.
    Queues the classify stage.
    """
    with database.write() as session:
        held = _held(session, claim)
        if held is None:
            return None
        job, chunk = held
        replace_rows(session, job, Channel, rows)
        replace_rows(session, job, Exemplar, exemplars)
        store_channel_classes(session, job, classes, by_class)
        job.target_pictures, job.control_pictures = target_pictures, control_pictures
        chunk.partial = partial
        return _end_chunk(session, _Ending(job, chunk, ()))


def finish_classify(
    database: Database,
    claim: Claim,
    outcomes: Sequence[VerdictOutcome | ItemFailure],
    *,
    partial: str | None = None,
) -> Finished | None:
    """Store a chunk's blinded verdicts. The last one finishes the study, or has it concluded.

    partial: the folder of a sound study's readings, whose summary its conclusion gives.
    """
    with database.write() as session:
        held = _held(session, claim)
        if held is None:
            return None
        ending = _Ending(*held, outcomes)
        ids = _end_items(session, [ending], done="done")
        _store_verdicts(session, ids, ending, "blinded")
        if not is_sound(ending.job):
            count_kept(session, ending.job, ids.values())
        ending.chunk.partial = partial
        return _end_chunk(session, ending)


def finish_conclude(
    database: Database,
    claim: Claim,
    *,
    partial: str,
    effects: Iterable[EffectRow] = (),
    summary: Summary | None = None,
) -> Finished | None:
    """Note the folder of a sound study's evidence, its channels' effects and its summary.

    That ends the study.
    """
    with database.write() as session:
        held = _held(session, claim)
        if held is None:
            return None
        job, chunk = held
        store_channel_effects(session, job, effects)
        store_summary(job, summary or Summary())
        chunk.partial = partial
        return _end_chunk(session, _Ending(job, chunk, ()))


def fail_chunk_job(database: Database, claim: Claim, reason: str) -> Finished | None:
    """The whole job fails for this reason, such as weights that can't be had; `retry` is left."""
    with database.write() as session:
        held = _held(session, claim)
        if held is None:
            return None
        return _fail(session, *held, reason)


def fail_unless_begun(database: Database, claim: Claim, reason: str) -> bool:
    """The same for what may be a lack of this worker alone; False, and no change, if others began.

    They have if weights are noted, which a worker does that has found what the job asks for, or if
    another has a chunk of the job in hand, and may be about to note them.
    """
    with database.write() as session:
        held = _held(session, claim)
        if held is None:
            return True
        job, chunk = held
        others = select(Chunk.id).where(
            Chunk.job_id == job.id, Chunk.state == "running", Chunk.worker != chunk.worker
        )
        if job.network_sha256 is not None or session.scalar(others.limit(1)) is not None:
            return False
        _fail(session, job, chunk, reason)
        return True


def record_network(
    database: Database, claims: Sequence[Claim], name: str, sha256: str
) -> dict[str, Conflict]:
    """Note which weights the claims' jobs run on; by token, those whose job began with others."""
    recorded = {claim.token: claim.network_sha256 or sha256 for claim in claims}
    first = [claim for claim in claims if claim.network_sha256 is None]
    if first:
        with database.write() as session:
            for token, (job, _) in _all_held(session, first).items():
                job.network_sha256 = recorded[token] = job.network_sha256 or sha256
    return {
        claim.token: Conflict(
            f"job {claim.job_id} began with weights {recorded[claim.token][:12]} of {name}, this "
            f"worker has {sha256[:12]}: give every worker the same file, or submit a new job."
        )
        for claim in claims
        if recorded[claim.token] != sha256
    }


def _fail(session: Session, job: Job, chunk: Chunk, reason: str) -> Finished:
    chunk.state, chunk.token, chunk.finished_at = "failed", None, utc_now()
    session.flush()
    fail_everything(session, job, reason)
    return Finished(0, job.state)


def _held(session: Session, claim: Claim) -> tuple[Job, Chunk] | None:
    """The claim's job, locked, and its chunk, if the claim still stands."""
    return _all_held(session, [claim]).get(claim.token)


def _all_held(session: Session, claims: Sequence[Claim]) -> dict[str, tuple[Job, Chunk]]:
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


def _end_items(
    session: Session, endings: Sequence[_Ending], *, done: str
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


def _count(job: Job, outcomes: Sequence[_Outcome], done: str) -> None:
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
    number: int, seconds: float | None, outcome: _Outcome, done: str, measured: bool
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


def _store_verdicts(
    session: Session, ids: dict[tuple[int, int], int], ending: _Ending, kind: VerdictKind
) -> None:
    session.execute(delete(Verdict).where(Verdict.item_id.in_(ids.values()), Verdict.kind == kind))
    rows = [
        {"item_id": ids[ending.chunk.id, one.position], "kind": kind, **vars(one.verdict)}
        for one in ending.outcomes
        if isinstance(one, VerdictOutcome)
    ]
    if rows:
        session.execute(insert(table_of(Verdict)), rows)


def _end_chunk(session: Session, ending: _Ending) -> Finished:
    return _end_chunks(session, [ending])[ending.chunk.id]


def _end_chunks(session: Session, endings: Sequence[_Ending]) -> dict[int, Finished]:
    """What came of each, by its chunk's id; new chunks count with the first of their job."""
    for _, chunk, _ in endings:
        chunk.state, chunk.token, chunk.finished_at = "done", None, utc_now()
        chunk.lease_until = None
    jobs = {ending.job.id: ending.job for ending in endings}
    new = advance_all(session, list(jobs.values()))
    return {chunk.id: Finished(new.pop(job.id, 0), job.state) for job, chunk, _ in endings}

"""The end of chunks, in one transaction, and what it brings about.

`finish_dreams` for those of a batch, `finish_measure` and `finish_choose`, `finish_classify` and
`finish_conclude`; `fail_chunk_job` and `fail_unless_begun` when the job can't go on. All of them
change nothing where the claim no longer stands.
"""

from collections.abc import Iterable, Sequence

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from beholder.jobs.advance import is_sound
from beholder.jobs.bulk import table_of
from beholder.jobs.channel_models import Channel, Exemplar
from beholder.jobs.channel_records import (
    replace_rows,
    store_channel_classes,
    store_channel_effects,
)
from beholder.jobs.claim import Claim
from beholder.jobs.database import Database
from beholder.jobs.endings import Ending, end_chunk, end_chunks, end_items
from beholder.jobs.models import Chunk, File, Job, Verdict, utc_now
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
from beholder.jobs.rows import fail_everything
from beholder.jobs.standing import all_standing, standing
from beholder.jobs.verdicts import Summary, count_kept, store_summary


def finish_dreams(
    database: Database,
    ended: Sequence[tuple[Claim, Sequence[DreamOutcome | ItemFailure]]],
    *,
    lasting: bool = False,
) -> dict[str, Finished | None]:
    """Store chunks of dreams: one outcome for each item of each claim. By the claims' tokens.

    lasting: not even a power cut takes it back: what they could go on from may then be removed.
    """
    with database.write(lasting=lasting) as session:
        held = all_standing(session, [claim for claim, _ in ended])
        endings = [
            Ending(*held[claim.token], outcomes) for claim, outcomes in ended if claim.token in held
        ]
        ids = end_items(session, endings, done="done")
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
        finished = end_chunks(session, endings)
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
        held = standing(session, claim)
        if held is None:
            return None
        ending = Ending(*held, outcomes)
        ids = end_items(session, [ending], done="queued")
        _store_verdicts(session, ids, ending, "intact")
        ending.chunk.partial = partial
        return end_chunk(session, ending)


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
        held = standing(session, claim)
        if held is None:
            return None
        job, chunk = held
        replace_rows(session, job, Channel, rows)
        replace_rows(session, job, Exemplar, exemplars)
        store_channel_classes(session, job, classes, by_class)
        job.target_pictures, job.control_pictures = target_pictures, control_pictures
        chunk.partial = partial
        return end_chunk(session, Ending(job, chunk, ()))


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
        held = standing(session, claim)
        if held is None:
            return None
        ending = Ending(*held, outcomes)
        ids = end_items(session, [ending], done="done")
        _store_verdicts(session, ids, ending, "blinded")
        if not is_sound(ending.job):
            count_kept(session, ending.job, ids.values())
        ending.chunk.partial = partial
        return end_chunk(session, ending)


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
        held = standing(session, claim)
        if held is None:
            return None
        job, chunk = held
        store_channel_effects(session, job, effects)
        store_summary(job, summary or Summary())
        chunk.partial = partial
        return end_chunk(session, Ending(job, chunk, ()))


def fail_chunk_job(database: Database, claim: Claim, reason: str) -> Finished | None:
    """The whole job fails for this reason, such as weights that can't be had; `retry` is left."""
    with database.write() as session:
        held = standing(session, claim)
        if held is None:
            return None
        return _fail(session, *held, reason)


def fail_unless_begun(database: Database, claim: Claim, reason: str) -> bool:
    """The same for what may be a lack of this worker alone; False, and no change, if others began.

    They have if weights are noted, which a worker does that has found what the job asks for, or if
    another has a chunk of the job in hand, and may be about to note them.
    """
    with database.write() as session:
        held = standing(session, claim)
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


def _fail(session: Session, job: Job, chunk: Chunk, reason: str) -> Finished:
    chunk.state, chunk.token, chunk.finished_at = "failed", None, utc_now()
    session.flush()
    fail_everything(session, job, reason)
    return Finished(0, job.state)


def _store_verdicts(
    session: Session, ids: dict[tuple[int, int], int], ending: Ending, kind: VerdictKind
) -> None:
    session.execute(delete(Verdict).where(Verdict.item_id.in_(ids.values()), Verdict.kind == kind))
    rows = [
        {"item_id": ids[ending.chunk.id, one.position], "kind": kind, **vars(one.verdict)}
        for one in ending.outcomes
        if isinstance(one, VerdictOutcome)
    ]
    if rows:
        session.execute(insert(table_of(Verdict)), rows)

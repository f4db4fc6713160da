"""What follows when a chunk has ended: a study's next stage, a film's next frames, or the end."""

from collections.abc import Iterator, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from beholder.jobs.chunking import insert_chunks, ranges_of
from beholder.jobs.clock import ago
from beholder.jobs.frames import Frames, due
from beholder.jobs.models import OPEN, Item, Job
from beholder.jobs.rows import fail_everything, has_measured_target, with_open_chunks
from beholder.jobs.stages import NO_ITEMS, WHOLE, Stage

_PAGE = 1_000


def advance(session: Session, job: Job) -> int:
    """Decide what comes next for a locked job; how many chunks that puts into the queue."""
    return advance_all(session, [job])[job.id]


def advance_all(session: Session, jobs: Sequence[Job]) -> dict[str, int]:
    """The same for several jobs, by their ids."""
    session.flush()
    busy = with_open_chunks(session, [job.id for job in jobs])
    return {job.id: 0 if job.id in busy else _go_on(session, job) for job in jobs}


def _go_on(session: Session, job: Job) -> int:
    """What follows when a job's stage is through; how many chunks."""
    if job.stage == "measure":
        if has_measured_target(session, job.id):
            return start_stage(session, job, "choose")
        fail_everything(session, job, _nothing_left(session, job, "no target picture was measured"))
        return 0
    if job.stage == "dream" and Frames.of(job) and (chunks := start_stage(session, job, "dream")):
        return chunks  # the next frames
    if job.stage == "choose" and (chunks := start_stage(session, job, "classify")):
        return chunks
    if job.stage in ("choose", "classify") and job.done and is_sound(job):
        return start_stage(session, job, "conclude")
    _end(session, job)
    return 0


def is_sound(job: Job) -> bool:
    """Whether it is a study that ends with evidence."""
    return job.spec.get("recipe") == "sound"


def start_stage(session: Session, job: Job, stage: Stage) -> int:
    """Queue the chunks of a stage over the items that are open for it; how many."""
    job.stage = stage
    if stage in WHOLE:
        return insert_chunks(session, job, [NO_ITEMS])
    ranges = ranges_of(_open_items(session, job, measured=stage == "classify"), job.chunk_size)
    return insert_chunks(session, job, ranges)


def _open_items(session: Session, job: Job, *, measured: bool) -> Iterator[tuple[int, int | None]]:
    """(position, layer) of the open items that can run, in order, a page at a time."""
    can_run, last = due(session, job), -1
    while True:
        statement = (
            select(Item.position, Item.layer)
            .where(
                Item.job_id == job.id,
                Item.position > last,
                Item.state.in_(OPEN),
                Item.measured == measured,
                can_run,
            )
            .order_by(Item.position)
            .limit(_PAGE)
        )
        page = [(position, layer) for position, layer in session.execute(statement)]
        yield from page
        if len(page) < _PAGE:
            return
        last = page[-1][0]


def _end(session: Session, job: Job) -> None:
    job.state = "done" if job.done else "failed"
    job.error = None if job.done else _nothing_left(session, job, "every item failed")
    job.stage, job.finished_at = None, ago(0)


def _nothing_left(session: Session, job: Job, what: str) -> str:
    statement = (
        select(Item.source, Item.error)
        .where(Item.job_id == job.id, Item.state == "failed")
        .order_by(Item.position)
        .limit(1)
    )
    first = session.execute(statement).first()
    return f"{what}; the first was {first.source}: {first.error}" if first else f"{what}."

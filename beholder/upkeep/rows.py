"""A job's rows against each other: `check_rows(session, job_id)`, in one snapshot.

Every change keeps these in step within its transaction, so that what is under way is no finding.
"""

from collections.abc import Callable, Iterator

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import Session, aliased

from beholder.jobs.advance import is_sound
from beholder.jobs.channel_models import Channel, Exemplar
from beholder.jobs.frames import due
from beholder.jobs.models import FINISHED, INCOMING, ITEM_STATES, OPEN, Chunk, Item, Job, Verdict
from beholder.jobs.rows import item_counts
from beholder.upkeep.findings import RECOUNT, REQUEUE, RESUBMIT, RETRY, Finding, Kind

_PAGE = 5_000
JUDGED = ("targets_judged", "targets_kept", "controls_judged", "controls_kept")


def check_rows(session: Session, job_id: str) -> Iterator[Finding]:
    """What is wrong with a job's rows; nothing for a job that is being written or is gone."""
    job = session.get(Job, job_id)
    if job is None or job.state == INCOMING:
        return
    checks: list[Callable[[Session, Job], Iterator[Finding]]] = [_counters, _unreasoned]
    if job.unsettled is None:  # else its rows are to follow it later
        checks += [_ended] if job.state in FINISHED else [_uncovered, _doubled]
    if job.kind == "study":
        checks += [_verdicts, _channels]
    for check in checks:
        yield from check(session, job)


def counted(session: Session, job: Job) -> dict[str, int]:
    """What the job's counters should be, by their names; none that its rows lag behind."""
    found = item_counts(session, job.id)
    counts = {"total": sum(found[state] for state in ITEM_STATES), "measured": found["measured"]}
    if job.unsettled is None:
        counts = found | counts
    # Of a sound study its evidence alone says what its summary is.
    if job.kind == "study" and job.unsettled is not False and not is_sound(job):
        counts |= _judged(session, job)
    return counts


def uncovered(session: Session, job: Job) -> Iterator[tuple[int, int | None]]:
    """(position, layer) of open items that no open chunk of the job's stage stands for."""
    chunks = select(Chunk.first_position, Chunk.last_position).where(
        Chunk.job_id == job.id, Chunk.state.in_(OPEN), Chunk.stage == job.stage
    )
    waiting = iter(
        session.execute(chunks.order_by(Chunk.first_position).execution_options(yield_per=_PAGE))
    )
    ahead, reach = next(waiting, None), -1
    for position, layer in _open_items(session, job):
        while ahead is not None and ahead[0] <= position:
            reach = max(reach, ahead[1])
            ahead = next(waiting, None)
        if reach < position:
            yield position, layer


def _open_items(session: Session, job: Job) -> Iterator[tuple[int, int | None]]:
    """Those that the job's stage wants now, in order; choosing wants none, and leaves none open."""
    wanted = Item.measured if job.stage == "classify" else ~Item.measured
    can_run, last = due(session, job), -1
    while True:
        statement = (
            select(Item.position, Item.layer)
            .where(
                Item.job_id == job.id, Item.position > last, Item.state.in_(OPEN), wanted, can_run
            )
            .order_by(Item.position)
            .limit(_PAGE)
        )
        page = session.execute(statement).all()
        yield from ((row[0], row[1]) for row in page)
        if len(page) < _PAGE:
            return
        last = page[-1][0]


def _counters(session: Session, job: Job) -> Iterator[Finding]:
    wrong = {
        name: count for name, count in counted(session, job).items() if getattr(job, name) != count
    }
    if wrong:
        words = ", ".join(
            f"{name} {getattr(job, name):,} where its items say {count:,}"
            for name, count in sorted(wrong.items())
        )
        yield _of(job, "counters", f"its counters are wrong: {words}", RECOUNT)


def _ended(session: Session, job: Job) -> Iterator[Finding]:
    """A finished job has nothing left to run."""
    left = _count(session, Chunk, Chunk.job_id == job.id, Chunk.state.in_(OPEN))
    if left:
        yield _of(job, "chunks", f"{left:,} of its chunks are open, but it is {job.state}", REQUEUE)
    items = _count(session, Item, Item.job_id == job.id, Item.state.in_(OPEN))
    if items:
        what = f"{items:,} of its items are open, but it is {job.state}"
        yield _of(job, "chunks", what, REQUEUE)


def _uncovered(session: Session, job: Job) -> Iterator[Finding]:
    """Every open item has a chunk that runs it, and an open job one that goes on."""
    positions = [position for position, _ in uncovered(session, job)]
    if positions:
        what = (
            f"{len(positions):,} of its open items are in no open chunk, the first {positions[0]}"
        )
        yield _of(job, "chunks", what, REQUEUE)
    elif not _count(session, Chunk, Chunk.job_id == job.id, Chunk.state.in_(OPEN)):
        yield _of(job, "chunks", f"it is {job.state}, but has no open chunk", REQUEUE)


def doubled(session: Session, job: Job) -> Iterator[tuple[int, int]]:
    """Pairs of open chunks of the job's stage that share an open item, the earlier first."""
    chunks = select(Chunk.id, Chunk.first_position, Chunk.last_position).where(
        Chunk.job_id == job.id, Chunk.state.in_(OPEN), Chunk.stage == job.stage
    )
    before, reach = 0, -1
    for number, first, last in session.execute(chunks.order_by(Chunk.first_position, Chunk.id)):
        # Around what is done they may overlap: a retried chunk goes on around it.
        if first <= reach and _is_open_between(session, job, first, min(last, reach)):
            yield before, number
        if last > reach:
            before, reach = number, last


def _is_open_between(session: Session, job: Job, first: int, last: int) -> bool:
    within = Item.position.between(first, last), Item.state.in_(OPEN)
    return _count(session, Item, Item.job_id == job.id, *within) > 0


def _doubled(session: Session, job: Job) -> Iterator[Finding]:
    """Two workers would do the same, and the second could not finish."""
    if pairs := list(doubled(session, job)):
        what = f"{len(pairs):,} of its open chunks are over items that another is over"
        yield _of(job, "chunks", what, REQUEUE)


def _unreasoned(session: Session, job: Job) -> Iterator[Finding]:
    """Every failed item says why."""
    if count := _count(
        session, Item, Item.job_id == job.id, Item.state == "failed", Item.error.is_(None)
    ):
        yield _of(job, "items", f"{count:,} of its failed items give no reason", RETRY)


def _verdicts(session: Session, job: Job) -> Iterator[Finding]:
    for kind, wanted in (("intact", Item.measured), ("blinded", Item.state == "done")):
        verdict = aliased(Verdict)
        missing = (
            select(func.count())
            .select_from(Item)
            .outerjoin(verdict, (verdict.item_id == Item.id) & (verdict.kind == kind))
            .where(Item.job_id == job.id, wanted, verdict.item_id.is_(None))
        )
        if lacking := session.scalar(missing):
            what = f"{lacking:,} of its items have no {kind} verdict"
            yield _of(job, "study", what, RESUBMIT)


def _channels(session: Session, job: Job) -> Iterator[Finding]:
    channels = _count(session, Channel, Channel.job_id == job.id)
    if job.target_pictures is None:
        if channels:
            what = f"it has {channels:,} channels, but has chosen none"
            yield _of(job, "study", what, RESUBMIT)
        return
    if not channels:
        yield _of(job, "study", "it has chosen, but has no channels", RESUBMIT)
    over = _count(session, Channel, Channel.job_id == job.id, Channel.count > job.target_pictures)
    if over:
        what = f"{over:,} of its channels count more pictures than it has"
        yield _of(job, "study", what, RESUBMIT)
    item = aliased(Item)
    astray = (
        select(func.count())
        .select_from(Exemplar)
        .outerjoin(item, (item.job_id == Exemplar.job_id) & (item.position == Exemplar.position))
        .where(Exemplar.job_id == job.id, item.id.is_(None) | ~item.measured)
    )
    if lost := session.scalar(astray):
        what = f"{lost:,} of its exemplars name items that were not measured"
        yield _of(job, "study", what, RESUBMIT)


def _judged(session: Session, job: Job) -> dict[str, int]:
    """The study's summary, from its verdicts."""
    intact, blinded = aliased(Verdict), aliased(Verdict)
    statement = (
        select(Item.role, func.count(), func.sum(case((intact.label == blinded.label, 1), else_=0)))
        .join(intact, (intact.item_id == Item.id) & (intact.kind == "intact"))
        .join(blinded, (blinded.item_id == Item.id) & (blinded.kind == "blinded"))
        .where(Item.job_id == job.id)
        .group_by(Item.role)
    )
    counts = dict.fromkeys(JUDGED, 0)
    for role, judged, kept in session.execute(statement):
        name = "targets" if role == "target" else "controls"
        counts[f"{name}_judged"] += judged
        counts[f"{name}_kept"] += int(kept)
    return counts


def _count(session: Session, model: type, *conditions: ColumnElement[bool]) -> int:
    statement = select(func.count()).select_from(model).where(*conditions)
    return session.scalar(statement) or 0


def _of(job: Job, kind: Kind, what: str, mend: str) -> Finding:
    return Finding(kind, f"job {job.id}", what, mend, job.id)

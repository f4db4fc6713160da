"""Questions about jobs: `list_jobs`, `get_job`, `progress`, `items`, `verdicts`, `latest_study`.

Lists are read by key, never by offset, so that a late page costs what the first one does.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import func, literal, select, tuple_
from sqlalchemy.orm import Session

from beholder.errors import InvalidInput, NotFound
from beholder.evidence.names import EVIDENCE, PLAN
from beholder.jobs.database import Database
from beholder.jobs.models import INCOMING, ITEM_STATES, OPEN, File, Item, Job, Picture, Verdict
from beholder.jobs.outcomes import Judgement, StoredFile
from beholder.jobs.pauses import JOB_COLUMNS, job_views
from beholder.jobs.spool import Role, StoredPicture
from beholder.jobs.views import (
    ItemView,
    JobView,
    Progress,
    VerdictView,
    columns_of,
    verdict_rows,
)
from beholder.texts import folded

_PROGRESS = [getattr(Job, name) for name in columns_of(Progress)]
_ITEM = [getattr(Item, name) for name in columns_of(ItemView) if name not in ("files", "verdicts")]
_VISIBLE = Job.state != INCOMING
_EARLY = ("failed", "cancelled")  # how a job may end with rows that are still open
_PAGE = 500


def list_jobs(
    database: Database,
    *,
    state: str | None = None,
    kind: str | None = None,
    words: str | None = None,
    kept: bool = False,
    limit: int | None = 50,
    before: str | None = None,
) -> list[JobView]:
    """Jobs, newest first. before: the `cursor` of the last job of the page before this one.

    words: a part of the name in any case, or the beginning of the id. kept: only those that are,
    whatever their age.
    """
    statement = select(*JOB_COLUMNS).where(_VISIBLE).order_by(Job.created_at.desc(), Job.id.desc())
    statement = statement.limit(limit)
    if state:
        statement = statement.where(Job.state == _checked(state))
    if kind:
        statement = statement.where(Job.kind == kind)
    if kept:
        statement = statement.where(Job.kept.is_not(None))
    if words:
        words = folded(words)
        named = Job.name.icontains(words, autoescape=True)
        statement = statement.where(named | Job.id.startswith(words.lower(), autoescape=True))
    if before:
        statement = statement.where(tuple_(Job.created_at, Job.id) < _cursor(before))
    with database.read() as session:
        return list(job_views(session, session.execute(statement).all()))


def get_job(database: Database, job_id: str) -> JobView:
    """The job with this id, whose id alone begins so, or that alone has this name.

    Raises NotFound or InvalidInput.
    """
    with database.read() as session:
        return _job(session, folded(job_id))


def progress(database: Database, job_id: str) -> Progress:
    """How far a job is, by its full id. Raises NotFound."""
    with database.read() as session:
        row = session.execute(select(*_PROGRESS).where(Job.id == job_id, _VISIBLE)).first()
    if row is None:
        raise _no_job(job_id)
    return Progress(*row)


def latest_study(database: Database) -> JobView:
    """The study submitted last that has its channels. Raises NotFound when there is none."""
    statement = (
        select(*JOB_COLUMNS)
        .where(Job.kind == "study", Job.target_pictures.is_not(None))
        .order_by(Job.created_at.desc(), Job.id.desc())
        .limit(1)
    )
    with database.read() as session:
        found = next(job_views(session, session.execute(statement).all()), None)
    if found is None:
        raise NotFound(
            "no study has chosen its channels yet: `beholder study --dir DIR` submits one."
        )
    return found


def get_picture(database: Database, sha256: str) -> StoredPicture:
    """What is known of a picture. Raises NotFound."""
    statement = select(*(getattr(Picture, name) for name in columns_of(StoredPicture)))
    with database.read() as session:
        row = session.execute(statement.where(Picture.sha256 == sha256)).first()
    if row is None:
        raise NotFound(f"no picture {sha256[:12]}...: the items of a job name theirs.")
    return StoredPicture(*row)


def result_file(database: Database, job_id: str, position: int, step: int) -> StoredFile:
    """One result picture of a job, by its full id. Raises NotFound."""
    statement = (
        select(*(getattr(File, name) for name in columns_of(StoredFile)))
        .join(Item, Item.id == File.item_id)
        .where(Item.job_id == job_id, Item.position == position, File.step == step)
    )
    with database.read() as session:
        row = session.execute(statement).first()
        if row is None:
            _job(session, job_id, exact=True)
            raise NotFound(
                f"job {job_id} has no picture of item {position} after step {step}: its items "
                "list their files."
            )
    return StoredFile(*row)


def items(
    database: Database,
    job_id: str,
    *,
    state: str | None = None,
    role: Role | None = None,
    after: int = -1,
    limit: int | None = None,
) -> Iterator[ItemView]:
    """A job's items by position, with files and verdicts. after: a position to go on from.

    Reads page by page, so any number can be streamed. Raises NotFound at the first step.
    """
    left = limit
    while left is None or left > 0:
        size = _PAGE if left is None else min(_PAGE, left)
        with database.read() as session:
            job = _job(session, job_id, exact=True)
            page = _item_page(session, job, state, role, after, size)
        yield from page
        if len(page) < size:
            return
        after = page[-1].position
        left = None if left is None else left - len(page)


def silent_dreams(database: Database, job_id: str, *, among: int = 10_000) -> int:
    """How many of a job's first dreams left their layer silent, by its full id."""
    statement = select(func.count()).where(
        Item.job_id == job_id, Item.position < among, Item.result["silent"].as_boolean()
    )
    with database.read() as session:
        return session.scalar(statement) or 0


def precisions_used(database: Database, job_id: str, *, among: int = 10_000) -> list[str]:
    """How precisely a job's first dreams were computed, where "auto" may have been asked for."""
    used = Item.result["precision"].as_string()
    statement = select(used).where(Item.job_id == job_id, Item.position < among, used.is_not(None))
    with database.read() as session:
        return sorted(filter(None, session.scalars(statement.distinct())))


def verdicts(database: Database, job_id: str, *, kind: str | None = None) -> Iterator[VerdictView]:
    """A study's verdicts by position, a picture's intact one first."""
    for item in items(database, job_id):
        yield from verdict_rows(item, kind)


def evidence_path(database: Database, job_id: str) -> str | None:
    """Where a study's evidence is in the store; None without any, or not yet."""
    return _made_by(database, job_id, "conclude", EVIDENCE)


def plan_path(database: Database, job_id: str) -> str | None:
    """Where a sound study's plan is in the store; None without any, or not yet."""
    return _made_by(database, job_id, "choose", PLAN)


def _made_by(
    database: Database, job_id: str, stage: Literal["choose", "conclude"], name: str
) -> str | None:
    from beholder.jobs.stages import made_by  # brings the channels' tables, which lists need not

    with database.read() as session:
        folder = made_by(session, job_id, stage)
    return folder and f"{folder}/{name}"


def _job(session: Session, wanted: str, *, exact: bool = False) -> JobView:
    same = session.execute(select(*JOB_COLUMNS).where(Job.id == wanted.lower(), _VISIBLE)).all()
    if same:
        return next(job_views(session, same))
    if exact or not wanted:
        raise _no_job(wanted)
    begins = Job.id.startswith(wanted.lower(), autoescape=True)
    for condition, what in ((begins, "begin with"), (Job.name == wanted, "are called")):
        rows = session.execute(
            select(*JOB_COLUMNS).where(condition, _VISIBLE).order_by(Job.id).limit(3)
        ).all()
        if len(rows) > 1:
            some = ", ".join(row.id for row in rows)
            raise InvalidInput(f"several jobs {what} {wanted!r} ({some}): write more of the id.")
        if rows:
            return next(job_views(session, rows))
    raise _no_job(wanted)


def _no_job(job_id: str) -> NotFound:
    return NotFound(f"no job {job_id!r}: `beholder jobs` lists them.")


def _item_page(
    session: Session,
    job: JobView,
    state: str | None,
    role: Role | None,
    after: int,
    size: int,
) -> list[ItemView]:
    statement = select(*_ITEM).where(Item.job_id == job.id, Item.position > after)
    if state:
        statement = statement.where(Item.state.in_(_stored_states(job, _checked(state))))
    if role:  # spelt out, since an index holds the controls alone
        statement = statement.where(Item.role == literal(role, literal_execute=True))
    rows = session.execute(statement.order_by(Item.position).limit(size)).all()
    ids = [row.id for row in rows]
    files, judged = _files(session, ids), _judgements(session, ids)
    return [
        ItemView(
            **{**row._mapping, **_as_shown(job, row.state)},
            files=tuple(files[row.id]),
            verdicts=judged[row.id],
        )
        for row in rows
    ]


def _stored_states(job: JobView, state: str) -> Sequence[str]:
    """In a job that ended early, what is still open in its rows counts as the job does."""
    if job.state not in _EARLY:
        return (state,)
    if state == job.state:
        return (*OPEN, state)
    return () if state in OPEN else (state,)


def _as_shown(job: JobView, state: str) -> dict[str, Any]:
    """What an item whose row has yet to follow its job takes from there."""
    lags = job.state in _EARLY and state in OPEN
    return {"state": job.state, "error": job.error} if lags else {}


def _files(session: Session, ids: Sequence[int]) -> dict[int, list[StoredFile]]:
    columns = [getattr(File, name) for name in columns_of(StoredFile)]
    statement = select(File.item_id, *columns).where(File.item_id.in_(ids))
    found: defaultdict[int, list[StoredFile]] = defaultdict(list)
    for number, *values in session.execute(statement.order_by(File.item_id, File.step)):
        found[number].append(StoredFile(*values))
    return found


def _judgements(session: Session, ids: Sequence[int]) -> dict[int, dict[str, Judgement]]:
    statement = select(Verdict).where(Verdict.item_id.in_(ids))
    found: defaultdict[int, dict[str, Judgement]] = defaultdict(dict)
    for row in session.scalars(statement.order_by(Verdict.item_id, Verdict.kind.desc())):
        top5 = tuple((str(label), float(confidence)) for label, confidence in row.top5)
        found[row.item_id][row.kind] = Judgement(row.label, row.class_index, row.confidence, top5)
    return found


def _checked(state: str) -> str:
    if state not in ITEM_STATES:
        raise InvalidInput(f"no state {state!r}: states are {', '.join(ITEM_STATES)}.")
    return state


def _cursor(text: str) -> Any:
    try:
        when, job_id = text.split("-")
        return datetime.strptime(when, "%Y%m%dT%H%M%S.%f").replace(tzinfo=UTC), job_id
    except ValueError:
        raise InvalidInput(
            f"{text!r} is no place in the list of jobs: leave it out to start with the newest."
        ) from None

"""Which files in the store a job's rows refer to, and under which tokens more may appear."""

from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from beholder.jobs.database import Database
from beholder.jobs.models import OPEN, Chunk, File, Item

_PAGE = 500  # items, each with up to 250 files


class Reference(NamedTuple):
    """A finished item's file. A start from noise has no row; old ones no sha256 and bytes."""

    item_id: int
    position: int
    path: str
    sha256: str | None
    bytes: int | None
    is_start: bool = False


def token_of(path: str) -> str:
    """The claim under which a file was written: results/JOB/TOKEN/NAME."""
    parts = path.split("/")
    return parts[2] if len(parts) > 2 else ""


def references(
    database: Database, job_id: str, within: tuple[int, int] | None = None
) -> Iterator[Reference]:
    """The files of a job's items, in order of their positions, a page at a time.

    within: the first and the last position; None: all.
    """
    last = within[0] - 1 if within else -1
    while within is None or last < within[1]:
        end = _end_of_page(database, job_id, last)
        if end is None:
            return
        end = min(end, within[1]) if within else end
        with database.read() as session:
            found = [*_files(session, job_id, last, end), *_starts(session, job_id, last, end)]
        yield from sorted(found)
        last = end


def _end_of_page(database: Database, job_id: str, last: int) -> int | None:
    """The last position of the items that follow; None where none do."""
    page = (
        select(Item.position)
        .where(Item.job_id == job_id, Item.position > last)
        .order_by(Item.position)
        .limit(_PAGE)
    ).subquery()
    with database.read() as session:
        return session.scalar(select(page.c.position).order_by(page.c.position.desc()).limit(1))


def _files(session: Session, job_id: str, last: int, end: int) -> Iterator[Reference]:
    statement = (
        select(Item.id, Item.position, File.path, File.sha256, File.bytes)
        .join(File, File.item_id == Item.id)
        .where(Item.job_id == job_id, Item.position > last, Item.position <= end)
    )
    return (Reference(*row) for row in session.execute(statement))


def _starts(session: Session, job_id: str, last: int, end: int) -> Iterator[Reference]:
    path = Item.result["start"].as_string()
    sha256, size = Item.result["start_sha256"].as_string(), Item.result["start_bytes"].as_integer()
    statement = select(Item.id, Item.position, path, sha256, size).where(
        Item.job_id == job_id,
        Item.position > last,
        Item.position <= end,
        Item.state == "done",
        Item.seed.is_not(None),
        path.is_not(None),
    )
    return (
        Reference(number, position, start, digest, length, is_start=True)
        for number, position, start, digest, length in session.execute(statement)
    )


def partials(database: Database, job_id: str) -> list[str]:
    """The folders of a study's statistics, one for each measured chunk."""
    statement = select(Chunk.partial).where(Chunk.job_id == job_id, Chunk.partial.is_not(None))
    with database.read() as session:
        return [path for path in session.scalars(statement) if path]


def live_tokens(database: Database, job_id: str, *, stale: bool) -> set[str]:
    """Tokens of the claims that stand. stale: and those that somebody is to clean up after."""
    statement = select(Chunk.token, Chunk.stale_tokens).where(
        Chunk.job_id == job_id, Chunk.state.in_((*OPEN, "failed"))
    )
    with database.read() as session:
        rows = session.execute(statement).all()
    live = {row.token for row in rows if row.token}
    return live | {token for row in rows for token in row.stale_tokens} if stale else live


def still_refers(database: Database, reference: Reference) -> bool:
    """Whether its item still has this file."""
    with database.read() as session:
        if reference.is_start:
            path = Item.result["start"].as_string()
            return (
                session.scalar(select(path).where(Item.id == reference.item_id)) == reference.path
            )
        found = select(File.path).where(
            File.item_id == reference.item_id,
            File.path == reference.path,
            File.sha256 == reference.sha256,
        )
        return session.scalar(found) is not None

"""A job's items against the store: `check_files`, and a study's statistics: `check_statistics`."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor

from sqlalchemy import func, select

from beholder.errors import NotFound
from beholder.jobs.database import Database
from beholder.jobs.models import Chunk, File, Item, Job
from beholder.specs import DreamSpec, spec_of
from beholder.store import Store
from beholder.upkeep.ahead import ahead
from beholder.upkeep.findings import AGAIN, RESUBMIT, Finding, Kind
from beholder.upkeep.references import Reference, references, still_refers

_LISTED_FOLDERS = 32  # whose lists are remembered: a chunk's files follow each other
Look = Callable[[Reference], str | None]  # what is wrong with a file, or None


def check_files(
    database: Database,
    store: Store,
    job_id: str,
    threads: Executor,
    *,
    quick: bool,
    on_checked: Callable[[int], object],
) -> Iterator[Finding]:
    """Files of a job's items that are gone or not what they were.

    quick: look at sizes alone, not at the bytes. on_checked: called with each file's bytes.
    """
    found = references(database, job_id)
    answers = _sizes(store, found) if quick else ahead(threads, _hashed(store), found)
    again = _hashed(store)
    for reference, wrong in answers:
        if reference.bytes is not None:
            on_checked(reference.bytes)
        # Looked at once more: its job may have been deleted, or run again, since the row was read.
        if wrong and (wrong := again(reference)) and still_refers(database, reference):
            where = f"job {job_id} item {reference.position}"
            gone = wrong.startswith("no ")
            kind: Kind = "file missing" if gone else "file damaged"
            yield Finding(kind, where, wrong, AGAIN, job_id, reference.position)
    yield from _without_files(database, job_id)


def _hashed(store: Store) -> Look:
    def look(reference: Reference) -> str | None:
        try:
            sha256, size = store.digest(reference.path)
        except NotFound:
            return f"no file {reference.path}"
        if reference.sha256 is None:
            return None if size else f"{reference.path} is empty"
        if sha256 == reference.sha256:
            return None
        return f"{reference.path} is not what was written ({size:,} of {reference.bytes:,} bytes)"

    return look


def _sizes(store: Store, found: Iterable[Reference]) -> Iterator[tuple[Reference, str | None]]:
    """Each file with what its folder's list has against it."""
    folders: OrderedDict[str, dict[str, int]] = OrderedDict()
    for reference in found:
        folder, _, name = reference.path.rpartition("/")
        if folder not in folders:
            folders[folder] = {one.name: one.bytes for one in store.list(folder)}
            if len(folders) > _LISTED_FOLDERS:
                folders.popitem(last=False)
        size = folders[folder].get(name)
        fits = size is not None and (reference.bytes is None or size == reference.bytes)
        yield reference, None if fits else "its size is wrong"


def _without_files(database: Database, job_id: str) -> Iterator[Finding]:
    """Finished dreams that lack the rows of some of their files."""
    with database.snapshot() as session:
        job = session.get(Job, job_id)
        if job is None or job.kind != "dream":
            return
        spec = spec_of("dream", job.spec)
        assert isinstance(spec, DreamSpec)
        statement = (
            select(Item.position, func.count(File.step))
            .outerjoin(File, File.item_id == Item.id)
            .where(Item.job_id == job_id, Item.state == "done")
            .group_by(Item.position)
            .having(func.count(File.step) != len(spec.steps_kept))
            .order_by(Item.position)
        )
        for position, count in session.execute(statement).yield_per(1_000):
            what = f"it has {count} of its {len(spec.steps_kept)} files"
            where = f"job {job_id} item {position}"
            yield Finding("file missing", where, what, AGAIN, job_id, position)


def check_statistics(database: Database, store: Store, job_id: str) -> Iterator[Finding]:
    """Measured chunks of a study whose statistics are gone; choosing again needs them."""
    statement = select(Chunk.id, Chunk.partial).where(
        Chunk.job_id == job_id, Chunk.partial.is_not(None)
    )
    with database.read() as session:
        measured = [(row.id, row.partial or "") for row in session.execute(statement)]
    for chunk_id, partial in measured:
        if not any(one.bytes for one in store.list(partial) if not one.is_folder):
            with database.read() as session:
                if session.get(Chunk, chunk_id) is None:
                    return  # the job has been deleted
            what = f"no statistics of chunk {chunk_id} at {partial}"
            yield Finding("statistics missing", f"job {job_id}", what, RESUBMIT, job_id)

"""A job's items against the store: `check_files`, and a study's statistics: `check_statistics`."""

import json
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from functools import partial
from io import BytesIO
from zipfile import BadZipFile, ZipFile

from sqlalchemy import Select, func, null, select

from beholder.errors import FileUnusable, NotFound
from beholder.evidence.names import ANSWERS, CONCLUSION, EVIDENCE, LOGITS, PLAN, READINGS, TALLY
from beholder.jobs.database import Database
from beholder.jobs.models import Chunk, File, Item, Job
from beholder.plurals import plural
from beholder.specs import DreamSpec, spec_of
from beholder.store import Store
from beholder.upkeep.ahead import ahead
from beholder.upkeep.findings import AGAIN, RESUBMIT, SEE_TO, Finding, Kind, changed_words
from beholder.upkeep.presence import insist_on_there, of_one_file
from beholder.upkeep.references import Reference, references, still_refers

# What a study's chunks hand on, by its recipe and their stage.
HANDED_ON: dict[str, dict[str, tuple[str, ...]]] = {
    "article": {"measure": ("target.npz", "control.npz", "strongest.npz", TALLY)},
    "sound": {
        "measure": ("target.npz", "control.npz", ANSWERS),
        "choose": (PLAN,),
        "classify": (READINGS,),
        "conclude": (LOGITS, EVIDENCE, CONCLUSION),
    },
}
_LISTED_FOLDERS = 32  # whose lists are remembered: a chunk's files follow each other
Wrong = str | FileUnusable | None  # what is wrong with a file, or None
Look = Callable[[Reference], Wrong]


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
    found, again = references(database, job_id), _hashed(database, store)
    answers = _sizes(store, found) if quick else ahead(threads, again, found)
    for reference, wrong in answers:
        if reference.bytes is not None:
            on_checked(reference.bytes)
        # Looked at once more: its job may have been deleted, or run again, since the row was read.
        if wrong and (wrong := again(reference)) and still_refers(database, reference):
            yield _found(job_id, reference.position, wrong)
    yield from _incomplete(database, job_id)


def _found(job_id: str, position: int, wrong: str | FileUnusable) -> Finding:
    if isinstance(wrong, FileUnusable):
        where = f"job {job_id} item {position}"
        return Finding("unreadable", where, str(wrong), SEE_TO, job_id, position)
    kind: Kind = "file missing" if wrong.startswith("no ") else "file damaged"
    return _again(kind, job_id, position, wrong)


def _hashed(database: Database, store: Store) -> Look:
    insist = partial(insist_on_there, database, store)

    def look(reference: Reference) -> Wrong:
        try:
            path = reference.path
            sha256, size = of_one_file(insist, path, lambda: store.digest(path))
        except NotFound:
            return f"no file {reference.path}"
        except FileUnusable as error:
            return error
        if reference.sha256 is None:
            return None if size else f"{reference.path} is empty"
        if sha256 == reference.sha256:
            return None
        words = changed_words(size, size if reference.bytes is None else reference.bytes)
        return f"{reference.path} is not what was written: {words}"

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


def _incomplete(database: Database, job_id: str) -> Iterator[Finding]:
    """Finished dreams that lack a result, or the rows of some files, or share one with others."""
    with database.snapshot() as session:
        job = session.get(Job, job_id)
        if job is None or job.kind != "dream":
            return
        spec = spec_of("dream", job.spec)
        assert isinstance(spec, DreamSpec)
        wanted = len(spec.steps_kept)
        done = (
            select(Item.id, Item.position, Item.result.is_(null()).label("bare"))
            .where(Item.job_id == job_id, Item.state == "done")
            .subquery()
        )
        statement = (
            select(done.c.position, done.c.bare, func.count(File.step))
            .outerjoin(File, File.item_id == done.c.id)
            .group_by(done.c.position, done.c.bare)
            .having((func.count(File.step) != wanted) | done.c.bare)
            .order_by(done.c.position)
        )
        for position, bare, count in session.execute(statement).yield_per(1_000):
            lacks = f"{count} of its {plural(wanted, 'file')}" if count != wanted else ""
            what = " and ".join(filter(None, (lacks, bare and "no result")))
            yield _again("file missing", job_id, position, f"it has {what}")
        for position, path in session.execute(_shared(job_id)).yield_per(1_000):
            yield _again("file damaged", job_id, position, f"{path} is not its alone")


def _shared(job_id: str) -> Select[int, str]:
    """Positions and paths of files that more than one item, or step, has."""
    of_job = select(File.path).join(Item, Item.id == File.item_id).where(Item.job_id == job_id)
    several = of_job.group_by(File.path).having(func.count() > 1)
    statement = select(Item.position, File.path).join(Item, Item.id == File.item_id)
    return statement.where(Item.job_id == job_id, File.path.in_(several)).order_by(Item.position)


def _again(kind: Kind, job_id: str, position: int, what: str) -> Finding:
    return Finding(kind, f"job {job_id} item {position}", what, AGAIN, job_id, position)


def check_statistics(
    database: Database, store: Store, job_id: str, *, quick: bool
) -> Iterator[Finding]:
    """Chunks of a study of which what they hand on is gone or damaged; later stages need it.

    quick: only whether they are there.
    """
    statement = select(Chunk.id, Chunk.stage, Chunk.partial).where(
        Chunk.job_id == job_id, Chunk.partial.is_not(None)
    )
    with database.read() as session:
        job = session.get(Job, job_id)
        recipe = job.spec.get("recipe", "article") if job else "article"
        ended = [(row.id, row.stage, row.partial or "") for row in session.execute(statement)]
    names, insist = HANDED_ON.get(recipe, {}), partial(insist_on_there, database, store)
    for chunk_id, stage, folder in ended:
        sizes = {one.name: one.bytes for one in store.list(folder)}
        for name in names.get(stage, ()):
            path = f"{folder}/{name}"
            whole = partial(_is_whole, store, path)
            try:
                fits = bool(sizes.get(name)) and (quick or of_one_file(insist, path, whole))
            except FileUnusable as error:
                yield Finding("unreadable", f"job {job_id}", str(error), SEE_TO, job_id)
                continue
            if fits:
                continue
            with database.read() as session:
                if session.get(Chunk, chunk_id) is None:
                    return  # the job has been deleted
            what = f"no statistics of chunk {chunk_id} at {path}, or not as they were written"
            yield Finding("statistics missing", f"job {job_id}", what, RESUBMIT, job_id)


def _is_whole(store: Store, path: str) -> bool:
    """By the checksums in it, which every .npz has; JSON by its syntax."""
    try:
        data = store.get(path)
        if path.endswith(".json"):
            return isinstance(json.loads(data), dict)
        with ZipFile(BytesIO(data)) as file:
            return file.testzip() is None
    except (NotFound, BadZipFile, EOFError, ValueError, zlib.error):
        return False

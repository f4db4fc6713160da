"""`verify`: everything that is kept, looked at once, while jobs may be running.

What is wrong comes out as it is found. Memory holds a page of rows and, of the job in hand, the
names of its chunks' folders.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sqlalchemy import func, select

from beholder.jobs.database import Database
from beholder.jobs.models import INCOMING, File, Item, Job, Picture
from beholder.plurals import plural
from beholder.store import CHECKPOINTS, Store
from beholder.upkeep.checkpoints import stray_checkpoints
from beholder.upkeep.files import check_files, check_statistics
from beholder.upkeep.findings import COLLECT, Finding
from beholder.upkeep.leftovers import Leftover, leftovers, stray_jobs, stray_probes
from beholder.upkeep.ownership import MARK, OWN, stranger
from beholder.upkeep.pictures import check_pictures, check_pictures_of, unknown_pictures
from beholder.upkeep.rows import check_rows

PARTS = frozenset({"pictures", "results", CHECKPOINTS, MARK})
TIDIED_S = 600.0  # workers remove stray checkpoints every minute
THREADS = 8  # reading and hashing release the interpreter's lock
_PAGE = 200


@dataclass(frozen=True)
class Extent:
    """How much there is to look at."""

    files: int
    bytes: int


def verify(
    database: Database,
    store: Store,
    *,
    jobs: Sequence[str] | None = None,
    quick: bool = False,
    on_checked: Callable[[int], object] = lambda _: None,
) -> Iterator[Finding]:
    """What is wrong with the database and the store, or with these jobs (full ids) alone.

    quick: files by their sizes, not by their hashes. on_checked: called with the bytes of each.
    Raises ServiceUnavailable where one of them does not answer.
    """
    if jobs is None and (against := stranger(database, store)):
        yield Finding("store", f"the store {store}", against, OWN)
    lost: set[str] = set()
    with ThreadPoolExecutor(THREADS, thread_name_prefix="verify") as threads:
        for job_id in _every_job(database) if jobs is None else jobs:
            with database.snapshot() as session:
                found = list(check_rows(session, job_id))
            yield from found
            yield from check_files(
                database, store, job_id, threads, quick=quick, on_checked=on_checked
            )
            yield from check_statistics(database, store, job_id, quick=quick)
            yield from _leftovers(leftovers(database, store, job_id))
            for unknown in unknown_pictures(database, job_id):
                lost.add(unknown.where.rpartition("/")[2])
                yield unknown
            if jobs is not None:
                yield from check_pictures_of(
                    database, store, job_id, threads, quick=quick, on_checked=on_checked
                )
        if jobs is None:
            yield from _leftovers(stray_jobs(database, store))
            yield from _leftovers(stray_probes(store))
            tidied = time.time() - TIDIED_S
            yield from _leftovers(stray_checkpoints(database, store, before=tidied))
            yield from _misplaced(store)
            yield from check_pictures(
                database, store, threads, quick=quick, on_checked=on_checked, lost=lost
            )


def extent(database: Database, jobs: Sequence[str] | None = None) -> Extent:
    """What `verify` has before it, of result files and pictures."""
    files = select(func.count(), func.coalesce(func.sum(File.bytes), 0))
    pictures = select(func.count(), func.coalesce(func.sum(Picture.bytes), 0))
    if jobs is not None:
        files = files.join(Item, Item.id == File.item_id).where(Item.job_id.in_(jobs))
        used = select(Item.picture_sha256).where(Item.job_id.in_(jobs))
        pictures = pictures.where(Picture.sha256.in_(used))
    with database.read() as session:
        rows = [session.execute(one).one() for one in (files, pictures)]
    return Extent(sum(row[0] for row in rows), sum(int(row[1]) for row in rows))


def _every_job(database: Database) -> Iterator[str]:
    last = ""
    while True:
        page = select(Job.id).where(Job.id > last, Job.state != INCOMING).order_by(Job.id)
        with database.read() as session:
            ids = list(session.scalars(page.limit(_PAGE)))
        yield from ids
        if len(ids) < _PAGE:
            return
        last = ids[-1]


def _misplaced(store: Store) -> Iterator[Finding]:
    """What lies in the store's root, where nothing of ours is."""
    for one in store.list("."):
        if one.name not in PARTS and not one.name.startswith("."):  # hidden: being written
            what = "nothing of this name belongs into the store"
            yield Finding("leftover", one.name, what, "move it away.")


def _leftovers(found: Iterator[Leftover]) -> Iterator[Finding]:
    """Empty folders are left to `gc`."""
    for left in found:
        if left.files:
            size = f"{plural(left.files, 'file')} ({plural(left.bytes, 'byte')})"
            words = size if left.is_folder else "a file"
            job_id = left.path.split("/")[1] if left.path.count("/") > 1 else None
            yield Finding("leftover", left.path, f"{words} of no item", COLLECT, job_id)

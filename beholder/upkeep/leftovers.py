"""Results that belong to no item: `leftovers` of a job, `left_by` one of its claims.

In the store alone are `stray_jobs` and `stray_probes`.

The store is always listed before the database is asked. A folder is named by a claim, whose token
is in the database before anything is written under it, and never stands again once it has ended.
So what is in the list, has no live claim and is then referred to by no item never will be.
"""

import time
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import select

from beholder.files import PROBE
from beholder.jobs.claim import Claim
from beholder.jobs.database import Database
from beholder.jobs.models import Job
from beholder.jobs.removal import GONE
from beholder.store import Store, job_folder, result_folder
from beholder.upkeep.references import live_tokens, partials, references, token_of

_PROBED_S = 60.0  # a worker that looks for room has written its file anew by then, or died
_TOGETHER = 500  # folders whose references are looked up in one go


class Leftover(NamedTuple):
    """A file, or a folder with all that is in it. files, bytes: how much it is."""

    path: str
    is_folder: bool
    files: int
    bytes: int


def remove_leftover(store: Store, left: Leftover) -> None:
    """Remove it, with all that is in it."""
    store.remove_folder(left.path) if left.is_folder else store.remove(left.path)


def is_nothing(store: Store, left: Leftover) -> bool:
    """Whether it is an empty folder on S3: a name that some servers list until they tidy up."""
    return left.is_folder and not left.files and store.local_path(left.path) is None


def leftovers(
    database: Database, store: Store, job_id: str, *, stale: bool = True
) -> Iterator[Leftover]:
    """What is in a job's folder and belongs to none of its items.

    stale: count what the next claim of an open chunk removes as in use, and what workers remove of
    one that was set aside.
    """
    counts: Counter[str] = Counter()
    for name, size in store.walk(job_folder(job_id)):
        token, inside, _ = name.partition("/")
        if inside:
            counts[token] += 1
        else:
            yield Leftover(f"{job_folder(job_id)}/{name}", False, 1, size)
    for folder in partials(database, job_id):  # a study's chunks, each with one of its own
        counts.pop(token_of(folder), None)
    used = Counter(token_of(one.path) for one in references(database, job_id))
    suspects = [token for token, count in counts.items() if count != used[token]]
    for start in range(0, len(suspects), _TOGETHER):
        yield from _unused(database, store, job_id, suspects[start : start + _TOGETHER], stale)


def left_by(database: Database, store: Store, claim: Claim) -> Iterator[Leftover]:
    """What was written under a claim and belongs to nothing; nothing of it while it stands.

    If it was finished, its results belong to its items, even if its worker never heard so.
    """
    positions = [item.position for item in claim.items] or [-1]
    within = min(positions), max(positions)
    yield from _unused(database, store, claim.job_id, [claim.token], stale=False, within=within)


def _unused(
    database: Database,
    store: Store,
    job_id: str,
    tokens: list[str],
    stale: bool,
    within: tuple[int, int] | None = None,
) -> Iterator[Leftover]:
    """What belongs to nothing in these folders, looked at file by file.

    within: the positions of all items that may have something there; None: any.
    """
    found = {token: dict(_files(store, result_folder(job_id, token))) for token in tokens}
    for token in live_tokens(database, job_id, stale=stale):  # first: it may finish meanwhile
        found.pop(token, None)
    measured = tuple(f"{folder}/" for folder in partials(database, job_id))
    used: set[str] = set()
    for one in references(database, job_id, within):
        if token_of(one.path) in found:
            used.add(one.path)
    for token, files in found.items():
        unused = [path for path in files if path not in used and not path.startswith(measured)]
        if len(unused) == len(files):
            folder = result_folder(job_id, token)
            yield Leftover(folder, True, len(files), sum(files.values()))
        else:
            yield from (Leftover(path, False, 1, files[path]) for path in unused)


def stray_jobs(database: Database, store: Store) -> Iterator[Leftover]:
    """Folders of jobs that the database does not have, and files that lie where none belong."""
    listed = list(store.list("results"))
    names = [one.name for one in listed if one.is_folder]
    known: set[str] = set()
    with database.read() as session:
        for start in range(0, len(names), _TOGETHER):
            some = Job.id.in_(names[start : start + _TOGETHER])
            known |= set(session.scalars(select(Job.id).where(some, ~GONE)))
    for one in listed:
        if not one.is_folder:
            yield Leftover(f"results/{one.name}", False, 1, one.bytes)
        elif one.name not in known:
            left = Leftover(job_folder(one.name), True, *_size(store, job_folder(one.name)))
            if not is_nothing(store, left):
                yield left


def stray_probes(store: Store) -> Iterator[Leftover]:
    """What workers left that were killed while they looked whether there is room."""
    before = time.time() - _PROBED_S
    for one in store.list("."):
        # A point more where it had not been written whole.
        probe = one.name.startswith((PROBE, f".{PROBE}"))
        if probe and not one.is_folder and one.modified < before:
            yield Leftover(one.name, False, 1, one.bytes)


def _size(store: Store, folder: str) -> tuple[int, int]:
    """How many files are in a folder and those in it, and their bytes."""
    files = total = 0
    for _, size in store.walk(folder):
        files, total = files + 1, total + size
    return files, total


def _files(store: Store, folder: str) -> Iterator[tuple[str, int]]:
    """Every file in a folder and those in it, by its path in the store, with its bytes."""
    return ((f"{folder}/{name}", size) for name, size in store.walk(folder))

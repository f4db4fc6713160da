"""What nothing refers to: `collect` finds it and, if asked to, removes it, while jobs may run.

Results of dead claims and deleted jobs, what was written to see whether there is room, checkpoints
of dreams that have ended, pictures that no item has, uploads and downloads that nobody finished.
Requests' keys go with their jobs, and thumbnails are kept in memory alone.
"""

import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import select

from beholder.aside import AWAY
from beholder.errors import NotFound
from beholder.files import Listed
from beholder.jobs.database import Database
from beholder.jobs.models import INCOMING, Job
from beholder.jobs.removal import remove_some
from beholder.store import FOLDERS, Store, picture_path
from beholder.upkeep.checkpoints import stray_checkpoints
from beholder.upkeep.leftovers import (
    Leftover,
    leftovers,
    remove_leftover,
    stray_jobs,
    stray_probes,
)
from beholder.upkeep.ownership import insist_on_own
from beholder.upkeep.pictures import GRACE_S
from beholder.upkeep.presence import insist_on_some
from beholder.upkeep.retention import remove_hidden
from beholder.upkeep.unused import UnusedPictures

UPLOADS_EXPIRE_S = 24 * 3600.0  # as the API drops them when the next begins
DOWNLOADS_EXPIRE_S = 24 * 3600.0  # one that goes on writes all the time
Kind = Literal["results", "probe", "checkpoint", "picture", "upload", "download"]


@dataclass(frozen=True)
class Garbage:
    """path: in the store, or in the data folder. bytes, files: how much it is."""

    kind: Kind
    path: str
    files: int
    bytes: int


def collect(
    database: Database,
    store: Store,
    home: Path,
    *,
    remove: bool = False,
    grace_s: float = GRACE_S,
    now: float | None = None,
) -> Iterator[Garbage]:
    """What nothing refers to, as it is found; with `remove` it is gone when it comes out.

    home: the data folder, with `uploads` in pieces and the `networks` that were downloaded.
    grace_s: how long ago a picture was brought or asked for by the last who might be about to
    submit it. Raises Conflict for a store that is not this database's, StoreMissing where nothing
    of it is there, and ServiceUnavailable.
    """
    insist_on_some(database, store)
    insist_on_own(database, store, record=remove)
    now = time.time() if now is None else now
    if remove:
        remove_some(database)
    yield from _results(database, store, remove)
    for left in stray_probes(store):
        yield _removed("probe", store, left, remove)
    for left in stray_checkpoints(database, store):
        yield _removed("checkpoint", store, left, remove)
    yield from _pictures(database, store, remove, now - grace_s)
    yield from _uploads(home / "uploads", remove, now)
    yield from _downloads(home / "networks", remove, now)


def _results(database: Database, store: Store, remove: bool) -> Iterator[Garbage]:
    for left in stray_jobs(database, store):
        yield _removed("results", store, left, remove)
    for one in store.list("results"):
        if one.is_folder and _is_known(database, one.name):
            for left in leftovers(database, store, one.name, stale=False):
                yield _removed("results", store, left, remove)
    if remove:
        remove_hidden(database, store)


def _is_known(database: Database, job_id: str) -> bool:
    with database.read() as session:
        found = select(Job.id).where(Job.id == job_id, Job.state != INCOMING)
        return session.scalar(found) is not None


def _removed(kind: Kind, store: Store, left: Leftover, remove: bool) -> Garbage:
    if remove:
        remove_leftover(store, left)
    return Garbage(kind, left.path, left.files, left.bytes)


def _pictures(database: Database, store: Store, remove: bool, before: float) -> Iterator[Garbage]:
    with UnusedPictures(database, before) as unused:
        for folder in FOLDERS:
            listed = {one.name: one for one in store.list(f"pictures/{folder}")}
            hidden = [one for name, one in listed.items() if name.startswith(".")]
            yield from _interrupted(store, folder, hidden, remove, before)
            rows, known = unused.rows(folder)
            old = {
                name: one.bytes
                for name, one in listed.items()
                if one.modified < before
                and not name.startswith(".")
                and (name in rows or name not in known)
            }
            gone = dict.fromkeys(rows - set(listed), 0)  # rows whose file is gone already
            yield from _dropped(store, unused, {**old, **gone}, remove, before)


def _interrupted(
    store: Store, folder: str, hidden: Iterable[Listed], remove: bool, before: float
) -> Iterator[Garbage]:
    """What a killed writer left, and pictures that a killed `collect` had moved aside."""
    for one in hidden:
        path = f"pictures/{folder}/{one.name}"
        if one.name.endswith(AWAY):
            if remove:
                store.restore_away(one.name[1 : -len(AWAY)])
        elif one.modified < before:
            if remove:
                store.remove(path)
            yield Garbage("picture", path, 1, one.bytes)


def _dropped(
    store: Store, unused: UnusedPictures, sizes: dict[str, int], remove: bool, before: float
) -> Iterator[Garbage]:
    for sha256 in unused.forget(list(sizes)) if remove else sizes:
        if remove and not _drop(store, sha256, before):
            continue
        yield Garbage("picture", picture_path(sha256), 1, sizes[sha256])


def _drop(store: Store, sha256: str, before: float) -> bool:
    with suppress(NotFound):
        return store.drop_picture(sha256, before=before)
    return True


def is_given_up(upload: Path, now: float) -> bool:
    """Whether nothing came for an upload, by its folder, for a day. Raises FileNotFoundError."""
    times = [file.stat().st_mtime for file in upload.iterdir()]
    return max(times, default=upload.stat().st_mtime) < now - UPLOADS_EXPIRE_S


def _uploads(folder: Path, remove: bool, now: float) -> Iterator[Garbage]:
    for upload in sorted(folder.glob("*/")):
        with suppress(FileNotFoundError):  # finished meanwhile
            if is_given_up(upload, now):
                sizes = [file.stat().st_size for file in upload.iterdir()]
                if remove:
                    shutil.rmtree(upload, ignore_errors=True)
                yield Garbage("upload", str(upload), len(sizes), sum(sizes))


def _downloads(folder: Path, remove: bool, now: float) -> Iterator[Garbage]:
    """Of weights, whose process was killed."""
    for partial in sorted(folder.glob("*.partial")):
        with suppress(FileNotFoundError):  # it has got its name meanwhile
            stat = partial.stat()
            if stat.st_mtime < now - DOWNLOADS_EXPIRE_S:
                if remove:
                    partial.unlink()
                yield Garbage("download", str(partial), 1, stat.st_size)

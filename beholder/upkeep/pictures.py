"""The pictures, in the database and in the store: `check_pictures`, one folder after the other.

A picture that is in the store alone may belong to a submission that is under way. GRACE_S after
somebody brought it last, it does not.
"""

import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Executor
from functools import partial
from typing import NamedTuple

from sqlalchemy import ColumnElement, func, select

from beholder.aside import AWAY, away_name
from beholder.errors import FileUnusable, NotFound
from beholder.files import Listed
from beholder.jobs.database import Database
from beholder.jobs.models import Item, Picture
from beholder.store import FOLDERS, Store, picture_path
from beholder.upkeep.ahead import ahead
from beholder.upkeep.findings import (
    BRING_BACK,
    COLLECT,
    SEE_TO,
    SEND,
    SEND_ANEW,
    Finding,
    changed_words,
)
from beholder.upkeep.presence import insist_on_there, of_one_file

GRACE_S = 24 * 3600.0  # longer than the longest submission
_PAGE = 500


class Known(NamedTuple):
    """A picture's row."""

    sha256: str
    bytes: int


def check_pictures(
    database: Database,
    store: Store,
    threads: Executor,
    *,
    quick: bool,
    on_checked: Callable[[int], object],
    lost: Collection[str] = (),
    now: float | None = None,
) -> Iterator[Finding]:
    """Pictures that are gone, damaged, or known to nobody. on_checked: see `check_files`.

    lost: hashes of those that items have, though their rows are gone.
    """
    before = (time.time() if now is None else now) - GRACE_S
    for folder in FOLDERS:
        listed = {one.name: one for one in store.list(f"pictures/{folder}")}
        with database.read() as session:
            statement = select(Picture.sha256, Picture.bytes).where(in_folder(folder))
            known = [Known(*row) for row in session.execute(statement)]
        needed = {one.sha256 for one in known}.union(lost)
        yield from _strays(store, folder, listed, needed, before)
        yield from _wrong(database, store, threads, known, listed, quick, on_checked)
    yield from _misplaced(store)


def check_pictures_of(
    database: Database,
    store: Store,
    job_id: str,
    threads: Executor,
    *,
    quick: bool,
    on_checked: Callable[[int], object],
) -> Iterator[Finding]:
    """The same of one job's pictures alone."""
    last = ""
    while True:
        used = select(Item.picture_sha256).where(Item.job_id == job_id)
        statement = (
            select(Picture.sha256, Picture.bytes)
            .where(Picture.sha256.in_(used), Picture.sha256 > last)
            .order_by(Picture.sha256)
            .limit(_PAGE)
        )
        with database.read() as session:
            known = [Known(*row) for row in session.execute(statement)]
        yield from _wrong(database, store, threads, known, None, quick, on_checked, job_id)
        if len(known) < _PAGE:
            return
        last = known[-1].sha256


def unknown_pictures(database: Database, job_id: str) -> Iterator[Finding]:
    """Pictures that a job's items have, though their rows are gone."""
    statement = (
        select(Item.picture_sha256, func.min(Item.source))
        .outerjoin(Picture, Picture.sha256 == Item.picture_sha256)
        .where(Item.job_id == job_id, Item.picture_sha256.is_not(None), Picture.sha256.is_(None))
        .group_by(Item.picture_sha256)
    )
    with database.snapshot() as session:
        for sha256, source in session.execute(statement).yield_per(_PAGE):
            what = f"the database does not know it; items of job {job_id} need it: {source}"
            yield Finding("picture missing", picture_path(sha256 or ""), what, SEND, job_id)


def in_folder(folder: str) -> ColumnElement[bool]:
    """The pictures whose hashes begin so; as a range, which the key's index answers."""
    return Picture.sha256.between(folder, folder + "g")


def _wrong(
    database: Database,
    store: Store,
    threads: Executor,
    known: list[Known],
    listed: dict[str, Listed] | None,
    quick: bool,
    on_checked: Callable[[int], object],
    job_id: str | None = None,
) -> Iterator[Finding]:
    insist = partial(insist_on_there, database, store)

    def again(one: Known) -> str | FileUnusable | None:
        try:
            return of_one_file(insist, picture_path(one.sha256), lambda: examine(store, one))
        except FileUnusable as error:
            return error

    def look(one: Known) -> str | FileUnusable | None:
        if quick and listed is not None and one.sha256 in listed:
            here = listed[one.sha256].bytes
            return None if here == one.bytes else "its size is wrong"
        return again(one)

    found: dict[str, str | FileUnusable] = {}
    for one, wrong in ahead(threads, look, known):
        on_checked(one.bytes)
        if wrong and (wrong := again(one)) and _still_known(database, one.sha256):
            found[one.sha256] = wrong
    needs = _needs(database, list(found), job_id)
    for sha256, wrong in found.items():
        path, what = picture_path(sha256), f"{wrong}{needs.get(sha256, '')}"
        if isinstance(wrong, FileUnusable):
            yield Finding("unreadable", path, what, SEE_TO)
        elif not wrong.startswith("no "):
            yield Finding("picture damaged", path, what, SEND_ANEW)
        elif not (listed and away_name(sha256) in listed):  # else it has been found already
            yield Finding("picture missing", path, what, SEND)


def _needs(database: Database, pictures: list[str], job_id: str | None) -> dict[str, str]:
    """By picture, the first item that needs it, in words; of one job, or of any.

    Many at once: without an index each look goes through all items.
    """
    found: dict[str, str] = {}
    for start in range(0, len(pictures), _PAGE):
        some = pictures[start : start + _PAGE]
        first = select(func.min(Item.id)).where(Item.picture_sha256.in_(some))
        if job_id is not None:
            first = first.where(Item.job_id == job_id)
        of_first = Item.id.in_(first.group_by(Item.picture_sha256))
        columns = (Item.picture_sha256, Item.job_id, Item.position, Item.source)
        with database.read() as session:
            for sha256, job, position, source in session.execute(select(*columns).where(of_first)):
                found[sha256 or ""] = f"; item {position} of job {job} needs it: {source}"
    return found


def examine(store: Store, one: Known) -> str | None:
    """What is wrong with a picture in the store, by its bytes; None where nothing is."""
    try:
        sha256, size = store.digest(picture_path(one.sha256))
    except NotFound:
        return "no such picture in the store, though the database knows it"
    if sha256 == one.sha256:
        return None
    return f"it is not what was taken in: {changed_words(size, one.bytes)}"


def _still_known(database: Database, sha256: str) -> bool:
    with database.read() as session:
        return session.get(Picture, sha256) is not None


def _strays(
    store: Store, folder: str, listed: dict[str, Listed], known: set[str], before: float
) -> Iterator[Finding]:
    for one in listed.values():
        if one.name in known or one.modified >= before:
            continue
        path = f"pictures/{folder}/{one.name}"
        if not store.exists(path):
            continue  # removed meanwhile
        if one.name.endswith(AWAY):
            what, mend = "moved aside by a `gc` that was killed", BRING_BACK
        else:
            what, mend = "the database does not know it", COLLECT
        yield Finding("stray picture", path, what, mend)


def _misplaced(store: Store) -> Iterator[Finding]:
    """What lies in pictures/ beside its 256 folders."""
    for one in store.list("pictures"):
        if not (one.is_folder and one.name in FOLDERS):
            path = f"pictures/{one.name}"
            yield Finding("stray picture", path, "it is no folder of pictures", "remove it.")

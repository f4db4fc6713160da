"""What `verify --mend` does about findings: `mend` what is `mendable`, a line a deed.

Results are made again by the job itself: their items are queued once more, and what is left of
their files is removed. A damaged picture is removed too, since one that is sent again is taken to
be there as long as its size is right. What can't be told from the rows alone, such as a lost
picture, is left to whoever has it.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import Session

from beholder.errors import NotFound
from beholder.jobs.advance import advance
from beholder.jobs.bulk import UNSYNCED
from beholder.jobs.chunking import Range, insert_chunks
from beholder.jobs.database import Database
from beholder.jobs.frames import Frames
from beholder.jobs.hooks import rearm
from beholder.jobs.models import FINISHED, OPEN, Chunk, File, Item, Job, utc_now
from beholder.jobs.rows import lock_job, settle, with_open_chunks
from beholder.plurals import plural
from beholder.store import Store, job_folder
from beholder.upkeep.findings import RETRY_IT, SEND, Finding
from beholder.upkeep.ownership import stranger
from beholder.upkeep.references import references
from beholder.upkeep.rows import counted, doubled, uncovered

_TOGETHER = 500  # items in a transaction
_GONE = "its files were lost: `beholder retry` makes them again."


_OF_ITEMS = ("file missing", "file damaged")
_OF_JOBS = ("counters", "chunks")
_OF_PICTURES = ("picture damaged",)


@dataclass
class Mendable:
    """What can be put right: findings an item, by job, and a job; pictures' paths.

    `mend` leaves of `items` what it left. settled: findings that nobody has to do more about.
    """

    items: defaultdict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    jobs: Counter[str] = field(default_factory=Counter)
    pictures: list[str] = field(default_factory=list)
    settled: int = 0
    _answers: dict[str, str] = field(default_factory=dict)  # to a job's items; to other findings

    def answered(self, one: Finding) -> Finding:
        """A finding with what `mend` did about it, if it did, in place of how to mend it."""
        where = one.where if one.kind in (*_OF_JOBS, *_OF_PICTURES) else None
        if one.kind in _OF_ITEMS and one.job_id is not None and one.position is not None:
            where = None if one.position in self.items[one.job_id] else one.job_id
        answer = None if where is None else self._answers.get(where)
        return one if answer is None else replace(one, mend=answer)

    def answer(self, where: str, words: str, settled: int) -> None:
        """What was done about a job's items, or about what is wrong there."""
        self._answers[where] = words
        self.settled += settled


def mendable(findings: Iterable[Finding]) -> Mendable:
    """What can be put right of these, any number of them, once all have been found."""
    found = Mendable()
    for one in findings:
        if one.kind in _OF_PICTURES:
            found.pictures.append(one.where)
        elif one.job_id is None:
            continue
        elif one.kind in _OF_ITEMS and one.position is not None:
            found.items[one.job_id][one.position] += 1
        elif one.kind in _OF_JOBS:
            found.jobs[one.job_id] += 1
    return found


def mend(database: Database, store: Store, wanted: Mendable) -> Iterator[str]:
    """Put it right, as far as it is still wrong and nobody is at work on it; each deed in words."""
    for job_id in wanted.items:
        yield from _make_again(database, store, job_id, wanted)
    for job_id in wanted.jobs:
        yield from _put_right(database, job_id, wanted)
    for path in wanted.pictures:
        yield from _remove_damaged(store, path, wanted)


def _remove_damaged(store: Store, path: str, wanted: Mendable) -> Iterator[str]:
    with suppress(NotFound):
        if store.drop_damaged(path.rpartition("/")[2]):
            wanted.answer(path, f"removed; {SEND}", 0)
            yield f"{path}: removed; send it again."


def _make_again(database: Database, store: Store, job_id: str, wanted: Mendable) -> Iterator[str]:
    left, forgotten = wanted.items[job_id], set[str]()
    positions, again, state = sorted(left), 0, ""
    for start in range(0, len(positions), _TOGETHER):
        with database.write(lasting=True) as session:  # before its files go
            job = lock_job(session, job_id)
            if job is None or job.kind != "dream" or job.unsettled is False:
                continue
            if job.unsettled:
                settle(session, job, limit=None)
            reopened = _reopen(session, job, positions[start : start + _TOGETHER])
            state = job.state
        again += len(reopened)
        findings = sum(left.pop(position) for position in reopened)
        if reopened and state == "cancelled":
            wanted.answer(job_id, f"cancelled; {RETRY_IT}", 0)
        elif reopened:
            wanted.answer(job_id, "queued again.", findings)
        forgotten.update(*reopened.values())
    if again:
        how = "cancelled, for `beholder retry`" if state == "cancelled" else "queued again"
        yield f"job {job_id}: {plural(again, 'item')} {how}."
    if left:
        what = plural(len(left), "item")
        yield f"job {job_id}: {what} left, being worked on: verify again later."
    _remove(database, store, job_id, forgotten)


def _remove(database: Database, store: Store, job_id: str, paths: set[str]) -> None:
    """Remove the job's files at these paths, as `gc` would: nothing that an item still has."""
    own = {path for path in paths if path.startswith(f"{job_folder(job_id)}/")}
    if not own or stranger(database, store):
        return
    for reference in references(database, job_id):
        own.discard(reference.path)
    for path in own:
        with suppress(NotFound):
            store.remove(path)


def _reopen(session: Session, job: Job, positions: list[int]) -> dict[int, list[str]]:
    """Forget the files of done items, and queue them in a chunk each; their paths by position.

    A cancelled job stays so, with one more item to `retry`. Items whose positions a worker has in
    hand, in a chunk around them, are left: it would find one more than it took. So are frames that
    a later one is being made from; one that is queued waits for them.
    """
    held = select(Chunk.id).where(
        Chunk.job_id == job.id,
        Chunk.state == "running",
        Chunk.first_position <= Item.position,
        Chunk.last_position >= Item.position,
    )
    done = select(Item).where(
        Item.job_id == job.id,
        Item.state == "done",
        Item.position.in_(positions),
        ~held.exists(),
    )
    followed = {at for at, _ in _following(session, job, positions, "running")}
    found = session.scalars(done.order_by(Item.position))
    items = [item for item in found if item.position not in followed]
    if not items:
        return {}
    paths = _paths(session, items)
    state = "cancelled" if job.state == "cancelled" else "queued"
    for item in items:
        item.state, item.result, item.error = state, None, None if state == "queued" else _GONE
    ids = [item.id for item in items]
    session.execute(delete(File).where(File.item_id.in_(ids)), execution_options=UNSYNCED)
    session.flush()
    if state == "queued":
        _open(session, job)
        _hold_back(session, job, [item.position for item in items])
        _cover(session, job)
    _recount(session, job)
    return paths


def _hold_back(session: Session, job: Job, positions: Collection[int]) -> None:
    """Take later frames of these films out of the queue: they are due again after these."""
    if chunks := {chunk for _, chunk in _following(session, job, positions, "queued")}:
        _close_chunks(session, job, Chunk.id.in_(chunks))


def _following(
    session: Session, job: Job, positions: Collection[int], state: str
) -> Iterator[tuple[int, int]]:
    """(position, chunk): a chunk in this state has a later frame of that position's film."""
    frames = Frames.of(job)
    if frames is None:
        return
    chunks = select(Chunk.id, Chunk.first_position, Chunk.last_position).where(
        Chunk.job_id == job.id, Chunk.state == state
    )
    for chunk, first, last in session.execute(chunks):
        for position in positions:
            later = frames.film(position)[frames.number(first)]  # a chunk is of one frame number
            if later > position and first <= later <= last:
                yield position, chunk


def _paths(session: Session, items: Sequence[Item]) -> dict[int, list[str]]:
    """Where each item's files are, with its start's."""
    found: dict[int, list[str]] = {item.id: [] for item in items}
    files = select(File.item_id, File.path).where(File.item_id.in_(found))
    for number, path in session.execute(files):
        found[number].append(path)
    for item in items:
        if start := (item.result or {}).get("start"):
            found[item.id].append(str(start))
    return {item.position: found[item.id] for item in items}


def _put_right(database: Database, job_id: str, wanted: Mendable) -> list[str]:
    """Counters as the rows say; a chunk for every open item; none in a finished job."""
    deeds: list[str] = []
    with database.write() as session:
        job = lock_job(session, job_id)
        if job is None:
            return deeds
        if job.unsettled is None:
            deeds += _mend_chunks(session, job)
        if changed := _recount(session, job):
            deeds.append(f"job {job_id}: counted again: {', '.join(changed)}.")
        lags = job.unsettled is False
    if not lags:
        wanted.answer(f"job {job_id}", "put right.", wanted.jobs[job_id])
    return deeds  # said once they are committed


def _mend_chunks(session: Session, job: Job) -> Iterator[str]:
    if job.state == "cancelled":
        job.unsettled = True
        yield f"job {job.id}: cancelled to the end by the next sweep of a worker."
        return
    if job.state in FINISHED:
        closed = _close_chunks(session, job)
        if closed:
            yield f"job {job.id}: {plural(closed, 'chunk')} of the finished job closed."
        open_items = select(Item.id).where(Item.job_id == job.id, Item.state.in_(OPEN)).limit(1)
        if session.scalar(open_items) is None:
            return
        _open(session, job)
    if closed := _close_doubled(session, job):
        yield f"job {job.id}: {plural(closed, 'chunk')} closed over items that another is over."
    if covered := _cover(session, job):
        yield f"job {job.id}: {plural(covered, 'open item')} queued again."
    if not with_open_chunks(session, [job.id]):
        _recount(session, job)  # what follows is decided by them
        advance(session, job)
        yield f"job {job.id}: goes on; it is {job.state}."


def _close_doubled(session: Session, job: Job) -> int:
    """Of two that share an item, one that nobody has in hand; what it alone had is then covered."""
    closed: set[int] = set()
    for pair in list(doubled(session, job)):
        if closed.isdisjoint(pair):
            queued = select(Chunk.id).where(Chunk.id.in_(pair), Chunk.state == "queued")
            closed |= set(session.scalars(queued.order_by(Chunk.first_position.desc()).limit(1)))
    return _close_chunks(session, job, Chunk.id.in_(closed))


def _close_chunks(session: Session, job: Job, *which: ColumnElement[bool]) -> int:
    closed = (
        update(Chunk)
        .where(Chunk.job_id == job.id, Chunk.state.in_(OPEN), *which)
        .values(state="cancelled", token=None, lease_until=None, finished_at=utc_now())
        .returning(Chunk.id)
    )
    return len(session.execute(closed, execution_options=UNSYNCED).all())


def _open(session: Session, job: Job) -> None:
    """A job that had ended goes on."""
    if job.state not in FINISHED:
        return
    job.state, job.error, job.finished_at = "queued", None, None
    if job.kind == "dream":
        job.stage = "dream"
    elif job.target_pictures is not None:
        job.stage = "classify"
    else:
        job.stage = "measure"
    rearm(session, job.id)
    session.flush()


def _cover(session: Session, job: Job) -> int:
    """Queue a chunk for each open item that has none; workers make batches of them."""
    session.flush()
    lacking = list(uncovered(session, job))
    positions = [position for position, _ in lacking]
    for start in range(0, len(positions), _TOGETHER):
        some = positions[start : start + _TOGETHER]
        waiting = update(Item).where(Item.job_id == job.id, Item.position.in_(some))
        session.execute(waiting.values(state="queued"), execution_options=UNSYNCED)
    return insert_chunks(session, job, [Range(at, at, layer) for at, layer in lacking])


def _recount(session: Session, job: Job) -> list[str]:
    """Set the job's counters from its rows; those that were wrong."""
    session.flush()
    session.refresh(job)
    counts = counted(session, job)
    wrong = sorted(name for name, count in counts.items() if getattr(job, name) != count)
    for name in wrong:
        setattr(job, name, counts[name])
    return wrong

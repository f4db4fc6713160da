"""A database with very many rows: how long each question and each change takes, at p95.

On SQLite and on Postgres, while another process claims and finishes chunks all the time. `--full`
makes 1,000,000 items and 10,000,000 rows of channels; without it there are fewer of both.
"""

import functools
import multiprocessing
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from typing import TypeVar

from sqlalchemy import update

from beholder.jobs.channel_queries import channels
from beholder.jobs.claim import Claim
from beholder.jobs.claims import claim_next, release, renew_all
from beholder.jobs.completion import completed
from beholder.jobs.control import cancel
from beholder.jobs.database import Database
from beholder.jobs.finish import finish_dreams
from beholder.jobs.models import Job
from beholder.jobs.outcomes import DreamOutcome, StoredFile
from beholder.jobs.queries import get_job, items, list_jobs
from beholder.jobs.rows import lock_job, settle
from beholder.jobs.verdicts import chosen_by_layer, summary_of
from beholder.layers import LAYERS
from benchmarks.databases import BIG, CHUNK, STUDY, Size, fill, postgres, sqlite
from benchmarks.harness import Options, Row, run

# Nearly done: what is done is what a claim must not read.
FULL = Size(items=900_000, judged=100_000, jobs=5_000, studies=802, done=0.9)
PART = Size(items=270_000, judged=10_000, jobs=5_000, studies=81, done=0.9)
SERVERS = {"SQLite": sqlite, "Postgres": postgres}
OF_CHANNELS = {"top of a layer": 20.0, "a channel across studies": 20.0}  # goals in ms
MOST_MS = 50.0  # the goal of all others
WRITER_PAUSE_S = 0.02
LEASE_S = 60.0
JOINED = 4  # chunks of one batch
LEFT = 10_000  # items that wait when the asking ends, so that cancelling has something to settle
SHOWN_CHANNELS = 500  # what the API gives at a time
PAGE = 100

T = TypeVar("T")


@dataclass
class Desk:
    """Asks one database everything. taken: seconds of each call, by what it is called."""

    database: Database
    size: Size
    chance: random.Random = field(default_factory=lambda: random.Random(0))
    taken: dict[str, list[float]] = field(default_factory=dict)

    def ask_all(self) -> None:
        """Each question and each change once, about something else each time."""
        db, size, chance = self.database, self.size, self.chance
        self._time("job progress", lambda: completed(db, get_job(db, BIG)))
        self._time("jobs, first page", lambda: list_jobs(db))
        late = get_job(db, f"small{chance.randrange(size.jobs)}").cursor
        self._time("jobs, a late page", lambda: list_jobs(db, before=late))
        self._time("jobs of a state", lambda: list_jobs(db, state="done", before=late))
        self._time("items, first page", lambda: list(items(db, BIG, limit=PAGE)))
        after = chance.randrange(size.items)
        self._time("items, any page", lambda: list(items(db, BIG, after=after, limit=PAGE)))
        by_state = functools.partial(items, db, BIG, after=after, limit=PAGE)
        self._time("items, queued", lambda: list(by_state(state="queued")))
        self._time("items, failed", lambda: list(by_state(state="failed")))
        self._time("study, its page", self._study)
        self._ask_channels()
        self._work()
        self._time("cancel", lambda: cancel(db, BIG))
        self._undo_cancel()

    def waits(self) -> bool:
        """Whether there is enough left to claim."""
        return get_job(self.database, BIG).queued > LEFT

    def sweep_cancelled(self) -> None:
        """Cancel the big job for good, and let what follows happen, step by step."""
        cancel(self.database, BIG)
        while self._time("a step of settling a cancelled job", self._settle):
            pass

    def rows(self, server: str) -> Iterator[Row]:
        """p95 of each against its goal."""
        for name, taken in self.taken.items():
            ms = sorted(1000 * seconds for seconds in taken)
            p50, p95 = statistics.median(ms), ms[int(0.95 * (len(ms) - 1) + 0.5)]
            detail = f"p50 {p50:.1f}, max {ms[-1]:.1f}, of {len(ms)}"
            goal = OF_CHANNELS.get(name, MOST_MS)
            yield Row(f"{server}: {name}, p95", p95, "ms", goal, "lower", detail)

    def _settle(self) -> bool:
        """A step; whether there is another."""
        with self.database.write() as session:
            job = lock_job(session, BIG)
            assert job is not None
            settle(session, job)
            return bool(job.unsettled)

    def _study(self) -> None:
        for role in ("target", "control"):
            list(items(self.database, STUDY, role=role, limit=60))
        summary_of(self.database, STUDY)
        chosen_by_layer(self.database, "study0")

    def _ask_channels(self) -> None:
        layer = self.chance.choice(LAYERS)
        study = f"study{self.chance.randrange(self.size.studies)}"
        channel = self.chance.randrange(layer.channels)
        ask = functools.partial(channels, self.database, layer=layer.index, limit=SHOWN_CHANNELS)
        self._time("top of a layer", lambda: list(ask(study=study, top=10)))
        self._time("a channel across studies", lambda: list(ask(channel=channel)))

    def _work(self) -> None:
        db = self.database
        (held,) = self._time(
            "claim", lambda: claim_next(db, worker="bench", lease_s=LEASE_S, room=CHUNK)
        )
        self._time("renew", lambda: renew_all(db, [held], lease_s=LEASE_S))
        self._time("finish 8 items", lambda: finish_dreams(db, [(held, dreamt(held))]))
        room = JOINED * CHUNK
        joined = self._time(
            f"claim {JOINED} chunks",
            lambda: claim_next(db, worker="bench", lease_s=LEASE_S, room=room),
        )
        for one in joined:
            release(db, one)

    def _undo_cancel(self) -> None:
        with self.database.write() as session:
            job = session.get_one(Job, BIG)
            values = {"state": "running", "stage": "dream", "finished_at": None, "unsettled": None}
            counts = {"queued": Job.cancelled, "cancelled": 0}
            session.execute(update(Job).where(Job.id == job.id).values(**values, **counts))

    def _time(self, name: str, call: Callable[[], T]) -> T:
        begun = time.perf_counter()
        given = call()
        self.taken.setdefault(name, []).append(time.perf_counter() - begun)
        return given


def dreamt(held: Claim) -> list[DreamOutcome]:
    """As a worker would have it."""
    folder = f"results/{held.job_id}/{held.token}"
    return [
        DreamOutcome(
            item.position,
            (StoredFile(30, f"{folder}/{item.position:07}-00030.png", "0" * 64, 9999, 224, 224),),
            {"objective": [1.0] * 30},
            0.25,
        )
        for item in held.items
    ]


@contextmanager
def working(url: str) -> Iterator[None]:
    """Another process that claims and finishes chunks meanwhile."""
    spawn = multiprocessing.get_context("spawn")
    stopping = spawn.Event()
    process = spawn.Process(target=_work_on, args=(url, stopping), daemon=True)
    process.start()
    try:
        yield
    finally:
        stopping.set()
        process.join()


def _work_on(url: str, stopping: Event) -> None:
    database = Database.open(url)
    while not stopping.wait(WRITER_PAUSE_S):
        for held in claim_next(database, worker="other", lease_s=LEASE_S, room=CHUNK):
            finish_dreams(database, [(held, dreamt(held))])
    database.dispose()


def figures(size: Size, seconds: float) -> Iterator[Row]:
    """The rows of both servers. seconds: to ask in, on each."""
    for name, server in SERVERS.items():
        with server() as url:
            begun = time.monotonic()
            fill(url, size)
            made_s = time.monotonic() - begun
            rows = f"{size.items + size.judged:,} items, {size.channels:,} channel rows"
            yield Row(f"{name}: made", made_s, "s", detail=rows)
            desk = Desk(Database.open(url), size)
            with working(url):
                begun = time.monotonic()
                while not desk.taken or (time.monotonic() - begun < seconds and desk.waits()):
                    desk.ask_all()
                desk.sweep_cancelled()
            desk.database.dispose()
            yield from desk.rows(name)


def main() -> None:
    """`python -m benchmarks.scale [--full] [--seconds S] [--json FILE]`."""
    full = "--full" in sys.argv
    if full:
        sys.argv.remove("--full")

    def rows_of(options: Options) -> Iterator[Row]:
        return figures(FULL if full else PART, options.seconds)

    run("scale", rows_of, about=main.__doc__ or "", seconds=60.0 if full else 8.0)


if __name__ == "__main__":
    main()

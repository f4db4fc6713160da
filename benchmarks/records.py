"""Channel records over many studies: how long each question takes, at p95, on both databases.

`--full` makes 10,000,000 rows of strengths by class; without it there are a tenth of them.
"""

import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from sqlalchemy import text
from sqlalchemy.orm import Session

from beholder.jobs.contrast_queries import contrasts
from beholder.jobs.database import Database
from beholder.jobs.overlap_queries import overlap
from beholder.jobs.queries import get_job
from beholder.jobs.record_queries import channel_records
from beholder.layers import LAYERS
from benchmarks.databases import Size, fill, postgres, sqlite
from benchmarks.harness import Options, Row, run

SERVERS = {"SQLite": sqlite, "Postgres": postgres}
RELUS = tuple(layer for layer in LAYERS if layer.kind == "relu")
LABELS = ("kelpie", "germanshepherd", "skunk")  # of each study
ROWS = len(LABELS) * sum(layer.channels for layer in RELUS)  # of each study
TENTH, FULL = 61, 606  # studies
OF_ONE_MS = 20.0  # goal of what is asked of one layer or one channel

_CLASSES = """
INSERT INTO study_classes (job_id, number, label, role, n, pictures)
SELECT id, :number, :label, 'target', 100, id || :label FROM jobs WHERE target_pictures IS NOT NULL
"""
_STRENGTHS = """
INSERT INTO channel_classes (job_id, number, layer, channel, active, sum, squares, maximum)
SELECT job_id, :number, layer, channel, (channel * 7919 + :number) % 101, mean * (1 + :number),
    mean * mean * (2 + :number), maximum
FROM channels WHERE layer IN ({}) ORDER BY job_id, layer, channel
""".format(", ".join(str(layer.index) for layer in RELUS))


@dataclass
class Desk:
    """Asks one database everything. taken: milliseconds of each call, by what it is called."""

    database: Database
    studies: int
    chance: random.Random = field(default_factory=lambda: random.Random(0))
    taken: dict[str, list[float]] = field(default_factory=dict)

    def ask_all(self) -> None:
        """Each question once, about something else each time."""
        db, chance = self.database, self.chance
        layer = chance.choice(RELUS)
        first, second = (f"study{chance.randrange(self.studies)}" for _ in range(2))
        channel = chance.randrange(layer.channels)
        self._time(
            "a channel's record", lambda: channel_records(db, layer=layer.index, channel=channel)
        )
        index = [layer.index]
        self._time(
            "for one class and not another, of a study's layer",
            lambda: contrasts(db, ["skunk"], ["kelpie"], study=first, layers=index),
        )
        self._time(
            "for one class and not another, of a layer of all studies",
            lambda: contrasts(db, ["skunk"], ["kelpie"], layers=index),
        )
        self._time(
            "for one class and not another, of all", lambda: contrasts(db, ["skunk"], ["kelpie"])
        )
        pair = get_job(db, first), get_job(db, second)
        self._time("overlap of two studies", lambda: overlap(db, *pair))

    def rows(self, server: str) -> Iterator[Row]:
        """p95 of each; against its goal where it is about one channel, or a study's layer."""
        for name, taken in self.taken.items():
            ms = sorted(taken)
            p50, p95 = statistics.median(ms), ms[int(0.95 * (len(ms) - 1) + 0.5)]
            goal = None if "of all" in name or "studies" in name else OF_ONE_MS
            detail = f"p50 {p50:.1f}, max {ms[-1]:.1f}, of {len(ms)}"
            yield Row(f"{server}: {name}, p95", p95, "ms", goal, "lower", detail)

    def _time(self, name: str, call: Callable[[], object]) -> None:
        begun = time.perf_counter()
        call()
        self.taken.setdefault(name, []).append(1000 * (time.perf_counter() - begun))


def add_classes(database: Database) -> None:
    """Give each study three classes, and each of its ReLU channels strengths in all of them."""
    for number, label in enumerate(LABELS):
        with database.write() as session:
            values = {"number": number, "label": label}
            session.execute(text(_CLASSES), values)
            session.execute(text(_STRENGTHS), {"number": number})
    if database.engine.dialect.name == "postgresql":
        with database.write() as session:
            _analyze(session)


def _analyze(session: Session) -> None:
    """As autovacuum does sooner or later."""
    session.execute(text("ANALYZE study_classes, channel_classes"))


def figures(studies: int, seconds: float) -> Iterator[Row]:
    """The rows of both servers. seconds: to ask in, on each."""
    for name, server in SERVERS.items():
        with server() as url:
            begun = time.monotonic()
            fill(url, Size(items=1_000, judged=1_000, jobs=100, studies=studies))
            database = Database.open(url, foreign_keys=False)
            add_classes(database)
            made_s = time.monotonic() - begun
            yield Row(f"{name}: made", made_s, "s", detail=f"{studies * ROWS:,} rows by class")
            desk = Desk(database, studies)
            begun = time.monotonic()
            while not desk.taken or time.monotonic() - begun < seconds:
                desk.ask_all()
            database.dispose()
            yield from desk.rows(name)


def main() -> None:
    """`python -m benchmarks.records [--full] [--seconds S] [--json FILE]`."""
    full = "--full" in sys.argv
    if full:
        sys.argv.remove("--full")

    def rows_of(options: Options) -> Iterator[Row]:
        return figures(FULL if full else TENTH, options.seconds)

    run("records", rows_of, about=main.__doc__ or "", seconds=10.0)


if __name__ == "__main__":
    main()

"""A home with a database, a store and jobs in it: `Home` submits, works, and breaks things.

Each test that takes `home` runs on SQLite and, marked slow, on Postgres.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from sqlalchemy import create_engine, make_url, text, update

from beholder.jobs.claim import Claim
from beholder.jobs.claims import claim_next
from beholder.jobs.database import Database
from beholder.jobs.finish import finish_choose, finish_classify, finish_dreams, finish_measure
from beholder.jobs.models import OPEN, Picture, utc_now
from beholder.jobs.outcomes import (
    ChannelRow,
    DreamOutcome,
    ExemplarRow,
    ItemFailure,
    Judgement,
    StoredFile,
    VerdictOutcome,
)
from beholder.jobs.queries import get_job
from beholder.jobs.schema import upgrade
from beholder.jobs.silence import Silence
from beholder.jobs.spool import Entry, StoredPicture
from beholder.jobs.submit import create_job, noise_entries
from beholder.jobs.sweep import sweep
from beholder.jobs.views import JobView
from beholder.specs import DreamSpec, StudySpec
from beholder.store import Store, picture_path, result_folder
from beholder.upkeep.files import HANDED_ON
from beholder.upkeep.findings import Finding
from beholder.upkeep.mend import mend, mendable
from beholder.upkeep.verify import verify
from tests.emptying import empty

SERVERS = ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)]
VERDICT = Judgement("kelpie", 227, 0.9, (("kelpie", 0.9),))
OTHER = Judgement("dingo", 273, 0.5, (("dingo", 0.5),))
LEASE_S = 15.0


@dataclass
class Home:
    """A database and a store, and the hands of submitters and workers."""

    db: Database
    store: Store
    now: float = 1_000_000.0

    def submit(self, pictures: Sequence[int] = (0, 1, 2), **fields: Any) -> str:
        """pause_s: between taking the pictures in and writing the job."""
        chunk_size, pause_s = fields.pop("chunk_size", 2), fields.pop("pause_s", 0.0)
        spec = DreamSpec.build(**{"network": "random:0", "steps": 3, **fields})
        entries = [*map(self.entry, pictures), *noise_entries(spec)]
        time.sleep(pause_s)
        return create_job(self.db, spec, entries, chunk_size=chunk_size).id

    def submit_study(self, targets: int = 3, controls: int = 2) -> str:
        entries = [self.entry(number, role="target") for number in range(targets)]
        entries += [self.entry(100 + number, role="control") for number in range(controls)]
        return create_job(self.db, StudySpec.build(network="random:0"), entries, chunk_size=2).id

    def entry(self, number: int, **fields: Any) -> Entry:
        data = self.data(number)
        stored = StoredPicture(self.store.put_picture(data), 8, 8, "PNG", len(data))
        return Entry(f"folder/{number}.png", stored, **fields)

    def __post_init__(self) -> None:
        self.silence = Silence(LEASE_S, look_s=1_000.0)

    def sweep(self) -> None:
        sweep(self.db, self.silence, now=self.now)

    def die(self) -> None:
        """Every worker is gone: a sweep has seen what they hold, and then a lease has passed."""
        self.sweep()
        self.now += LEASE_S + 1
        self.sweep()

    def claim(self, *, lease_s: float = LEASE_S) -> Claim | None:
        taken = claim_next(self.db, worker="w", lease_s=lease_s)
        return taken[0] if taken else None

    def write(self, claim: Claim, item: Any) -> DreamOutcome:
        """Write an item's files as a worker would."""
        files = [self._put(claim, item.position, step) for step in claim.spec.steps_kept]
        kept: dict[str, object] = {"objective": [1.0]}
        if item.seed is not None and item.layer == claim.spec.layers[0]:
            start = self._put(claim, item.position, 0)
            kept |= {"start": start.path, "start_sha256": start.sha256, "start_bytes": start.bytes}
        return DreamOutcome(item.position, tuple(files), kept, 0.1)

    def finish(self, claim: Claim, *, failing: Sequence[int] = ()) -> None:
        if claim.stage == "dream":
            outcomes: list[Any] = [
                ItemFailure(item.position, "overflowed.")
                if item.position in failing
                else self.write(claim, item)
                for item in claim.items
            ]
            finish_dreams(self.db, [(claim, outcomes)])
        elif claim.stage == "choose":
            rows = [ChannelRow(35, 7, 3, 1, 9.0, 0.5, 11.0, chosen=True)]
            exemplars = [ExemplarRow(35, 7, 0, 0, 9.0)]
            finish_choose(
                self.db, claim, rows, exemplars=exemplars, target_pictures=3, control_pictures=2
            )
        elif claim.stage == "measure":
            folder = result_folder(claim.job_id, claim.token)
            for name in HANDED_ON["article"]["measure"]:
                self.store.put(f"{folder}/{name}", zipped(name))
            verdicts = [VerdictOutcome(item.position, VERDICT) for item in claim.items]
            finish_measure(self.db, claim, verdicts, partial=folder)
        else:
            verdicts = [
                VerdictOutcome(item.position, OTHER if item.position % 2 else VERDICT)
                for item in claim.items
            ]
            finish_classify(self.db, claim, verdicts)

    def run(self, job_id: str) -> JobView:
        """Work until the job has ended."""
        while get_job(self.db, job_id).state in OPEN:
            claim = self.claim()
            assert claim is not None, "nothing would ever finish this job"
            self.finish(claim)
        return get_job(self.db, job_id)

    def done(self, *args: Any, **fields: Any) -> str:
        job_id = self.submit(*args, **fields)
        self.run(job_id)
        return job_id

    def done_study(self) -> str:
        job_id = self.submit_study()
        self.run(job_id)
        return job_id

    def results(self, job_id: str) -> list[Path]:
        return sorted(path for path in self.path(f"results/{job_id}").rglob("*") if path.is_file())

    def path(self, path: str) -> Path:
        found = self.store.local_path(path)
        assert found is not None
        return found

    def data(self, number: int) -> bytes:
        return b"picture " + str(number).encode()

    def picture(self, number: int) -> Path:
        return self.path(picture_path(hashlib.sha256(self.data(number)).hexdigest()))

    def age(self, *paths: Path, days: float = 2) -> None:
        """Make files older."""
        then = time.time() - days * 86_400
        for path in paths:
            os.utime(path, (then, then))

    def age_pictures(self) -> None:
        """Nobody has brought any picture for days."""
        self.age(*(path for path in self.path("pictures").rglob("*") if path.is_file()))
        with self.db.write() as session:
            old = utc_now() - timedelta(days=2)
            session.execute(update(Picture).values(created_at=old, used_at=None))

    def set(self, statement: Any) -> None:
        """Change rows behind everybody's back."""
        with self.db.write() as session:
            session.execute(statement)

    def verify(self, **options: Any) -> list[Finding]:
        return list(verify(self.db, self.store, **options))

    def mend(self) -> list[str]:
        """Verify, and mend what was found; what was done."""
        return list(mend(self.db, self.store, mendable(self.verify())))

    def _put(self, claim: Claim, position: int, step: int) -> StoredFile:
        data = f"{claim.token} {position} {step}".encode()
        path = f"{result_folder(claim.job_id, claim.token)}/{position:07d}-{step:05d}.png"
        self.store.put(path, data)
        return StoredFile(step, path, hashlib.sha256(data).hexdigest(), len(data), 8, 8)


@pytest.fixture(scope="session")
def sqlite_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One migrated database for all tests."""
    url = f"sqlite:///{tmp_path_factory.mktemp('upkeep') / 'beholder.db'}"
    upgrade(url)
    opened = Database.open(url)
    yield opened
    opened.dispose()


@pytest.fixture(scope="session")
def postgres_home(postgres_server: str) -> Iterator[Database]:
    """The same on Postgres."""
    engine = create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE upkeep"))
    engine.dispose()
    url = make_url(postgres_server).set(database="upkeep").render_as_string(hide_password=False)
    upgrade(url)
    opened = Database.open(url)
    yield opened
    opened.dispose()


@pytest.fixture(params=SERVERS)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Home]:
    """An empty home."""
    database = request.getfixturevalue(f"{request.param}_home")
    yield Home(database, Store.open(str(tmp_path / "store")))
    empty(database)
    shutil.rmtree(tmp_path / "store", ignore_errors=True)


def zipped(words: str) -> bytes:
    """A file with checksums in it, as statistics have them."""
    buffer = BytesIO()
    with ZipFile(buffer, "w") as file:
        file.writestr("array.npy", words)
    return buffer.getvalue()

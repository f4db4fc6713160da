"""`Desk` plays a submitter and a worker: it submits, claims, finishes, sweeps, and checks."""

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from beholder.devices import Device
from beholder.jobs.claim import Claim
from beholder.jobs.claims import claim_next, release
from beholder.jobs.database import Database
from beholder.jobs.finish import finish_choose, finish_classify, finish_dreams, finish_measure
from beholder.jobs.models import FINISHED, ITEM_STATES, OPEN, Chunk, Item, Job, Verdict
from beholder.jobs.outcomes import (
    ChannelRow,
    DreamOutcome,
    Finished,
    ItemFailure,
    Judgement,
    StoredFile,
    VerdictOutcome,
)
from beholder.jobs.queries import items
from beholder.jobs.silence import Silence
from beholder.jobs.submit import CreatedJob, Entry, StoredPicture, create_job
from beholder.jobs.sweep import sweep
from beholder.jobs.turns import waiting
from beholder.jobs.verdicts import Summary, summary_of
from beholder.priorities import Priority
from beholder.specs import DreamSpec, StudySpec


def picture(number: int) -> StoredPicture:
    sha256 = hashlib.sha256(str(number).encode()).hexdigest()
    return StoredPicture(sha256, 224, 224, "JPEG", 1000 + number)


VERDICT = Judgement("kelpie", 227, 0.9288, (("kelpie", 0.9288), ("dingo", 0.05)))
OTHER = Judgement("dingo", 273, 0.5, (("dingo", 0.5),))


@dataclass
class Desk:
    """Submits, claims, finishes, sweeps. `now` is the sweep's clock."""

    database: Database
    now: float = 1_000_000.0
    lease_s: float = 15.0

    def __post_init__(self) -> None:
        self.silence = Silence(self.lease_s, look_s=1_000.0)

    def sweep(self, *, limit: int = 500) -> int:
        """Sweep; how many chunks wait then."""
        sweep(self.database, self.silence, now=self.now, limit=limit)
        return waiting(self.database, limit=99).total()

    def die(self) -> None:
        """Every worker is gone: a sweep has seen what they hold, and then a lease has passed."""
        self.sweep()
        self.now += self.lease_s + 1

    def entry(self, number: int, **fields: Any) -> Entry:
        given = {"picture": picture(number), **fields}
        return Entry(source=f"folder/{number}.jpg", **given)

    def broken(self, number: int, **fields: Any) -> Entry:
        return self.entry(number, picture=None, error="the file is empty.", **fields)

    def dream(
        self,
        count: int = 3,
        *,
        chunk_size: int | None = None,
        priority: Priority = "normal",
        device: Device = "any",
        **fields: Any,
    ) -> CreatedJob:
        spec = DreamSpec.build(**{"network": "random:0", **fields})
        entries = map(self.entry, range(count))
        asked = {"chunk_size": chunk_size, "priority": priority, "device": device}
        return create_job(self.database, spec, entries, **asked)

    def study(
        self, targets: int = 3, controls: int = 2, *, chunk_size: int | None = None
    ) -> CreatedJob:
        entries = [self.entry(number, role="target") for number in range(targets)]
        entries += [self.entry(100 + number, role="control") for number in range(controls)]
        spec = StudySpec.build(network="random:0")
        return create_job(self.database, spec, entries, chunk_size=chunk_size)

    def chunks(self, job_id: str, state: str = "queued") -> list[int]:
        with self.database.read() as session:
            statement = select(Chunk.id).where(Chunk.job_id == job_id, Chunk.state == state)
            return list(session.scalars(statement.order_by(Chunk.first_position, Chunk.id)))

    def claims(self, *, room: int = 1, worker: str = "w") -> tuple[Claim, ...]:
        return claim_next(self.database, worker=worker, lease_s=self.lease_s, room=room)

    def claim(self, *, worker: str = "w") -> Claim | None:
        """What is next, alone."""
        claims = self.claims(worker=worker)
        assert len(claims) <= 1
        return claims[0] if claims else None

    def claim_next(self, job_id: str) -> Claim:
        """What is next of this job; other jobs' chunks that come before are given back."""
        passed: list[Claim] = []
        while (held := self.claim()) is not None and held.job_id != job_id:
            passed.append(held)
        for other in passed:
            release(self.database, other)
        assert held is not None
        return held

    def finish(
        self, held: Claim, *, failing: Callable[[int], bool] = lambda _: False
    ) -> Finished | None:
        """Finish a chunk as a worker would; positions for which `failing` is true fail."""
        if held.stage == "choose":
            rows = channel_rows()
            return finish_choose(self.database, held, rows, target_pictures=3, control_pictures=2)
        if held.stage == "dream":
            return self.finish_all([held], failing=failing)[held.token]
        good, failed = _sorted_out(held, failing)
        verdicts = [VerdictOutcome(position, VERDICT, 0.5) for position in good]
        if held.stage == "measure":
            partial = f"results/{held.job_id}/{held.token}/partial" if good else None
            return finish_measure(self.database, held, [*verdicts, *failed], partial=partial)
        verdicts = [VerdictOutcome(at, VERDICT if at % 3 != 1 else OTHER, 0.5) for at in good]
        return finish_classify(self.database, held, [*verdicts, *failed])

    def finish_all(
        self, batch: Sequence[Claim], *, failing: Callable[[int], bool] = lambda _: False
    ) -> dict[str, Finished | None]:
        """Finish a batch of dreams in one transaction."""
        ended = []
        for held in batch:
            good, failed = _sorted_out(held, failing)
            ended.append((held, [*(dreamt(held, position) for position in good), *failed]))
        return finish_dreams(self.database, ended)

    def run(self, job_id: str, *, failing: Callable[[int], bool] = lambda _: False) -> Job:
        """Work until nothing of the job is queued."""
        while self.job(job_id).state in OPEN and self.chunks(job_id):
            assert self.finish(self.claim_next(job_id), failing=failing) is not None
        return self.job(job_id)

    def job(self, job_id: str) -> Job:
        with self.database.read() as session:
            job = session.get(Job, job_id)
            assert job is not None
            return job

    def states(self, job_id: str) -> dict[int, str]:
        return {item.position: item.state for item in items(self.database, job_id)}

    def check(self, job_id: str) -> None:
        """What holds for every job at every time."""
        job = self.job(job_id)
        seen = Counter(self.states(job_id).values())
        assert {state: getattr(job, state) for state in ITEM_STATES} == {
            state: seen[state] for state in ITEM_STATES
        }
        assert job.total == seen.total()
        with self.database.read() as session:
            rows = session.scalars(select(Item).where(Item.job_id == job_id)).all()
            open_chunks = self.chunks(job_id, "queued") + self.chunks(job_id, "running")
            assert job.measured == sum(item.measured for item in rows)
            judged = session.execute(
                select(Item.role, Verdict.kind, Verdict.label)
                .join(Item, Item.id == Verdict.item_id)
                .where(Item.job_id == job_id)
                .order_by(Item.position, Verdict.kind)
            ).all()
        both = [
            (blinded.role, blinded.label == intact.label)
            for blinded, intact in itertools.pairwise(judged)
            if (blinded.kind, intact.kind) == ("blinded", "intact")
        ]
        assert summary_of(self.database, job_id) == Summary(
            sum(role == "target" for role, _ in both),
            sum(role == "target" and kept for role, kept in both),
            sum(role == "control" for role, _ in both),
            sum(role == "control" and kept for role, kept in both),
        )
        if job.state in FINISHED:
            assert job.queued == job.running == 0
            assert job.finished_at is not None
            assert job.unsettled or not open_chunks
        else:
            assert job.state in OPEN
            assert open_chunks, "nothing would ever finish this job"


def _sorted_out(held: Claim, failing: Callable[[int], bool]) -> tuple[list[int], list[ItemFailure]]:
    """The positions that go well, and the failures of the others."""
    positions = [item.position for item in held.items]
    failed = [
        ItemFailure(position, "can't be decoded.") for position in positions if failing(position)
    ]
    return [position for position in positions if not failing(position)], failed


def dreamt(held: Claim, position: int) -> DreamOutcome:
    path = f"results/{held.job_id}/{held.token}/{position}.png"
    file = StoredFile(30, path, "0" * 64, 1234, 224, 224)
    return DreamOutcome(position, (file,), {"objective": [1.0, 2.5]}, 0.25)


def channel_rows() -> list[ChannelRow]:
    return [
        ChannelRow(35, 7, 3, 1, 9.0, 0.5, 11.0, 2.0, 0.1, 3.0, chosen=True),
        ChannelRow(35, 3, 3, 0, 4.0, 0.5, 6.0, 2.0, 0.1, 3.0, chosen=True),
        ChannelRow(35, 9, 1, 2, 30.0, 0.5, 40.0, 2.0, 0.1, 3.0),
        ChannelRow(20, 1, 2, 0, 5.0, 0.5, 7.0, None, None, None),
    ]

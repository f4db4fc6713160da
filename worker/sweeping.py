"""The last two stages of a sound study: every ablation of its plan, then what follows from them."""

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from beholder.errors import NotFound
from beholder.evidence.analysis import analyse
from beholder.evidence.names import CONCLUSION, EVIDENCE, LOGITS, PLAN, READINGS
from beholder.evidence.pictures import raw_logits
from beholder.evidence.plan import Plan, Subject
from beholder.evidence.readings import Readings
from beholder.evidence.records import effect_rows, summary_of
from beholder.evidence.trial import Course, Trial
from beholder.jobs.claim import Claim, ClaimedItem
from beholder.jobs.finish import finish_classify, finish_conclude
from beholder.jobs.outcomes import Finished
from beholder.jobs.queries import get_job
from beholder.layers import LAST_LAYER
from worker.pictures import Batch, Wanted
from worker.rooms import Shape
from worker.studies import StudyWork, WholeWork
from worker.work import Means


class SweepWork(StudyWork):
    """Readings of a chunk's pictures under the plan's conditions, and the headline's verdicts."""

    _trial: Trial

    def batches(self) -> Iterator[Batch]:
        """As for all work, once the plan and the donors' pictures are here."""
        spec, self._parts = self.spec, list[Readings]()
        self._swept: list[tuple[Wanted, ...]] = []
        plan = read_plan(self.means, self.claim)
        trial = Trial(self.network, plan, spec.min_layer, spec.normalize)
        if trial.wants_donors:
            trial.donors = self._load([trial.subjects[position] for position in plan.donors])
        self._trial = trial
        yield from super().batches()

    def run(self, batch: Batch) -> None:
        """Sweep each group of pictures that go through the same; they are judged behind."""
        courses = [self._trial.course(wanted.item.position) for wanted in batch.items]
        for course in dict.fromkeys(courses):
            rows = [row for row, own in enumerate(courses) if own == course]
            for part, readings in self._fitting(batch.at(rows), partial(self._sweep, course)):
                self._parts.append(readings)
                self._swept.append(part.items)

    def let_go(self) -> bool:
        """Forget the network, which the trial holds too."""
        self.__dict__.pop("_trial", None)
        return super().let_go()

    def _sweep(self, course: Course, batch: Batch) -> Readings:
        return self._trial.run(
            course,
            [wanted.item.position for wanted in batch.items],
            batch.wait(),
            on_part=lambda done: self._check(len(batch.items) * done),
        )

    def _end(self) -> Finished | None:
        folder = None
        for items, readings in zip(self._swept, self._parts, strict=True):
            self._judge(items, torch.from_numpy(readings.logits[1]))
        if self._parts:
            folder = self._hand_on({READINGS: Readings.merge(self._parts).to_bytes()})
        return finish_classify(self.means.db, self.claim, self._ended, partial=folder)

    def _shape(self, height: int, width: int) -> Shape:
        return Shape(self.spec.network, "sweep", LAST_LAYER, height, width)

    def _load(self, subjects: Sequence[Subject]) -> Tensor:
        wanted = [Wanted(self.claim, item_of(subject)) for subject in subjects]
        items, pictures = self.means.loader.tensors(wanted, self.spec, self.lease)
        if len(items) < len(wanted):  # whose turn they are follows from how many there are
            raise NotFound(
                f"{len(wanted) - len(items)} of the study's donor pictures can't be read any more: "
                "queue the study again."
            )
        return pictures


class ConcludeWork(WholeWork):
    """The evidence, from all readings. Not for the device."""

    def _end(self) -> Finished | None:
        planned = _plan_file(self.means, self.claim)
        readings = Readings.merge([Readings.from_bytes(data) for data in self._handed_on(READINGS)])
        job = get_job(self.means.db, self.claim.job_id)
        evidence = analyse(
            Plan.model_validate_json(planned),
            readings,
            study=job.id,
            name=job.name,
            labels=self.network.labels,
            plan_sha256=hashlib.sha256(planned).hexdigest(),
        )
        logits = raw_logits(evidence.rows, readings)
        raw = logits.to_bytes()
        evidence = evidence.model_copy(update={"logits": logits.told(raw)})
        parts = {EVIDENCE: evidence, CONCLUSION: evidence.conclusion}
        texts = {name: part.model_dump_json().encode() for name, part in parts.items()}
        return finish_conclude(
            self.means.db,
            self.claim,
            partial=self._hand_on({LOGITS: raw, **texts}),
            effects=effect_rows(
                evidence.channels, target=evidence.target_label, method=evidence.main.method
            ),
            summary=summary_of(evidence.main),
        )


def read_plan(means: Means, claim: Claim) -> Plan:
    """The plan of a claim's study. Raises NotFound and FileUnusable."""
    return Plan.model_validate_json(_plan_file(means, claim))


def _plan_file(means: Means, claim: Claim) -> bytes:
    path = f"{claim.plan}/{PLAN}"
    try:
        return means.loader.reading(path, lambda: means.store.get(path))
    except NotFound:
        means.loader.insist_on_store()
        raise


def item_of(subject: Subject) -> ClaimedItem:
    """A subject as the loader wants it."""
    return ClaimedItem(
        subject.position, subject.sha256, None, subject.role, None, subject.source, subject.group
    )

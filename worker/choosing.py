"""A sound study's first two stages: measure each picture by itself, then plan what is tried."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future

from torch import Tensor

from beholder.evidence.answering import answers_of
from beholder.evidence.answers import Answers
from beholder.evidence.duplicates import fingerprint
from beholder.evidence.names import ANSWERS, PLAN
from beholder.evidence.plan import Plan
from beholder.evidence.planning import Planner
from beholder.evidence.records import correlated, exemplar_rows
from beholder.evidence.tally import Tally
from beholder.jobs.finish import finish_choose
from beholder.jobs.outcomes import Finished
from beholder.science.inputs import to_image
from beholder.science.measure import Measurement, measure
from worker.pictures import Batch, Wanted
from worker.studies import Measured, MeasureWork, WholeWork, channel_rows
from worker.sweeping import item_of


class SoundMeasureWork(MeasureWork):
    """Intact verdicts, statistics, and each picture's answers, which choosing asks for one by one.

    Fingerprints are found on the threads that decode, while the device goes on.
    """

    _fingerprints: list[list[Future[int]]]

    def batches(self) -> Iterator[Batch]:
        """As for all work."""
        self._fingerprints = []
        yield from super().batches()

    def run(self, batch: Batch) -> None:
        """Measure; what it means is worked out behind."""
        for part, result in self._fitting(batch, self._measure):
            self._measured.append((part.items, result))
            submit = self.means.threads.submit
            self._fingerprints.append([submit(_fingerprint, row) for row in part.starts])

    def _measure(self, batch: Batch) -> Measurement:
        return measure(self.network, batch.wait(), normalize=self.spec.normalize, regions=True)

    def _more(self, parts: Sequence[Measured]) -> dict[str, bytes]:
        """What the pictures answered, from the batches: joined, they would lack their regions."""
        answers = [
            _answers(items, result, [one.result() for one in found])
            for (items, result), found in zip(self._measured, self._fingerprints, strict=True)
        ]
        return {ANSWERS: Answers.merge(answers).to_bytes()}


class SoundChooseWork(WholeWork):
    """The plan: splits, rankings by every method, the dose, and all conditions."""

    _answers: Answers
    _planner: Planner
    _plan: Plan

    def batches(self) -> Iterator[Batch]:
        """One, of all pictures that choosing runs the network on."""
        self._answers = Answers.merge(
            [Answers.from_bytes(data) for data in self._handed_on(ANSWERS)]
        )
        self._planner = Planner(self.network, self.spec, self._answers, tell=self.lease.check)
        wanted = [Wanted(self.claim, item_of(one)) for one in self._planner.wanted()]
        items, pictures = self.means.loader.tensors(wanted, self.spec, self.lease)
        yield Batch(tuple(items), pictures, pictures)

    def run(self, batch: Batch) -> None:
        """Rank, pick the dose, draw. Its parts fit into memory by themselves."""
        positions = [wanted.item.position for wanted in batch.items]
        self._plan = self._planner.plan(positions, batch.starts)

    def let_go(self) -> bool:
        """Forget the network, which the planner holds too."""
        self.__dict__.pop("_planner", None)
        return super().let_go()

    def _end(self) -> Finished | None:
        plan, answers, widths = self._plan, self._answers, self.network.widths
        folder = self._hand_on({PLAN: plan.model_dump_json().encode()})
        target, control = self._merged("target"), self._merged("control")
        chosen = plan.condition(plan.headline).channels
        tally = Tally()
        names = list(zip(answers.role.tolist(), answers.group.tolist(), strict=True))
        tally.add(names, answers.positions.tolist(), answers.sha256.tolist(), answers.strengths)
        return finish_choose(
            self.means.db,
            self.claim,
            channel_rows(target, control, chosen, correlated(answers, widths)),
            exemplars=list(exemplar_rows(answers, widths, seed=self.spec.seed)),
            classes=tally.class_rows(),
            by_class=tally.channel_rows(widths),
            target_pictures=target.n,
            control_pictures=control.n,
            partial=folder,
        )


def _fingerprint(picture: Tensor) -> int:
    return fingerprint(to_image(picture))


def _answers(items: tuple[Wanted, ...], result: Measurement, fingerprints: list[int]) -> Answers:
    """Of one batch; pictures that came without a role are targets."""
    every = [wanted.item for wanted in items]
    return answers_of(
        result,
        positions=[one.position for one in every],
        sha256=[one.picture_sha256 or "" for one in every],
        sources=[one.source for one in every],
        roles=[one.role or "target" for one in every],
        groups=[one.group or "" for one in every],
        fingerprints=fingerprints,
    )

"""A study's first two stages: measure each picture, and choose the channels to blind.

A measured chunk's statistics and strongest pictures are kept as files; choosing merges them. The
intact verdict comes from the measuring pass, so each picture goes through the network twice, the
second time from the maps that are kept of the first.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from beholder.errors import NotFound
from beholder.evidence.answering import relu_strengths
from beholder.evidence.names import TALLY
from beholder.evidence.tally import Tally
from beholder.jobs.claim import Claim
from beholder.jobs.finish import finish_choose, finish_measure
from beholder.jobs.outcomes import (
    ChannelRow,
    ExemplarRow,
    Finished,
    ItemFailure,
    Judgement,
    VerdictOutcome,
)
from beholder.layers import LAST_LAYER, relu_of
from beholder.science.blind import Verdict, verdicts
from beholder.science.measure import Measurement, measure
from beholder.science.statistics import ChannelStatistics, chosen_channels
from beholder.science.strongest import Strongest
from beholder.specs import StudySpec
from beholder.store import result_folder
from worker.kept_maps import kind_of, pictures_of
from worker.lease import Lease
from worker.pictures import Batch, Wanted
from worker.rooms import Shape
from worker.work import Means, Work

Outcome = VerdictOutcome | ItemFailure
Measured = tuple[tuple[Wanted, ...], Measurement]
STRONGEST = "strongest.npz"
_AT_ONCE = 256  # pictures that are counted in at a time: a batch on a CPU has only a few


def study_shape(spec: StudySpec, height: int, width: int) -> Shape:
    """What pictures of this height and width are to memory, in a study."""
    return Shape(spec.network, "study", LAST_LAYER, height, width)


class StudyWork(Work[StudySpec, VerdictOutcome]):
    """One claim of a study; studies share no batches."""

    @property
    def claim(self) -> Claim:
        """The only one."""
        (claim,) = self.lease.claims
        return claim

    def finish(self) -> dict[str, Finished | None]:
        """Store what the claim has come to."""
        return {self.claim.token: self._end()} if self.standing else {}

    @abstractmethod
    def _end(self) -> Finished | None:
        """The stage's last transaction."""

    def _hand_on(self, files: Mapping[str, bytes]) -> str:
        """Put files for the chunks that follow, by name; the claim's folder."""
        folder = result_folder(self.claim.job_id, self.claim.token)
        for name, data in files.items():
            self.means.place.put(f"{folder}/{name}", data)
        self.means.place.seal(folder)
        return folder

    def _shape(self, height: int, width: int) -> Shape:
        return study_shape(self.spec, height, width)

    @property
    def _ended(self) -> list[Outcome]:
        """The outcomes of the claim's items."""
        return self._outcomes[self.claim.token]

    def _judge(self, items: Sequence[Wanted], logits: Tensor) -> None:
        """Keep what the network says of each picture, from its logits (B, classes)."""
        for wanted, verdict in zip(items, verdicts(self.network, logits), strict=True):
            self._ended.append(VerdictOutcome(wanted.item.position, _judgement(verdict)))

    def _no_statistics(self) -> ChannelStatistics:
        return ChannelStatistics.empty(
            self.network.widths, top=self.spec.top, threshold=self.spec.norm_threshold
        )


class MeasureWork(StudyWork):
    """Intact verdicts, and the statistics of the chunk's targets and controls."""

    def __init__(self, lease: Lease, spec: StudySpec, means: Means) -> None:
        super().__init__(lease, spec, means)
        self._measured: list[Measured] = []
        self._shown: list[Tensor] = []  # maps of the part that was measured last

    def run(self, batch: Batch) -> None:
        """Measure, and keep maps for the second pass; what it means is worked out behind."""
        kind = kind_of(self.network, self.spec)
        for part, result in self._fitting(batch, self._measure):
            self._measured.append((part.items, result))
            if kind is not None:
                self.means.kept_maps.put(kind, pictures_of(part.items), self._shown)
            self._shown = []

    def _measure(self, batch: Batch) -> Measurement:
        kind, self._shown = kind_of(self.network, self.spec), []

        def look(layer: int, maps: Tensor) -> None:
            if kind is not None and layer == kind.layer:
                self._shown.append(maps)

        return measure(
            self.network,
            batch.wait(),
            normalize=self.spec.normalize,
            pre_relu=self.spec.pre_relu,
            on_maps=look if kind is not None else None,
        )

    def _end(self) -> Finished | None:
        if not self._measured:
            return finish_measure(self.means.db, self.claim, self._ended, partial=None)
        groups = {"target": self._no_statistics(), "control": self._no_statistics()}
        parts = list(_joined(self._measured))
        for measured, result in parts:
            items = [wanted.item for wanted in measured]
            for role, statistics in groups.items():
                rows = [row for row, item in enumerate(items) if _counts_as(item.role) == role]
                if rows:
                    statistics.update(
                        tuple(strengths[rows] for strengths in result.strengths),
                        positions=[items[row].position for row in rows],
                    )
            self._judge(measured, result.logits)
        files = {f"{role}.npz": statistics.to_bytes() for role, statistics in groups.items()}
        folder = self._hand_on(files | self._more(parts))
        return finish_measure(self.means.db, self.claim, self._ended, partial=folder)

    def _more(self, parts: Sequence[Measured]) -> dict[str, bytes]:
        """The strongest pictures, and what channel records merge, as files by name."""
        strongest, tally = Strongest(self.network.widths), Tally()
        for measured, result in parts:
            items = [wanted.item for wanted in measured]
            positions = [item.position for item in items]
            strongest.update(result.strengths, positions)
            tally.add(
                [(item.role or "target", item.group or "") for item in items],
                positions,
                [item.picture_sha256 or "" for item in items],
                relu_strengths(result),
            )
        return {STRONGEST: strongest.to_bytes(), TALLY: tally.to_bytes()}


class WholeWork(StudyWork):
    """A chunk without items, for which the chunks before have left something. Without batches."""

    def batches(self) -> Iterator[Batch]:
        """None."""
        return iter(())

    def run(self, batch: Batch) -> None:
        """Nothing, since there are no batches."""

    def _handed_on(self, name: str) -> Iterator[bytes]:
        """The file of this name of every chunk before."""
        for folder in self.claim.partials:
            self.lease.check()
            path = f"{folder}/{name}"
            try:
                yield self.means.loader.reading(path, partial(self.means.store.get, path))
            except NotFound:
                self.means.loader.insist_on_store()
                raise

    def _merged(self, role: str) -> ChannelStatistics:
        """The statistics of all measured pictures of a role."""
        merged = self._no_statistics()
        for data in self._handed_on(f"{role}.npz"):
            merged = merged.merge(ChannelStatistics.from_bytes(data))
        return merged


class ChooseWork(WholeWork):
    """The statistics of all chunks merged, and the channels to blind. Not for the device."""

    def _end(self) -> Finished | None:
        target, control = self._merged("target"), self._merged("control")
        chosen = chosen_channels(
            target,
            min_layer=self.spec.min_layer,
            most_common=self.spec.most_common,
            threshold=self.spec.threshold,
        )
        exemplars, tally = list(self._exemplars()), self._tally()  # files: not in the transaction
        return finish_choose(
            self.means.db,
            self.claim,
            channel_rows(target, control, chosen),
            exemplars=exemplars,
            classes=tally.class_rows(),
            by_class=tally.channel_rows(self.network.widths),
            target_pictures=target.n,
            control_pictures=control.n,
        )

    def _tally(self) -> Tally:
        merged = Tally()
        for data in self._handed_on(TALLY):
            merged.merge(Tally.from_bytes(data))
        return merged

    def _exemplars(self) -> Iterator[ExemplarRow]:
        """The strongest pictures of each channel, over targets and controls."""
        merged = Strongest.of(
            self.network.widths, map(Strongest.from_bytes, self._handed_on(STRONGEST))
        )
        for layer, channel, rank, position, strength in merged.rows():
            yield ExemplarRow(layer, channel, rank, position, strength)


def channel_rows(
    target: ChannelStatistics,
    control: ChannelStatistics,
    chosen: Mapping[int, Sequence[int]],
    correlated: Mapping[tuple[int, int], tuple[tuple[int, float], ...]] | None = None,
) -> Iterator[ChannelRow]:
    """One row a layer and channel, layer by layer; no figures of controls where there are none.

    correlated: by ReLU layer and channel, as `ChannelRow` has it.
    """
    for layer, width in enumerate(target.widths):
        blind = set(chosen.get(layer, ()))
        ours, theirs = _columns(target, layer), _columns(control, layer)
        for channel in range(width):
            count, mean, deviation, maximum = (column[channel] for column in ours)
            controls, *others = (column[channel] for column in theirs)
            yield ChannelRow(
                layer=layer,
                channel=channel,
                count=int(count),
                controls=int(controls),
                mean=mean,
                deviation=deviation,
                maximum=maximum,
                control_mean=others[0] if control.n else None,
                control_deviation=others[1] if control.n else None,
                control_maximum=others[2] if control.n else None,
                chosen=channel in blind,
                correlated=(correlated or {}).get((relu_of(layer), channel)),
            )


def _joined(measured: Sequence[Measured]) -> Iterator[Measured]:
    """Batches without their regions, as few as have at most `_AT_ONCE` pictures or are one."""
    waiting: list[Measured] = []
    for one in measured:
        if waiting and sum(len(items) for items, _ in waiting) + len(one[0]) > _AT_ONCE:
            yield _one_of(waiting)
            waiting = []
        waiting.append(one)
    if waiting:
        yield _one_of(waiting)


def _one_of(measured: Sequence[Measured]) -> Measured:
    layers = zip(*(result.strengths for _, result in measured), strict=True)
    strengths = tuple(torch.cat(rows) for rows in layers)
    logits = torch.cat([result.logits for _, result in measured])
    items = tuple(wanted for some, _ in measured for wanted in some)
    return items, Measurement(strengths, logits)


def _counts_as(role: str | None) -> str:
    """Siblings are controls, as far as statistics of all pictures go."""
    return "target" if role == "target" else "control"


def _columns(statistics: ChannelStatistics, layer: int) -> tuple[list[float], ...]:
    """Counts, means, deviations and maxima of a layer's channels."""
    return (
        statistics.counts[layer].tolist(),
        statistics.mean(layer).tolist(),
        statistics.deviation(layer).tolist(),
        statistics.maximum(layer).tolist(),
    )


def _judgement(verdict: Verdict) -> Judgement:
    return Judgement(verdict.label, verdict.index, verdict.confidence, verdict.top5)

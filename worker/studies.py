"""Running a study's three stages: measure each picture, choose the channels, classify without them.

A measured chunk's statistics and strongest pictures are kept as files; choosing merges them. The
intact verdict comes from the measuring pass, so each picture goes through the network twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from beholder.jobs.claims import Claim, ClaimedItem
from beholder.jobs.outcomes import ChannelRow, ExemplarRow, ItemFailure, Judgement, VerdictOutcome
from beholder.science.blind import Verdict, blinded, classify, verdicts
from beholder.science.measure import measure
from beholder.science.networks import Network
from beholder.science.statistics import ChannelStatistics, chosen_channels
from beholder.science.strongest import Strongest
from beholder.specs import StudySpec
from beholder.store import Store, result_folder
from worker.lease import Lease
from worker.pictures import Batch, Loader

Outcome = VerdictOutcome | ItemFailure
STRONGEST = "strongest.npz"
BATCH = 8  # pictures a pass; bounds the memory of the early layers' maps


@dataclass(frozen=True)
class StudyChunk:
    """One claimed chunk of a study, about to run on `network`."""

    claim: Claim
    spec: StudySpec
    network: Network
    lease: Lease
    store: Store
    loader: Loader

    def measure(self) -> tuple[list[Outcome], str]:
        """Intact verdicts, and the path of the statistics of the chunk's two groups."""
        groups = {"target": self._no_statistics(), "control": self._no_statistics()}
        strongest = Strongest(self.network.widths)
        outcomes: list[Outcome] = []
        for batch in self._batches(outcomes):
            result = measure(
                self.network,
                batch.pictures.to(self.network.device),
                normalize=self.spec.normalize,
                pre_relu=self.spec.pre_relu,
            )
            for role, statistics in groups.items():
                rows = [row for row, item in enumerate(batch.items) if item.role == role]
                if rows:
                    statistics.update(
                        tuple(strengths[rows] for strengths in result.strengths),
                        positions=[batch.items[row].position for row in rows],
                    )
            strongest.update(result.strengths, [item.position for item in batch.items])
            outcomes += _outcomes(batch.items, verdicts(self.network, result.logits))
        return outcomes, self._keep(groups, strongest)

    def merged(self) -> tuple[ChannelStatistics, ChannelStatistics]:
        """The statistics of all targets and of all controls."""
        return self._merged("target"), self._merged("control")

    def choose(self, target: ChannelStatistics, control: ChannelStatistics) -> Iterator[ChannelRow]:
        """Every channel's row: statistics of both groups, and whether it is to be blinded."""
        chosen = chosen_channels(
            target,
            min_layer=self.spec.min_layer,
            most_common=self.spec.most_common,
            threshold=self.spec.threshold,
        )
        return channel_rows(target, control, chosen)

    def exemplars(self) -> Iterator[ExemplarRow]:
        """The strongest pictures of each channel, over targets and controls."""
        merged = Strongest(self.network.widths)
        for folder in self.claim.partials:
            self.lease.check()
            data = self.store.get(f"{folder}/{STRONGEST}")
            merged = merged.merge(Strongest.from_bytes(data))
        for layer, channel, rank, position, strength in merged.rows():
            yield ExemplarRow(layer, channel, rank, position, strength)

    def classify(self) -> list[Outcome]:
        """Blinded verdicts."""
        outcomes: list[Outcome] = []
        with blinded(self.network, self.claim.chosen or {}):
            for batch in self._batches(outcomes):
                logits = classify(
                    self.network,
                    batch.pictures.to(self.network.device),
                    normalize=self.spec.normalize,
                )
                outcomes += _outcomes(batch.items, verdicts(self.network, logits))
        return outcomes

    def _batches(self, outcomes: list[Outcome]) -> Iterator[Batch]:
        """The chunk in small batches; failures to decode go straight to `outcomes`."""
        items = self.claim.items
        for start in range(0, len(items), BATCH):
            self.lease.check(start / len(items))
            batches, failures = self.loader.batches(items[start : start + BATCH], self.spec)
            outcomes += failures
            yield from batches

    def _no_statistics(self) -> ChannelStatistics:
        return ChannelStatistics.empty(
            self.network.widths, top=self.spec.top, threshold=self.spec.norm_threshold
        )

    def _keep(self, groups: dict[str, ChannelStatistics], strongest: Strongest) -> str:
        folder = result_folder(self.claim.job_id, self.claim.token)
        for role, statistics in groups.items():
            self.store.put(f"{folder}/{role}.npz", statistics.to_bytes())
        self.store.put(f"{folder}/{STRONGEST}", strongest.to_bytes())
        return folder

    def _merged(self, role: str) -> ChannelStatistics:
        merged = self._no_statistics()
        for folder in self.claim.partials:
            self.lease.check()
            data = self.store.get(f"{folder}/{role}.npz")
            merged = merged.merge(ChannelStatistics.from_bytes(data))
        return merged


def channel_rows(
    target: ChannelStatistics, control: ChannelStatistics, chosen: dict[int, tuple[int, ...]]
) -> Iterator[ChannelRow]:
    """One row a layer and channel, layer by layer; no figures of controls where there are none."""
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
            )


def _columns(statistics: ChannelStatistics, layer: int) -> tuple[list[float], ...]:
    """Counts, means, deviations and maxima of a layer's channels."""
    return (
        statistics.counts[layer].tolist(),
        statistics.mean(layer).tolist(),
        statistics.deviation(layer).tolist(),
        statistics.maximum(layer).tolist(),
    )


def _outcomes(items: tuple[ClaimedItem, ...], found: list[Verdict]) -> list[Outcome]:
    return [
        VerdictOutcome(
            item.position,
            Judgement(verdict.label, verdict.index, verdict.confidence, verdict.top5),
        )
        for item, verdict in zip(items, found, strict=True)
    ]

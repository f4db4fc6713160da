"""From what was measured to what is tried: a `Planner` makes a sound study's `Plan`.

In this order: the target, the splits, a ranking by each method, the dose, and the conditions with
their random sets. Choosing and tuning see the pictures that were split off for them alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from beholder.errors import InvalidInput
from beholder.evidence.answers import Answers
from beholder.evidence.conditions import (
    Channels,
    alone,
    condition,
    doses_of,
    first,
    of_rankings,
    random_sets,
)
from beholder.evidence.duplicates import NEAR
from beholder.evidence.names import Method
from beholder.evidence.plan import Condition, Plan, Profile, Ranked, Subject
from beholder.evidence.rankings import Contest, Ranker
from beholder.evidence.record import record_of
from beholder.evidence.splits import divide
from beholder.evidence.tally import relu_spans
from beholder.evidence.target import find_target, labels_of
from beholder.evidence.tuning import UNTUNED_DOSE, picked_by, tuned_dose
from beholder.science.draws import layer_matched, norm_matched
from beholder.science.fills import Fills, find_fills
from beholder.science.greedy import AT_ONCE, WEIGHT
from beholder.science.networks import Network
from beholder.specs import StudySpec

# Pictures that the network is run on again to choose by, and to tune by: gradients of more take
# minutes on a CPU and change little. Strengths are compared over all that were split off.
MOST_TARGETS, MOST_OTHERS = 64, 256
MEMORY = 2**30  # bytes of those pictures
FEW_DRAWS = 19  # random sets of what is not the headline: the fewest that can show p = 0.05
REDRAWN = 3  # times that a part of the pictures chooses anew, to see how stable the set is
REDRAWN_SHARE = 0.8
FEWEST_REDRAWN = 3  # targets
DONORS = 16

Rankings = Mapping[Method, tuple[Ranked, ...]]


@dataclass
class Planner:
    """Plans one study. tell: called as work goes on; what it raises ends it.

    Raises InvalidInput where the pictures don't allow what the spec asks for.
    """

    network: Network
    spec: StudySpec
    answers: Answers
    tell: Callable[[], object]
    _ranker: Ranker = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.target = find_target(self.spec.target, self.network.labels, self.answers)
        labels = labels_of(self.target, self.network.labels, self.answers)
        self.division = divide(self.answers, labels, seed=self.spec.seed)
        self._check()

    def wanted(self) -> list[Subject]:
        """The pictures on which choosing and tuning run the network."""
        rows: list[int] = []
        for split in ("choose", "tune"):
            rows += self.division.rows(split, others=False)[: self._most(MOST_TARGETS)]
            rows += self._spread(self.division.rows(split, others=True))[: self._most(MOST_OTHERS)]
        return [self.division.subjects[row] for row in sorted(rows)]

    def _most(self, count: int) -> int:
        """At most so many pictures of a kind, fewer of large ones: they are in memory together."""
        assert self.spec.size != "keep"  # StudySpec sees to it
        bytes_of_all = 2 * (MOST_TARGETS + MOST_OTHERS) * 3 * self.spec.size**2 * 4
        return max(2, count * min(bytes_of_all, MEMORY) // bytes_of_all)

    def plan(self, positions: Sequence[int], pictures: Tensor) -> Plan:
        """The plan, by way of pictures (N, 3, H, W) of the wanted that could be read."""
        rows = self.answers.rows(positions).tolist()
        self._ranker = Ranker(self.network, self.spec, self.answers, rows, pictures, self.tell)
        contest = self._contest()
        methods = self.spec.methods or (self.spec.method,)
        rankings = {one: self._ranking(one, contest) for one in methods}
        fills, donors = self._fills()
        dose, tuned_on = self._dose(rankings[self.spec.method], fills)
        conditions = tuple(self._conditions(rankings, dose, contest))
        channels = conditions[0].channels
        return Plan(
            target=self.target.index,
            target_label=self.target.label,
            target_by=self.target.by,
            exploratory=self.division.exploratory,
            seed=self.spec.seed,
            subjects=self.division.subjects,
            conditions=conditions,
            headline=conditions[0].name,
            rankings=rankings,
            profiles=tuple(self._profiles(channels, contest)),
            means={layer: dict(enumerate(row.tolist())) for layer, row in fills.means.items()},
            donors=donors,
            tuned_on=tuned_on,
            stability=self._stability(channels, dose, contest),
            record=record_of(
                self.network, self.spec, self._choosing(), picked_by(self.spec, tuned_on), channels
            ),
        )

    def _check(self) -> None:
        if not self.division.rows("test", others=True):
            raise InvalidInput(
                "a sound study holds what targets lose against what other pictures lose, and has "
                "none to test on: add --control or --sibling pictures."
            )
        if len(self.division.rows("choose", others=False)) < 2:
            raise InvalidInput(
                "a sound study chooses channels by some targets and tests them on others: two are "
                "needed at least, and 20 (with as many others) for more than an exploratory one."
            )

    def _contest(self) -> Contest:
        """For the target, by all that choose."""
        targets = self.division.rows("choose", others=False)
        others = self.division.rows("choose", others=True)
        return Contest(self.target.index, tuple(targets), tuple(others))

    def _ranking(
        self, method: Method, contest: Contest, most: int | None = None
    ) -> tuple[Ranked, ...]:
        """most: the largest set that is wanted of it; None: of all doses.

        With a dose of each layer it is of all doses, by which every set is then chosen alike: what
        is picked beyond the dose in one layer has its part in what is picked in the next.
        """
        largest = max(filter(None, (*self.spec.doses, self.spec.dose)))
        wanted = largest if most is None or self.spec.per_layer else most
        return self._ranker.ranking(method, contest, wanted)

    def _dose(self, ranking: Sequence[Ranked], fills: Fills) -> tuple[int, tuple[int, int] | None]:
        """The one that was asked for, or that tuning picks among those that were: `tuned_on`."""
        doses = doses_of(self.spec, ranking)
        if self.spec.dose is not None:
            return max(dose for dose in doses if dose <= self.spec.dose), None
        targets = self.division.rows("tune", others=False)
        others = self.division.rows("tune", others=True)
        if not targets or not others or len(doses) == 1:
            return max([dose for dose in doses if dose <= UNTUNED_DOSE] or doses[:1]), None
        contest = Contest(self.target.index, tuple(targets), tuple(others))
        sets = {dose: self._set(ranking, dose) for dose in doses}
        return tuned_dose(self._ranker, contest, sets, fills)

    def _conditions(self, rankings: Rankings, dose: int, contest: Contest) -> Iterator[Condition]:
        """The headline first."""
        ranking = rankings[self.spec.method]
        channels = self._set(ranking, dose)
        yield from of_rankings(self.spec, rankings, dose)
        yield from alone(self.spec, channels)
        yield from self._folds(dose, contest)
        if self.spec.matrix:
            yield from self._matrix(dose)
        for other in doses_of(self.spec, ranking):
            draws = self.spec.draws if other == dose else FEW_DRAWS
            sets = self._drawn(self._set(ranking, other), draws)
            yield from random_sets(self.spec, "random", other, sets)
        for mode in self.spec.modes[1:]:
            sets = self._drawn(channels, FEW_DRAWS)
            yield from random_sets(self.spec, "random", dose, sets, mode=mode)
        for method in self.spec.methods[1:]:
            sets = self._drawn(self._set(rankings[method], dose), FEW_DRAWS)
            yield from random_sets(self.spec, "random", dose, sets, of=method)
        matched = norm_matched(
            channels, self._strengths(contest), count=FEW_DRAWS, seed=self.spec.seed
        )
        yield from random_sets(self.spec, "matched", dose, matched)

    def _drawn(self, channels: Channels, count: int) -> tuple[Channels, ...]:
        return layer_matched(channels, self.network.widths, count=count, seed=self.spec.seed)

    def _set(self, ranking: Sequence[Ranked], dose: int) -> Channels:
        return first(ranking, dose, per_layer=self.spec.per_layer)

    def _folds(self, dose: int, contest: Contest) -> Iterator[Condition]:
        """In leave-one-out, for each target the set that was chosen without it."""
        for row in contest.targets:
            fold = self.division.subjects[row].fold
            if fold is not None:
                left = tuple(other for other in contest.targets if other != row)
                without = Contest(contest.goal, left, contest.others)
                ranking = self._ranking(self.spec.method, without, dose)
                yield condition(self.spec, self._set(ranking, dose), dose, fold=fold)

    def _matrix(self, dose: int) -> Iterator[Condition]:
        """The sets that other folders' pictures choose for the class seen in most of them."""
        rows = self.division.rows("choose", others=True)
        every = [*self.division.rows("choose", others=False), *rows]
        for group in dict.fromkeys(self.division.subjects[row].group for row in sorted(rows)):
            own = tuple(row for row in rows if self.division.subjects[row].group == group)
            seen = np.bincount(self.answers.logits[list(own)].argmax(axis=1))
            rest = tuple(row for row in every if row not in own)
            ranking = self._ranking(self.spec.method, Contest(int(seen.argmax()), own, rest), dose)
            yield condition(self.spec, self._set(ranking, dose), dose, kind="matrix", of=group)

    def _stability(self, channels: Channels, dose: int, contest: Contest) -> float | None:
        """Mean Jaccard index of the set and those that parts of the pictures choose.

        None of a set by lot, which no picture chose, and of fewer than three targets, of which no
        part can choose.
        """
        if self.spec.method == "random" or len(contest.targets) < FEWEST_REDRAWN:
            return None
        whole = _flat(channels)
        shared = []
        for number in range(REDRAWN):
            chance = np.random.default_rng((self.spec.seed, number))
            targets, others = (_some(rows, chance) for rows in (contest.targets, contest.others))
            part = Contest(contest.goal, targets, others)
            other = _flat(self._set(self._ranking(self.spec.method, part, dose), dose))
            shared.append(len(whole & other) / len(whole | other))
        return float(np.mean(shared))

    def _profiles(self, channels: Channels, contest: Contest) -> Iterator[Profile]:
        """How strong the set's channels are in the pictures that chose them."""
        spans = relu_spans(self.network.widths)
        targets, others = list(contest.targets), list(contest.others)
        for layer, picked in channels.items():
            strengths = self.answers.strengths[:, spans[layer]][:, list(picked)].astype(np.float64)
            active = (strengths[targets + others] > 0).mean(axis=0)
            for place, channel in enumerate(picked):
                yield Profile(
                    layer=layer,
                    channel=channel,
                    target_mean=float(strengths[targets, place].mean()),
                    control_mean=float(strengths[others, place].mean()) if others else None,
                    fraction_active=float(active[place]),
                )

    def _choosing(self) -> dict[str, object]:
        """What choosing was run with, for the record."""
        rows = self._ranker.rows
        return {
            "pictures_run_again": len(rows),
            "at_most": {"targets": MOST_TARGETS, "others": MOST_OTHERS},
            "contrast_weight": WEIGHT,
            "channels_at_once": AT_ONCE,
            "near_duplicate_bits": NEAR,
            "redrawn": {"times": REDRAWN, "share": REDRAWN_SHARE},
        }

    def _strengths(self, contest: Contest) -> dict[int, NDArray[np.float64]]:
        """(C,) mean strengths on the choosing targets, by ReLU layer."""
        means = self.answers.strengths[list(contest.targets)].mean(axis=0, dtype=np.float64)
        return {layer: means[span] for layer, span in relu_spans(self.network.widths).items()}

    def _fills(self) -> tuple[Fills, tuple[int, ...]]:
        """What the spec's modes put in at any candidate layer; the pictures that "resample" takes.

        They come from pictures that choose, so that no test picture's map is put into another's.
        """
        modes, layers = {self.spec.mode, *self.spec.modes}, self._ranker.layers
        if not modes & {"mean", "resample"}:
            return Fills(), ()
        controls = self._ranker.at_hand(self.division.rows("choose", others=True))
        if not controls.rows:
            raise InvalidInput(
                "modes mean and resample put in what other pictures have, and none are left to "
                "choose by: add --control pictures."
            )
        network, normalize = self.network, self.spec.normalize
        means: Mapping[int, Tensor] = {}
        if "mean" in modes:
            means = find_fills(network, controls.pictures, means=layers, normalize=normalize).means
        if "resample" not in modes:
            return Fills(means), ()
        lent = find_fills(
            network,
            controls.pictures[:DONORS],
            donors=layers,
            most_donors=DONORS,
            normalize=normalize,
        )
        positions = self.answers.positions[controls.rows[:DONORS]].tolist()
        return Fills(means, lent.donors, self.spec.seed), tuple(positions)

    def _spread(self, rows: Sequence[int]) -> list[int]:
        """The rows, one of each folder in turn."""
        folders: dict[str, list[int]] = {}
        for row in rows:
            folders.setdefault(self.division.subjects[row].group, []).append(row)
        turns = sorted((place, row) for own in folders.values() for place, row in enumerate(own))
        return [row for _, row in turns]


def _some(rows: Sequence[int], chance: np.random.Generator) -> tuple[int, ...]:
    """A part of the rows, without one at least where there are two or more."""
    size = min(round(REDRAWN_SHARE * len(rows)), len(rows) - 1) if len(rows) > 1 else len(rows)
    return tuple(chance.choice(np.array(rows, np.int64), size, replace=False).tolist())


def _flat(channels: Channels) -> set[tuple[int, int]]:
    return {(layer, channel) for layer, picked in channels.items() for channel in picked}

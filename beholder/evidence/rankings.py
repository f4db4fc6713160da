"""A study's candidate channels, best first, by any method: `Ranker`.

Methods that read strengths take all pictures that they are given; those that run the network again
take what of them is at hand.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from torch import Tensor

from beholder.errors import InvalidInput
from beholder.evidence.answers import Answers
from beholder.evidence.names import Method
from beholder.evidence.plan import Ranked
from beholder.evidence.tally import relu_spans
from beholder.science.attribution import Attribution, Attributor
from beholder.science.greedy import contrastive, gradient, iterative, needed_by
from beholder.science.networks import Network
from beholder.science.scores import Picked, Scores, auroc, best, candidates, counts, effect_size
from beholder.science.single import single
from beholder.specs import StudySpec


@dataclass(frozen=True)
class Contest:
    """What to rank channels for. goal: a class index. targets, others: rows of the answers."""

    goal: int
    targets: tuple[int, ...]
    others: tuple[int, ...]


@dataclass(frozen=True)
class AtHand:
    """Pictures (n, 3, H, W) of some rows of the answers."""

    rows: list[int]
    pictures: Tensor


@dataclass
class Ranker:
    """Ranks the channels of ReLU layers from the spec's `min_layer` on.

    pictures: (N, 3, H, W), of the answers' rows `rows`. tell: called as work goes on; what it
    raises ends it.
    """

    network: Network
    spec: StudySpec
    answers: Answers
    rows: Sequence[int]
    pictures: Tensor
    tell: Callable[[], object]
    _places: dict[int, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._places = {row: place for place, row in enumerate(self.rows)}

    @property
    def layers(self) -> tuple[int, ...]:
        """The candidates' ReLU layers."""
        return candidates(self.spec.min_layer)

    def at_hand(self, rows: Sequence[int]) -> AtHand:
        """Those of the rows whose pictures are here, in their order."""
        found = [row for row in rows if row in self._places]
        return AtHand(found, self.pictures[[self._places[row] for row in found]])

    def ranking(self, method: Method, contest: Contest, most: int) -> tuple[Ranked, ...]:
        """All candidates, best first; "iterative" has no more than `most`, or of each layer.

        Raises InvalidInput where the method has nothing to compare the targets with.
        """
        _check(method, contest)
        greedy = method == "iterative"
        picked = self._greedy(contest, most) if greedy else self._once(method, contest)
        return tuple(
            Ranked(layer=layer, channel=channel, score=score) for layer, channel, score in picked
        )

    def _once(self, method: Method, contest: Contest) -> list[Picked]:
        scores = self._scores(method, contest)
        if method == "count":
            return _in_layers_order(scores, self._means(contest))
        alive = {layer: row > 0 for layer, row in self._means(contest).items()}
        return best(scores, sum(map(len, scores.values())), alive=alive)

    def _scores(self, method: Method, contest: Contest) -> Scores:
        if method in ("count", "effect", "auroc"):
            return self._by_strength(method, contest)
        if method == "random":
            chance = np.random.default_rng((self.spec.seed, contest.goal))
            return {layer: chance.random(self.network.widths[layer]) for layer in self.layers}
        if method == "single":
            return single(
                self.network,
                self.at_hand(contest.targets).pictures,
                contest.goal,
                layers=self.layers,
                normalize=self.spec.normalize,
                on_part=lambda done: self.told(),
            )
        ours = gradient(self._attributor(contest).attribution())
        return ours if method == "gradient" else contrastive(ours, self._needed(contest))

    def _by_strength(self, method: Method, contest: Contest) -> Scores:
        """Scores that strengths alone give, each layer by itself."""
        spans = relu_spans(self.network.widths)
        found: Scores = {}
        for layer in self.layers:
            ours, theirs = (
                self.answers.strengths[list(rows), spans[layer]]
                for rows in (contest.targets, contest.others)
            )
            if method == "count":
                top, threshold = self.spec.top, self.spec.norm_threshold
                found[layer] = counts(ours, top=top, threshold=threshold)
            else:
                found[layer] = (effect_size if method == "effect" else auroc)(ours, theirs)
        return found

    def _greedy(self, contest: Contest, most: int) -> list[Picked]:
        return iterative(
            self._attributor(contest),
            self._needed(contest),
            most=most * len(self.layers) if self.spec.per_layer else most,
            of_each=most,
            on_part=lambda done: self.told(),
        )

    def _attributor(self, contest: Contest) -> Attributor:
        """Of the targets at hand, for the contest's class."""
        targets = self.at_hand(contest.targets)
        return Attributor(
            self.network,
            targets.pictures,
            [contest.goal] * len(targets.rows),
            layers=self.layers,
            normalize=self.spec.normalize,
            on_part=self.told,
        )

    def _needed(self, contest: Contest) -> Scores:
        """What the others at hand need of each channel, each for the class that is seen in it."""
        others = self.at_hand(contest.others).rows
        if not others:
            return {layer: np.zeros(self.network.widths[layer]) for layer in self.layers}
        places = [self._places[row] for row in others]
        parts = {layer: rows[places] for layer, rows in self._own.parts.items()}
        controls = Attribution(parts, self._own.margin[places])
        return needed_by(controls, self.seen(others), target=contest.goal)

    @cached_property
    def _own(self) -> Attribution:
        """Of all pictures at hand for the classes that are seen in them: made once for all."""
        every = Attributor(
            self.network,
            self.pictures,
            self.seen(self.rows),
            layers=self.layers,
            normalize=self.spec.normalize,
            memory=0,
            on_part=self.told,
        )
        return every.attribution()

    def told(self) -> None:
        """Work goes on."""
        self.tell()

    def seen(self, rows: Sequence[int]) -> list[int]:
        """The classes that the intact network sees in these rows' pictures."""
        found: list[int] = self.answers.logits[list(rows)].argmax(axis=1).tolist()
        return found

    def _means(self, contest: Contest) -> Scores:
        """Mean strengths (C,) on the targets, by candidate layer."""
        means = self.answers.strengths[list(contest.targets)].mean(axis=0, dtype=np.float64)
        spans = relu_spans(self.network.widths)
        return {layer: means[spans[layer]] for layer in self.layers}


def _check(method: Method, contest: Contest) -> None:
    """Whether there is enough to compare. Raises InvalidInput."""
    if method in ("effect", "auroc") and not contest.others:
        raise InvalidInput(
            f"method {method} compares targets with others, and none are left to choose by: "
            "add --control pictures, or take another --method."
        )
    if method == "effect" and len(contest.targets) + len(contest.others) < 3:
        raise InvalidInput(
            "method effect measures by how much strengths vary, and one target and one other left "
            "to choose by vary by nothing: add pictures, or take another --method."
        )


def _in_layers_order(scores: Scores, means: Scores) -> list[Picked]:
    """By count; among equals each layer's first before any layer's second, the stronger first.

    Without that, the lowest layer's channels would fill the whole set: most counts are equal.
    """
    ordered = []
    for layer, row in scores.items():
        best_first = np.lexsort((np.arange(len(row)), -means[layer], -row)).tolist()
        ordered += [(-row[one], place, layer, one) for place, one in enumerate(best_first)]
    return [(layer, channel, float(-count)) for count, _, layer, channel in sorted(ordered)]

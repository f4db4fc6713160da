"""Running pictures through a plan's conditions: a `Trial` gives their `Readings`.

A picture that serves as a test goes through all conditions; the others through the headline's
alone, for their verdict and for the probe.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import NamedTuple

import numpy as np
from torch import Tensor

from beholder.evidence.plan import Condition, Plan, Subject
from beholder.evidence.readings import Readings
from beholder.science.ablation import Ablation
from beholder.science.fills import Fills, find_fills
from beholder.science.networks import Network
from beholder.science.readings import Reading
from beholder.science.scores import candidates
from beholder.science.sweep import sweep


class Course(NamedTuple):
    """What a picture goes through: numbers of the plan's conditions, and which is its headline."""

    conditions: tuple[int, ...]
    headline: int


@dataclass
class Trial:
    """A plan on its network. donors: (D, 3, H, W), the pictures of `plan.donors`, if needed.

    min_layer: of the candidates, which "keep" ablates all of but its own.
    """

    network: Network
    plan: Plan
    min_layer: int
    normalize: bool = False
    donors: Tensor | None = None
    subjects: dict[int, Subject] = field(init=False)
    _known: dict[tuple[bool, int | None], Course] = field(default_factory=dict)
    _filled: Fills | None = None

    def __post_init__(self) -> None:
        self.subjects = {one.position: one for one in self.plan.subjects}

    @property
    def wants_donors(self) -> bool:
        """Whether any condition takes maps from other pictures."""
        return bool(self.plan.donors) and bool(self._layers("resample"))

    def course(self, position: int) -> Course:
        """That of the picture at this position."""
        subject = self.subjects[position]
        key = subject.split == "test", subject.fold
        if key not in self._known:
            self._known[key] = self._course(*key)
        return self._known[key]

    def run(
        self,
        course: Course,
        positions: Sequence[int],
        pictures: Tensor,
        *,
        on_part: Callable[[float], None] | None = None,
    ) -> Readings:
        """What pictures (B, 3, H, W) at these positions, all of the same course, come to.

        on_part: as for `sweep`.
        """
        conditions = [self.plan.conditions[number] for number in course.conditions]
        found = sweep(
            self.network,
            pictures,
            [self._ablation(condition) for condition in conditions],
            target=self.plan.target,
            own=[self.subjects[position].label for position in positions],
            kept=(0, 1 + course.conditions.index(course.headline)),
            fills=self._fills(),
            positions=positions,
            normalize=self.normalize,
            on_part=on_part,
        )
        places = [0, *(1 + number for number in course.conditions)]
        spread = found.among(1 + len(self.plan.conditions), places)
        return Readings(
            np.asarray(positions, np.int64),
            **{each.name: getattr(spread, each.name) for each in fields(Reading)},
            logits=found.logits,
            features=found.features,
        )

    def _course(self, tested: bool, fold: int | None) -> Course:
        conditions = self.plan.conditions
        (headline,) = (n for n, one in enumerate(conditions) if self._is_headline(one, fold))
        if not tested:
            return Course((headline,), headline)
        own = (n for n, one in enumerate(conditions) if one.fold is None or one.fold == fold)
        return Course(tuple(own), headline)

    def _is_headline(self, condition: Condition, fold: int | None) -> bool:
        """In leave-one-out, a target's headline is that of the set chosen without it."""
        if fold is None:
            return condition.name == self.plan.headline
        return condition.fold == fold and condition.kind == "chosen"

    def _ablation(self, condition: Condition) -> Ablation:
        return Ablation(
            condition.channels,
            mode=condition.mode,
            alpha=condition.alpha,
            keep=condition.kind == "keep",
            candidates=candidates(self.min_layer),
        )

    def _layers(self, mode: str) -> set[int]:
        """The layers at which any condition of a mode ablates."""
        found: set[int] = set()
        for one in self.plan.conditions:
            if one.mode == mode:
                found |= {*(candidates(self.min_layer) if one.kind == "keep" else one.channels)}
        return found

    def _fills(self) -> Fills:
        if self._filled is None:
            lent: dict[int, Tensor] = {}
            if self.donors is not None:
                lent = dict(
                    find_fills(
                        self.network,
                        self.donors,
                        donors=self._layers("resample"),
                        most_donors=len(self.donors),
                        normalize=self.normalize,
                    ).donors
                )
            self._filled = Fills.known(self.network, self.plan.means, lent, seed=self.plan.seed)
        return self._filled

"""A study's pictures with what the network said of them: `Sample`, of each condition a `Run`."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from beholder.evidence.names import Role, Split
from beholder.evidence.plan import Condition, Plan, Subject
from beholder.evidence.readings import Readings
from beholder.evidence.statistics import log_odds

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ROLES: tuple[Role, ...] = ("target", "sibling", "control")
OTHERS: tuple[Role, ...] = ("sibling", "control")
_MISSING = -1


@dataclass(frozen=True)
class Run:
    """What N pictures came to under one condition; arrays (N,).

    ran: whether a picture was run under it; where not, the rest means nothing. before, after:
    whether its label is seen by the intact network, and by this one. change: of the target's
    log-odds; own_change: of its own label's. The others are as in `Readings`.
    """

    ran: Bools
    label: Ints
    before: Bools
    after: Bools
    p_target: Floats
    p_own: Floats
    margin: Floats
    change: Floats
    own_change: Floats
    rank: Ints
    top5: Ints
    kl: Floats

    @property
    def lost(self) -> Ints:
        """(N,) 1 where the label is no longer seen, -1 where it is seen now alone, else 0."""
        found: Ints = self.before.astype(np.int64) - self.after
        return found


@dataclass(frozen=True)
class Sample:
    """A plan's pictures that have readings, N of them by position.

    rows: (N,) where each is in the readings. own: (N,) the label that each is to keep.
    """

    plan: Plan
    readings: Readings
    subjects: tuple[Subject, ...]
    rows: Ints
    own: Ints = field(init=False)

    def __post_init__(self) -> None:
        own = [self._own(one) for one in self.subjects]
        object.__setattr__(self, "own", np.array(own, np.int64))

    @classmethod
    def of(cls, plan: Plan, readings: Readings) -> "Sample":
        """Without pictures that failed, and those for which the intact network has no numbers."""
        rows = {position: row for row, position in enumerate(readings.positions.tolist())}
        sound = np.isfinite(readings.logits[0]).all(axis=1)
        subjects = tuple(
            one
            for one in sorted(plan.subjects, key=lambda one: one.position)
            if one.position in rows and sound[rows[one.position]]
        )
        places = [rows[one.position] for one in subjects]
        return cls(plan, readings, subjects, np.array(places, np.int64))

    def where(self, split: Split, roles: Iterable[Role] = ROLES) -> Bools:
        """(N,) the pictures of a split that have one of the roles."""
        wanted = set(roles)
        found = [one.split == split and one.role in wanted for one in self.subjects]
        return np.array(found, np.bool_)

    @cached_property
    def roles(self) -> dict[Role, Bools]:
        """(N,) the test pictures of each role that has any."""
        found = {role: self.where("test", [role]) for role in ROLES}
        return {role: mask for role, mask in found.items() if mask.any()}

    @cached_property
    def targets(self) -> Bools:
        """(N,) the targets among the test pictures."""
        return self.where("test", ["target"])

    @cached_property
    def others(self) -> Bools:
        """(N,) the siblings and controls among the test pictures."""
        return self.where("test", OTHERS)

    @cached_property
    def folders(self) -> dict[tuple[Role, str], Bools]:
        """(N,) the test pictures of each role and folder, in the order met."""
        found: dict[tuple[Role, str], Bools] = {}
        for place, one in enumerate(self.subjects):
            if one.split == "test":
                key = one.role, folder(one)
                found.setdefault(key, np.zeros(len(self.subjects), np.bool_))[place] = True
        return dict(sorted(found.items(), key=lambda item: ROLES.index(item[0][0])))

    @cached_property
    def headline(self) -> Run:
        """The headline, of each leave-one-out target that of the set chosen without it."""
        return self.run(self.plan.condition(self.plan.headline))

    @cached_property
    def numbers(self) -> dict[str, int]:
        """By name, where each condition is in the readings."""
        return {one.name: number for number, one in enumerate(self.plan.conditions, start=1)}

    def run(self, condition: Condition) -> Run:
        """Under this condition; of the headline, see `headline`."""
        numbers = self._numbers(condition)
        held = numbers != _MISSING
        places = np.where(held, numbers, 0), self.rows
        read = self.readings
        label = read.label[places]
        margin, p_own, kl = (part[places] for part in (read.margin, read.p_own, read.kl))
        with np.errstate(invalid="ignore"):
            return Run(
                ran=held & (label >= 0) & np.isfinite(margin) & np.isfinite(kl),
                label=label,
                before=read.label[0, self.rows] == self.own,
                after=label == self.own,
                p_target=read.p_target[places],
                p_own=p_own,
                margin=margin,
                change=margin - read.margin[0, self.rows],
                own_change=log_odds(p_own) - log_odds(read.p_own[0, self.rows]),
                rank=read.rank[places],
                top5=read.top5[places],
                kl=kl,
            )

    def _numbers(self, condition: Condition) -> Ints:
        """(N,) the readings' condition that each picture is to be looked up under."""
        own = self.numbers[condition.name]
        if condition.name != self.plan.headline:
            return np.full(len(self.subjects), own)
        of_fold: dict[int | None, int] = {
            one.fold: self.numbers[one.name]
            for one in self.plan.conditions
            if one.fold is not None and one.kind == "chosen"
        }
        of_fold[None] = own
        found = [of_fold.get(one.fold, _MISSING) for one in self.subjects]
        return np.array(found, np.int64)

    def _own(self, subject: Subject) -> int:
        return self.plan.target if subject.role == "target" else subject.label


def folder(subject: Subject) -> str:
    """What its folder is called; its role where it came without one."""
    return subject.group or subject.role

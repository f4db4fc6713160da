"""What the report compares: a method's sweep over doses, rivals at one dose, the best of both."""

from collections.abc import Iterable
from typing import TypeVar

from beholder.evidence.document import Dose, Evidence, Outcome
from beholder.evidence.names import Kind, Method, Mode, Role

T = TypeVar("T")
OTHERS: tuple[Role, ...] = ("sibling", "control")
# Sets drawn by lot, and what they are called.
BANDS: tuple[tuple[Kind, str], ...] = (("random", "random sets"), ("matched", "random, as strong"))
Way = tuple[Mode, float]  # how channels are ablated: the mode, and alpha of "scale"


def others_drop(outcome: Outcome) -> float | None:
    """What share siblings and controls together lost; None where there are none."""
    groups = [group for role in OTHERS if (group := outcome.role(role))]
    total = sum(group.n for group in groups)
    return sum(group.drop * group.n for group in groups) / total if total else None


def target_drop(outcome: Outcome) -> float | None:
    """What share the targets lost; None where the condition was not run on them."""
    group = outcome.role("target")
    return None if group is None else group.drop


def way(outcome: Outcome) -> Way:
    """How its channels were ablated."""
    return outcome.mode, outcome.alpha


def chosen(evidence: Evidence) -> list[Outcome]:
    """What methods chose, for this target; neither by lot, nor kept, nor another group's."""
    return [one for one in evidence.outcomes if one.kind == "chosen" and one.of is None]


def sweep(evidence: Evidence, method: Method, ablated: Way) -> list[Outcome]:
    """A method's outcomes by dose, pooled over layers or not as the headline's are."""
    found = [
        one
        for one in chosen(evidence)
        if (one.method, way(one), one.pooled) == (method, ablated, evidence.main.pooled)
    ]
    return sorted(found, key=lambda one: one.dose)


def methods(evidence: Evidence) -> list[Method]:
    """Those tried in the headline's way, the headline's first."""
    main = evidence.main
    found = [one.method for one in chosen(evidence) if way(one) == way(main)]
    return _first(main.method, found)


def rivals(evidence: Evidence) -> list[Outcome]:
    """What methods chose at the headline's dose, in any way, the headline first."""
    main = evidence.main
    found = [one for one in chosen(evidence) if (one.dose, one.pooled) == (main.dose, main.pooled)]
    return sorted(found, key=lambda one: (one is not main, one.method != main.method))


def bands(evidence: Evidence, kind: Kind, mode: Mode) -> list[Dose]:
    """The random bands of a kind, by dose."""
    found = [one for one in evidence.bands if (one.kind, one.mode) == (kind, mode)]
    return sorted(found, key=lambda one: one.dose)


def band_at(evidence: Evidence, kind: Kind) -> Dose | None:
    """The band that the headline is to be compared with."""
    main = evidence.main
    found = bands(evidence, kind, main.mode)
    return next((one for one in found if one.dose == main.dose), None)


def intact_kept(evidence: Evidence, role: Role) -> float | None:
    """The share of a role's pictures that keep their label with nothing ablated."""
    group = evidence.main.role(role)
    return None if group is None else min(1.0, group.kept.value + group.drop)


def best_trade(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Those that no other beats in both: others lose no more, targets no less. By others' loss."""
    measured = [one for one in outcomes if None not in (others_drop(one), target_drop(one))]
    ordered = sorted(measured, key=lambda one: (others_drop(one) or 0, -(target_drop(one) or 0)))
    best: list[Outcome] = []
    for one in ordered:
        if not best or (target_drop(one) or 0) > (target_drop(best[-1]) or 0):
            best.append(one)
    return best


def _first(head: T, found: Iterable[T]) -> list[T]:
    """Each once, in the order met, `head` before all."""
    return list(dict.fromkeys([head, *found]))

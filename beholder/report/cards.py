"""The figures that a report opens with: `cards`."""

from collections.abc import Iterator
from dataclasses import dataclass

from beholder.evidence.document import Evidence, Group
from beholder.evidence.names import Role
from beholder.report.selection import band_at, intact_kept
from beholder.report.words import MINUS, ROLES, p_sentence, percent, plural, points

_TONES: dict[Role, str] = {"target": "alarm", "sibling": "amber", "control": "leaf"}


@dataclass(frozen=True)
class Card:
    """A name, a number, and what it is of. tone: of the number, a colour's name."""

    name: str
    value: str
    note: str
    tone: str = "ink"


def cards(evidence: Evidence) -> Iterator[Card]:
    """What each role keeps, what random sets leave, how selective it is, and what it took."""
    main = evidence.main
    for role in _TONES:
        if group := main.role(role):
            yield _kept(evidence, group)
    yield from _lots(evidence)
    yield from _selectivity(evidence)
    layers = plural(len(evidence.layers), "layer")
    yield Card("channels ablated", f"{main.channels:,}", f"in {layers}")


def _kept(evidence: Evidence, group: Group) -> Card:
    kept, before = group.kept, percent(intact_kept(evidence, group.role))
    note = (
        f"of {group.n:,} keep their label; {before} with the network intact. "
        f"{_reach(kept.low, kept.high)} ({kept.method})"
    )
    return Card(ROLES[group.role], percent(kept.value), note, _TONES[group.role])


def _lots(evidence: Evidence) -> Iterator[Card]:
    band = band_at(evidence, "random")
    if band is None or "target" not in band.kept:
        return
    kept = band.kept["target"]
    note = (
        "of the targets keep theirs without as many channels drawn by lot: median of "
        f"{kept.draws:,} draws, {_reach(kept.low, kept.high)}"
    )
    yield Card("random sets", percent(kept.median), note)


def _selectivity(evidence: Evidence) -> Iterator[Card]:
    gap, by_lot = evidence.main.selectivity, evidence.main.permutation
    if gap is None:
        return
    note = f"points more lost by targets than by others; {_reach(gap.low, gap.high)} ({gap.method})"
    # Over draws of sets it can be small with any pictures, so that few don't lead with it.
    if by_lot is not None and not evidence.exploratory:
        note += f"; {p_sentence(by_lot)} against random sets"
    yield Card("selectivity", points(gap.value), note)


def _reach(low: float, high: float) -> str:
    return f"95%: {100 * low:.1f} to {100 * high:.1f}".replace("-", MINUS)

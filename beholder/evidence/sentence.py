"""What a study showed, as people say it: `sentence`. It claims no more than the figures carry."""

from collections.abc import Iterator

from beholder.evidence.document import Evidence, Group, Outcome
from beholder.evidence.names import Kind
from beholder.evidence.outcomes import draws_beside
from beholder.evidence.statistics import LEVEL, at_least, permutation
from beholder.report.words import (
    ROLES,
    listed,
    p_sentence,
    p_value,
    plural,
    points,
    points_interval,
)
from beholder.report.words import sentence as ended

SEEN = 0.5  # of the targets, that the intact network should see before any can be lost
_LOTS: tuple[tuple[Kind, str], ...] = (
    ("random", "random sets of as many channels"),
    ("matched", "random sets of as many and as strong channels"),
)


def sentence(evidence: Evidence) -> str:
    """Two or three sentences on the headline: the counts, then what they are worth."""
    said = [f"Exploratory: {ended(evidence.exploratory)}"] if evidence.exploratory else []
    target = evidence.main.role("target")
    if target is None:
        return " ".join([*said, "Nothing was shown: no target could be tested."])
    return " ".join([*said, *_shown(evidence, target), *_worth(evidence, target)])


def hits(group: Group) -> int:
    """How many of its pictures keep their label."""
    return round(group.kept.value * group.n)


def hits_before(group: Group) -> int:
    """How many have it with nothing ablated."""
    return round((group.kept.value + group.drop) * group.n)


def others(outcome: Outcome) -> list[Group]:
    """Those of siblings and controls, as far as there are any."""
    return [found for role in ("sibling", "control") if (found := outcome.role(role))]


def _shown(evidence: Evidence, target: Group) -> Iterator[str]:
    noun = "held-out target" if evidence.held_out else "target"
    before, label = hits_before(target), evidence.target_label
    if before < SEEN * target.n:
        yield (
            f"Little can be shown: the intact network itself sees {label} in only {before} of "
            f"{plural(target.n, noun)}."
        )
    found = others(evidence.main)
    kept = f", and {_kept(found)}" if found else ""
    yield (
        f"{_ablated(evidence.main)}, the network still sees {label} in {hits(target)} of "
        f"{plural(target.n, noun)} ({before} with nothing ablated){kept}."
    )


def _ablated(main: Outcome) -> str:
    channels = plural(main.channels, "channel")
    verb = "is" if main.channels == 1 else "are"
    return {
        "zero": f"When {channels} {verb} set to zero",
        "mean": f"When {channels} {verb} set to their means over other pictures",
        "resample": f"When {channels} {verb} replaced by those of other pictures",
        "scale": f"When {channels} {verb} scaled by {main.alpha:g}",
    }[main.mode]


def _kept(found: list[Group]) -> str:
    """ "79 of 80 other pictures keep their label (40 of 40 siblings and 39 of 40 controls)"."""
    each = [f"{hits(one)} of {one.n:,} {ROLES[one.role]}" for one in found]
    if len(found) == 1:
        return f"{each[0]} keep their label"
    kept, count = sum(map(hits, found)), sum(one.n for one in found)
    return f"{kept} of {count:,} other pictures keep their label ({listed(each)})"


def _worth(evidence: Evidence, target: Group) -> Iterator[str]:
    """Every doubt; without one, what random sets did."""
    if target.drop <= 0:
        yield f"So these channels were not shown to matter for {evidence.target_label}."
        return
    main, drawn = evidence.main, list(_drawn(evidence))
    doubts = [*_not_selective(evidence), *_not_these(main, drawn)]
    yield from doubts or [_beside_lots(evidence, drawn)]


def _not_selective(evidence: Evidence) -> Iterator[str]:
    found = evidence.main.selectivity
    if found is None:
        yield "No other picture was tested, so that this may be mere damage."
    elif found.value <= 0:
        yield (
            f"The others lost as much or more ({points(found.value)} points): this shows damage, "
            f"not blinding to {evidence.target_label}."
        )
    elif found.low <= 0:
        yield (
            "That the targets lose more than the others is not certain: "
            f"{points_interval(found)} points."
        )


def _drawn(evidence: Evidence) -> Iterator[tuple[str, int, int, float]]:
    """What each kind of lot is called, draws at least as selective, draws, and p."""
    main = evidence.main
    for kind, name in _LOTS:
        values = draws_beside(main, evidence.outcomes, kind)
        if values and main.selectivity is not None:
            value = main.selectivity.value
            yield name, at_least(value, values), len(values), permutation(value, values)


def _not_these(main: Outcome, drawn: list[tuple[str, int, int, float]]) -> Iterator[str]:
    if not drawn and main.selectivity is not None:
        yield "No random set was held against it: any channels might do the same."
    for name, count, draws, p in drawn:
        if p > LEVEL and count == 0:
            yield f"{_as_selective(name, count, draws)}, but so few show little ({p_sentence(p)})."
        elif p > LEVEL:
            yield (
                f"{_as_selective(name, count, draws)} ({p_sentence(p)}): it was not shown that it "
                "matters which channels these are."
            )
    if main.holm is not None and (main.permutation or 0) <= LEVEL < main.holm:
        yield (
            f"Corrected for the methods that were tried, {p_sentence(main.holm)} against random "
            "sets: too much to rule out a lucky one."
        )


def _beside_lots(evidence: Evidence, drawn: list[tuple[str, int, int, float]]) -> str:
    said = [
        f"{_as_selective(name, count, draws)} ({p_sentence(p)}{_corrected(evidence, place)})"
        for place, (name, count, draws, p) in enumerate(drawn)
    ]
    return f"{'. '.join(said)}."


def _as_selective(name: str, count: int, draws: int) -> str:
    if count == 0:
        return f"None of {draws:,} {name} was as selective"
    return f"{count:,} of {draws:,} {name} {'was' if count == 1 else 'were'} at least as selective"


def _corrected(evidence: Evidence, place: int) -> str:
    """Of the p against random sets, which comes first: what Holm makes of it."""
    if place or evidence.main.holm is None:
        return ""
    methods = sum(one.holm is not None for one in evidence.outcomes)
    return f"; {p_value(evidence.main.holm)} corrected for {methods} methods"

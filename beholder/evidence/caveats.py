"""What a study did not show, as people say it: `caveats`."""

from collections.abc import Iterator

from beholder.evidence.conditions import largest_dose
from beholder.evidence.document import Evidence, Outcome
from beholder.evidence.names import Mode, Role
from beholder.evidence.outcomes import draws_beside
from beholder.evidence.sample import Sample
from beholder.evidence.sentence import SEEN, hits, hits_before, others
from beholder.evidence.statistics import LEVEL, at_least, permutation
from beholder.report.words import ROLES, listed, p_sentence, percent, plural
from beholder.report.words import sentence as ended
from beholder.science.dose import MOST_P, MOST_RECALL

FEW = 30  # pictures of a role, below which the interval of their share is wide
FEW_TUNING = 10  # targets, or others, by which a dose is a near thing
FEW_DRAWS = 99
HARMED = 0.05  # of a role's pictures, that lost their label
READ = 0.7  # area under a probe's ROC curve, from which it still reads the class
STABLE = 0.5  # Jaccard index
_NATURAL: tuple[Mode, ...] = ("mean", "resample")  # put in what pictures have there


def caveats(evidence: Evidence, sample: Sample) -> Iterator[str]:
    """One a sentence, what is the most to be minded first."""
    yield from _exploratory(evidence, sample)
    yield from _pictures(evidence, sample)
    yield from _dose(evidence, sample)
    yield from _harmed(evidence)
    yield from _lots(evidence)
    yield from _modes(evidence)
    yield from _choice(evidence)
    yield from _probe(evidence)
    label = evidence.target_label
    yield f"Not shown: that these channels are the only ones that carry {label}, or carry it alone."
    yield f"Not shown: that other networks, or other pictures of {label}, behave alike."


def _exploratory(evidence: Evidence, sample: Sample) -> Iterator[str]:
    if evidence.exploratory:
        yield f"Exploratory: {ended(evidence.exploratory)}"
    if any(one.fold is not None for one in sample.plan.conditions):
        yield (
            "Only the headline's targets were held out of choosing their set: sets of other doses, "
            "methods and modes, those of the matrix, those kept alone and each channel by itself "
            "were chosen with all of them in view."
        )


def _pictures(evidence: Evidence, sample: Sample) -> Iterator[str]:
    planned = sum(one.split == "test" for one in sample.plan.subjects)
    missing = planned - int((sample.where("test") & sample.headline.ran).sum())
    if missing:
        yield (
            f"{missing:,} of {plural(planned, 'test picture')} could not be read and count nowhere."
        )
    target = evidence.main.role("target")
    if target is None:
        yield f"Not shown: anything about {evidence.target_label}, since no target was tested."
        return
    if hits_before(target) < SEEN * target.n:
        yield (
            f"Not shown: how {evidence.target_label} is seen, which the intact network does in "
            f"{hits_before(target)} of {plural(target.n, 'target')}."
        )
    shown = [
        row
        for row in evidence.rows
        if row.split == "test"
        and row.role != "target"
        and row.intact_label == evidence.target_label
    ]
    if shown:
        yield (
            f"The intact network sees {evidence.target_label} in "
            f"{plural(len(shown), 'other picture')}: "
            "what they lose counts as harm, although it is what was asked for."
        )
    if target.n < FEW:
        low, high = percent(target.kept.low), percent(target.kept.high)
        yield (
            f"Few pictures: with {plural(target.n, 'target')}, the share that is still seen may be "
            f"anything from {low} to {high}."
        )
    for one in others(evidence.main):
        if one.n < FEW:
            low, high = percent(one.kept.low), percent(one.kept.high)
            yield (
                f"Few pictures: with {plural(one.n, one.role)}, the share that keeps its label may "
                f"be anything from {low} to {high}."
            )


def _dose(evidence: Evidence, sample: Sample) -> Iterator[str]:
    """That a dose can't be had, was picked by few, or misses on test pictures."""
    yield from _unfilled(sample)
    if sample.plan.tuned_on is None:
        return
    targets, beside = sample.plan.tuned_on
    if min(targets, beside) < FEW_TUNING:
        yield (
            "Few tuning pictures: how many channels to ablate was picked on "
            f"{plural(targets, 'target')} and {plural(beside, 'other picture')}. Other pictures "
            "might have led to another number."
        )
    target = evidence.main.role("target")
    if target is None or (target.kept.value <= MOST_RECALL and target.p_target <= MOST_P):
        return
    yield (
        f"Missed: so many channels are to leave at most {percent(MOST_RECALL)} of the targets "
        f"seen, and {percent(MOST_P)} of their probability in the mean; on test pictures they "
        f"leave {percent(target.kept.value)} and {percent(target.p_target)}."
    )


def _unfilled(sample: Sample) -> Iterator[str]:
    """That doses were asked for which the headline's ranking can't fill."""
    plan = sample.plan
    main, spec = plan.condition(plan.headline), plan.record.get("spec", {})
    ranking = plan.rankings.get(main.method, ())
    most = largest_dose(ranking, per_layer=not main.pooled) if ranking else 0
    asked = {*spec.get("doses", ()), spec.get("dose") or 0}
    if beyond := sorted(dose for dose in asked if dose > most):
        doses = listed(f"{dose:,}" for dose in beyond)
        asked_for = f"doses of {doses} were" if len(beyond) > 1 else f"a dose of {doses} was"
        yield (
            f"Cut short: {asked_for} asked for, but {main.method} ranks only "
            f"{plural(most, 'channel')} for {plan.target_label}"
            f"{'' if main.pooled else ' in any one layer'}, so that {most:,} is the largest dose."
        )


def _harmed(evidence: Evidence) -> Iterator[str]:
    found = {one.role: one for one in others(evidence.main)}
    for one in found.values():
        if one.drop >= HARMED:
            lost = hits_before(one) - hits(one)
            yield f"Not spared: {lost} of {one.n:,} {ROLES[one.role]} lost their label too."
    missing: tuple[tuple[Role, str], ...] = (
        ("sibling", "classes much like it are spared: no sibling was tested"),
        ("control", "other classes are spared: no control was tested"),
    )
    for role, said in missing:
        if role not in found:
            yield f"Not shown: that {said}."


def _lots(evidence: Evidence) -> Iterator[str]:
    main = evidence.main
    drawn, matched = (draws_beside(main, evidence.outcomes, kind) for kind in ("random", "matched"))
    if main.role("target") is None:
        return
    if main.selectivity is None:
        yield "Not shown: that it is more than random sets do, with no selectivity to compare."
        return
    if not drawn:
        yield "Not shown: that random sets do less: none was drawn."
    elif len(drawn) < FEW_DRAWS:
        least, tried = 1 / (1 + len(drawn)), _corrected_for(evidence)
        more = f", nor below {min(1.0, tried * least):.3f} once corrected for {tried} methods"
        yield (
            f"With {plural(len(drawn), 'random set')}, p can't be below {least:.3f}"
            f"{more if tried > 1 else ''}."
        )
    if not matched:
        yield (
            "Not shown: that channels as strong do less: random sets, which may be of silent ones, "
            "were not matched in strength."
        )
    elif (p := permutation(main.selectivity.value, matched)) > LEVEL:
        count = at_least(main.selectivity.value, matched)
        yield (
            f"Not shown: that channels as strong do less: {count} of "
            f"{plural(len(matched), 'such set')} were at least as selective ({p_sentence(p)})."
        )


def _corrected_for(evidence: Evidence) -> int:
    """How many methods the headline's p is corrected for."""
    if evidence.main.holm is None:
        return 1
    return sum(one.holm is not None for one in evidence.outcomes)


def _modes(evidence: Evidence) -> Iterator[str]:
    """Zero's own strangeness. A map that is scaled down is strange too, and no evidence of it."""
    main = evidence.main
    target = main.role("target")
    if main.mode != "zero" or target is None or target.drop <= 0:
        return
    rivals = [one for one in evidence.outcomes if _other_mode(one, main)]
    if not rivals:
        yield (
            "Not shown: that it is the channels' silence and not the strangeness of maps set to "
            "zero: neither mean nor resample was tried."
        )
    for one in rivals:
        group = one.role("target")
        if group is not None and group.drop < target.drop / 2:
            yield (
                f"Part of it may be the strangeness of maps set to zero: by {one.mode}, the same "
                f"channels leave {hits(group)} of {plural(group.n, 'target')} seen."
            )


def _other_mode(one: Outcome, main: Outcome) -> bool:
    same = (one.kind, one.of, one.method, one.dose, one.pooled)
    return same == ("chosen", None, main.method, main.dose, main.pooled) and one.mode in _NATURAL


def _choice(evidence: Evidence) -> Iterator[str]:
    if evidence.stability is not None and evidence.stability < STABLE:
        yield (
            "Not shown: that it must be these channels: sets chosen from redrawn pictures share "
            f"only {percent(evidence.stability)} with this one (mean Jaccard index)."
        )


def _probe(evidence: Evidence) -> Iterator[str]:
    area, label = evidence.probe.blinded, evidence.target_label
    if area is None:
        yield (
            f"Not shown: whether a linear probe still reads {label} from what is left: too few "
            "pictures to train and test one."
        )
    elif area >= READ:
        yield (
            f"Not shown: that nothing of {label} is left in the network: a linear probe still "
            f"reads it from the last layer (area under the ROC curve {area:.2f})."
        )
    else:
        yield (
            f"Not shown: that nothing of {label} is left in the network: a linear probe of the "
            f"last layer's means hardly reads it ({area:.2f}), but other probes might."
        )

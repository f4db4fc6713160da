"""What each condition did to the test pictures: `outcomes`, and the `bands` of random draws."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from beholder.evidence.document import Dose, Group, Interval, Outcome
from beholder.evidence.names import Kind, Mode, Role
from beholder.evidence.plan import Condition
from beholder.evidence.sample import ROLES, Bools, Run, Sample
from beholder.evidence.statistics import (
    band,
    gap,
    holm,
    mcnemar,
    mean_intervals,
    permutation,
    wilson,
)

BY_LOT: tuple[Kind, ...] = ("random", "matched")


def outcomes(sample: Sample) -> tuple[Outcome, ...]:
    """All conditions' but those of folds, which the headline's joins, and of channels alone."""
    plan = sample.plan
    tried = [one for one in plan.conditions if one.fold is None and one.kind != "alone"]
    plain = [_outcome(sample, one) for one in tried]
    tested = [one.model_copy(update={"permutation": _against_lots(one, plain)}) for one in plain]
    adjusted = _adjusted(tested, plan.headline)
    return tuple(one.model_copy(update={"holm": adjusted.get(one.name)}) for one in tested)


def draws_beside(outcome: Outcome, found: Sequence[Outcome], kind: Kind = "random") -> list[float]:
    """The selectivity of the draws of a kind that have this outcome's dose, mode and alpha.

    Those that were drawn from the layers of its own method's set, if there are any: `of` says so.
    """
    beside = [
        one
        for one in found
        if one.kind == kind and _ablated(one) == _ablated(outcome) and one.selectivity is not None
    ]
    own = [one for one in beside if one.of == outcome.method]
    shown = own or [one for one in beside if one.of is None]
    return [one.selectivity.value for one in shown if one.selectivity is not None]


def bands(found: Sequence[Outcome]) -> tuple[Dose, ...]:
    """Of random draws, by kind, mode and dose."""
    drawn: dict[tuple[Kind, Mode, int], list[Outcome]] = defaultdict(list)
    for one in found:
        if one.kind in BY_LOT and one.roles and one.of is None:
            drawn[one.kind, one.mode, one.dose].append(one)
    return tuple(_dose(*key, same) for key, same in sorted(drawn.items(), key=_order))


def _group(run: Run, mask: Bools, role: Role, name: str | None = None) -> Group:
    """The figures of the masked pictures, one at least, all of which were run."""
    n, kept = int(mask.sum()), int(run.after[mask].sum())
    return Group(
        role=role,
        name=name,
        n=n,
        kept=wilson(kept, n),
        drop=(int(run.before[mask].sum()) - kept) / n,
        p_target=float(run.p_target[mask].mean()),
        p_own=float(run.p_own[mask].mean()),
        margin=float(run.change[mask].mean()),
        rank=float(np.median(run.rank[mask])),
        top5=float(run.top5[mask].mean()),
        kl=float(run.kl[mask].mean()),
    )


def _told(group: Group, run: Run, mask: Bools, seed: int) -> Group:
    """The group, with the intervals of its means."""
    found = mean_intervals(np.stack([run.change[mask], run.kl[mask]], axis=1), seed=seed)
    if not found:
        return group
    margin, kl = found
    kl = kl.model_copy(update={"low": max(0.0, kl.low)})  # no prediction moves by less than nothing
    return group.model_copy(update={"margin_interval": margin, "kl_interval": kl})


def _outcome(sample: Sample, condition: Condition) -> Outcome:
    run = sample.run(condition)
    by_lot = condition.kind in BY_LOT
    targets = sample.targets & run.ran
    tested = bool(targets.any()) and not by_lot
    main = condition.name == sample.plan.headline
    return Outcome(
        **condition.model_dump(exclude={"channels", "fold"}),
        channels=condition.size,
        roles=tuple(_by_role(sample, run, main)),
        groups=() if by_lot else tuple(_by_folder(sample, run, main)),
        selectivity=_selectivity(sample, run),
        mcnemar=mcnemar(run.before[targets], run.after[targets]) if tested else None,
    )


def _by_role(sample: Sample, run: Run, main: bool) -> Iterator[Group]:
    for role, mask in sample.roles.items():
        if (ran := mask & run.ran).any():
            found = _group(run, ran, role)
            yield _told(found, run, ran, sample.plan.seed) if main else found


def _by_folder(sample: Sample, run: Run, main: bool) -> Iterator[Group]:
    for (role, name), mask in sample.folders.items():
        if (ran := mask & run.ran).any():
            found = _group(run, ran, role, name)
            yield _told(found, run, ran, sample.plan.seed) if main else found


def _selectivity(sample: Sample, run: Run) -> Interval | None:
    targets, others = sample.targets & run.ran, sample.others & run.ran
    if not targets.any() or not others.any():
        return None
    missed = float((~run.before[targets]).mean()), float((~run.before[others]).mean())
    return gap(run.lost[targets], run.lost[others], seed=sample.plan.seed, missed=missed)


def _against_lots(outcome: Outcome, found: Sequence[Outcome]) -> float | None:
    if outcome.kind != "chosen" or outcome.selectivity is None:
        return None
    drawn = draws_beside(outcome, found)
    return permutation(outcome.selectivity.value, drawn) if drawn else None


def _adjusted(found: Sequence[Outcome], headline: str) -> dict[str, float]:
    """By name, over the methods that chose as many channels as the headline's, in its way.

    Without "random", which is one more lot, and no claim that could have been lucky.
    """
    main = next(one for one in found if one.name == headline)
    ps = {
        one.name: one.permutation
        for one in found
        if _ablated(one) == _ablated(main)
        and one.of is None
        and one.permutation is not None
        and one.method != "random"
    }
    return dict(zip(ps, holm(list(ps.values())), strict=True)) if len(ps) > 1 else {}


def _ablated(one: Outcome) -> tuple[Mode, float, int, bool]:
    return one.mode, one.alpha, one.dose, one.pooled


def _dose(kind: Kind, mode: Mode, dose: int, same: Sequence[Outcome]) -> Dose:
    groups = {role: [one.role(role) for one in same] for role in ROLES}
    kept = {role: [one.kept.value for one in found if one] for role, found in groups.items()}
    gaps = [one.selectivity.value for one in same if one.selectivity is not None]
    return Dose(
        kind=kind,
        mode=mode,
        dose=dose,
        kept={role: band(values) for role, values in kept.items() if values},
        draws=len(same),
        selectivity=band(gaps) if gaps else None,
    )


def _order(item: tuple[tuple[Kind, Mode, int], list[Outcome]]) -> tuple[int, Mode, int]:
    kind, mode, dose = item[0]
    return BY_LOT.index(kind), mode, dose

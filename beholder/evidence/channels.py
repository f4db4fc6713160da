"""The channels of the headline's set, one by one: `channel_evidence`, and their `layers`."""

from collections.abc import Iterable, Sequence

import numpy as np

from beholder.evidence.document import ChannelEvidence, Interval
from beholder.evidence.plan import Condition, Plan
from beholder.evidence.sample import Floats, Sample
from beholder.evidence.statistics import mean_intervals

_Place = tuple[int, int]  # layer, channel


def layers(plan: Plan) -> dict[int, int]:
    """How many of the headline's channels each layer has."""
    channels = plan.condition(plan.headline).channels
    return {layer: len(found) for layer, found in sorted(channels.items())}


def channel_evidence(sample: Sample) -> tuple[ChannelEvidence, ...]:
    """Best first; effects of those that were ablated alone."""
    plan = sample.plan
    scores = _scores(plan)
    effects, control_effects = _effects(sample)
    profiles = {(one.layer, one.channel): one for one in plan.profiles}
    found = []
    for rank, (place, score) in enumerate(scores.items(), start=1):
        profile = profiles.get(place)
        found.append(
            ChannelEvidence(
                layer=place[0],
                channel=place[1],
                rank=rank,
                score=score,
                target_mean=profile.target_mean if profile else None,
                control_mean=profile.control_mean if profile else None,
                fraction_active=profile.fraction_active if profile else None,
                effect=effects.get(place),
                control_effect=control_effects.get(place),
            )
        )
    return tuple(found)


def _scores(plan: Plan) -> dict[_Place, float]:
    """Of the headline's set, in the order of its method's ranking; then what that has not."""
    headline = plan.condition(plan.headline)
    ranking = plan.rankings.get(headline.method, ())
    ranked = {(one.layer, one.channel): one.score for one in ranking}
    wanted = [(layer, one) for layer, found in headline.channels.items() for one in found]
    chosen = set(wanted)
    found = {place: score for place, score in ranked.items() if place in chosen}
    return found | {place: 0.0 for place in wanted if place not in found}


def _effects(sample: Sample) -> tuple[dict[_Place, Interval], dict[_Place, Interval]]:
    """By channel: on the targets' margin, and on the others' own log-odds."""
    alone = {_only(one): sample.run(one) for one in sample.plan.conditions if one.kind == "alone"}
    if not alone:
        return {}, {}
    ran = np.logical_and.reduce([run.ran for run in alone.values()])
    targets, others = sample.targets & ran, sample.others & ran
    on_targets = [run.change[targets] for run in alone.values()]
    on_others = [run.own_change[others] for run in alone.values()]
    seed = sample.plan.seed
    return _means(alone, on_targets, seed), _means(alone, on_others, seed)


def _means(
    places: Iterable[_Place], changes: Sequence[Floats], seed: int
) -> dict[_Place, Interval]:
    """By channel, the mean of its changes, (n,) each; none of fewer than two pictures."""
    columns: Floats = np.stack(changes, axis=1)  # (n, K)
    return dict(zip(places, mean_intervals(columns, seed=seed), strict=False))


def _only(condition: Condition) -> _Place:
    """The channel of a condition that has one."""
    ((layer, (channel,)),) = condition.channels.items()
    return layer, channel

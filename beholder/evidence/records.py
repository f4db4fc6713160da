"""What a sound study hands over for channel records: `correlated` and `exemplar_rows` from what it
measured, `effect_rows` from what it concluded; its classes' sums are a `tally`. And its job's
`summary_of` what it concluded.

widths: channels of each of the 37 layers, of which the ReLUs' follow each other in `strengths`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from beholder.evidence.answers import Answers
from beholder.evidence.document import ChannelEvidence, Interval, Outcome
from beholder.evidence.names import Method
from beholder.evidence.sentence import hits, others
from beholder.evidence.tally import relu_spans
from beholder.jobs.outcomes import EffectRow, ExemplarKind, ExemplarRow
from beholder.jobs.verdicts import Summary
from beholder.science.measure import REGION_UNITS

KEPT = 4  # pictures of each kind
CORRELATED = 5  # channels
CORRELATED_FROM = 10  # pictures: r of fewer is mostly chance

_Place = tuple[int, int]


def correlated(
    answers: Answers, widths: Sequence[int]
) -> Mapping[_Place, tuple[tuple[int, float], ...]]:
    """By layer and channel, the channels of the layer whose strengths rise and fall most alike.

    Pearson's r over all pictures, the greatest first. Channels that never vary have none and are
    nobody's; below `CORRELATED_FROM` pictures there are none at all.
    """
    if len(answers.positions) < CORRELATED_FROM:
        return {}
    found: dict[_Place, tuple[tuple[int, float], ...]] = {}
    for layer, span in relu_spans(widths).items():
        r = _pearson(answers.strengths[:, span].astype(np.float64))
        order = np.argsort(-r, axis=1, kind="stable")[:, :CORRELATED]
        for channel in np.flatnonzero((r > -np.inf).any(axis=1)).tolist():
            others = order[channel][r[channel, order[channel]] > -np.inf]
            found[layer, channel] = tuple(
                (int(other), float(r[channel, other])) for other in others
            )
    return found


def exemplar_rows(answers: Answers, widths: Sequence[int], *, seed: int) -> Iterator[ExemplarRow]:
    """Each ReLU channel's strongest and weakest pictures, and some at random, `KEPT` of each.

    The random ones are the same for all channels. Among equal strengths the lower position comes
    first. A channel that nothing drives has no strongest ones.
    """
    count = len(answers.positions)
    drawn = np.random.default_rng(seed).permutation(count)[:KEPT]
    for layer, span in relu_spans(widths).items():
        strengths = answers.strengths[:, span]
        picks: tuple[tuple[ExemplarKind, NDArray[np.int64]], ...] = (
            ("strongest", np.argsort(-strengths, axis=0, kind="stable")[:KEPT]),
            ("weakest", np.argsort(strengths, axis=0, kind="stable")[:KEPT]),
            ("random", np.repeat(drawn[:, None], strengths.shape[1], axis=1)),
        )
        for channel in range(strengths.shape[1]):
            for first, (kind, rows) in zip(range(0, 3 * KEPT, KEPT), picks, strict=True):
                for rank, row in enumerate(rows[:, channel].tolist(), first):
                    strength = float(strengths[row, channel])
                    if strength > 0 or kind != "strongest":
                        position = int(answers.positions[row])
                        box = _region(answers.regions[row, span][channel])
                        yield ExemplarRow(layer, channel, rank, position, strength, kind, *box)


def effect_rows(
    channels: Iterable[ChannelEvidence], *, target: str, method: Method
) -> Iterator[EffectRow]:
    """The channels of `Evidence.channels`, with what ablating each alone did where it was tried.

    target: the label of the class that they were chosen for, by `method`.
    """
    for one in channels:
        bounds = *_bounds(one.effect), *_bounds(one.control_effect)
        yield EffectRow(one.layer, one.channel, one.rank, one.score, *bounds, target, method)


def summary_of(main: Outcome) -> Summary:
    """The headline's counts."""
    target, beside = main.role("target"), others(main)
    return Summary(
        targets=target.n if target else 0,
        targets_kept=hits(target) if target else 0,
        controls=sum(one.n for one in beside),
        controls_kept=sum(map(hits, beside)),
    )


def _bounds(effect: Interval | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if effect is None else (effect.value, effect.low, effect.high)


def _region(units: NDArray[np.uint8]) -> tuple[float | None, ...]:
    """From 0 to 1; None where nothing drives the channel."""
    return tuple((units / REGION_UNITS).tolist()) if units.any() else (None,) * 4


def _pearson(strengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """(C, C) of (n, C); -inf for a channel with itself, and where one of the two never varies."""
    centred = strengths - strengths.mean(axis=0)
    norms = np.sqrt((centred**2).sum(axis=0))
    varies = norms > 1e-9 * np.maximum(np.abs(strengths).max(axis=0), 1e-300)
    unit = np.where(varies, centred / np.where(varies, norms, 1.0), 0.0)
    r: NDArray[np.float64] = np.clip(unit.T @ unit, -1.0, 1.0)
    r[~(varies[:, None] & varies)] = -np.inf
    np.fill_diagonal(r, -np.inf)
    return r

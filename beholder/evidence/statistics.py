"""Intervals and tests of a sound study, on small arrays: shares, changes, draws.

Every interval is of 95%. What is drawn is drawn from the seed alone, so that it comes out the same
for one condition whatever others there are.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import hypot, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats import contingency_tables, multitest, proportion

from beholder.evidence.document import Band, Interval

DRAWS = 9_999  # of a bootstrap
LEVEL = 0.05
_TAILS = (LEVEL / 2, 1 - LEVEL / 2)
_LEAST_P = 1e-12  # of a probability whose log-odds are asked for
_SAME = 1e-12  # sums of shares that differ by less are equal
_CELLS = 4_000_000  # numbers of a bootstrap that are in memory at a time
_ENOUGH = 30  # pictures, from which a bootstrap of their mean covers as often as it says

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@lru_cache(maxsize=4096)  # most conditions leave one of few counts
def wilson(hits: int, n: int) -> Interval:
    """Of a share of n >= 1 (Wilson 1927)."""
    low, high = proportion.proportion_confint(hits, n, alpha=LEVEL, method="wilson")
    return _interval(hits / n, float(low), float(high), "Wilson", bounds=(0.0, 1.0))


def mcnemar(before: Bools, after: Bools) -> float:
    """Exact two-sided p that as many are lost as won, were either as likely (McNemar 1947)."""
    lost, won = int((before & ~after).sum()), int((~before & after).sum())
    return float(contingency_tables.mcnemar([[0, lost], [won, 0]], exact=True).pvalue)


def gap(
    targets: Ints, others: Ints, *, seed: int, missed: tuple[float, float] = (1.0, 1.0)
) -> Interval:
    """Mean of `targets` less that of `others`, each -1, 0 or 1 a picture; neither may be empty.

    Bootstrap over pictures, of each side by itself (Efron 1979, percentiles). How often each value
    is drawn is multinomial, so that pictures need not be drawn one by one. Few pictures often all
    do the same, whose resamples have no width: either end is the farther of the bootstrap's and of
    square-and-add from Wilson's ends (Newcombe 1998; Zou and Donner 2008).

    missed: share of each side that had no label to lose, and so one to win, before. The ends stay
    within what can happen: all of one side lost, and all that the other had missed won.
    """
    ours, theirs = _counts(targets), _counts(others)
    drawn, added = _gap_ends(ours, theirs, seed), _added_ends(ours, theirs)
    value = float(targets.mean() - others.mean())
    low, high = min(drawn[0], added[0]), max(drawn[1], added[1])
    bounds = -1 - missed[0], 1 + missed[1]
    return _interval(value, low, high, "paired bootstrap or square-and-add", bounds=bounds)


def mean_intervals(values: Floats, *, seed: int) -> list[Interval]:
    """Of the means of (n, K) values; none of fewer than two pictures, which tell nothing of others.

    K bootstraps over the same draws of the n pictures; below 30, where those are too narrow
    (Hesterberg 2015), Student's t (1908).
    """
    if len(values) < 2:
        return []
    few = len(values) < _ENOUGH
    lows, highs = _t_ends(values) if few else _resampled_ends(values, seed)
    method = "Student's t" if few else "paired bootstrap"
    return [
        _interval(float(value), float(low), float(high), method)
        for value, low, high in zip(values.mean(axis=0), lows, highs, strict=True)
    ]


def permutation(value: float, draws: Sequence[float]) -> float:
    """p = (1 + draws at least as great) / (1 + draws) (Phipson and Smyth 2010)."""
    return (1 + at_least(value, draws)) / (1 + len(draws))


def at_least(value: float, draws: Sequence[float]) -> int:
    """How many draws are as great as the value, or greater."""
    return int((np.asarray(draws) >= value - _SAME).sum())


def holm(ps: Sequence[float]) -> list[float]:
    """Each p adjusted for all of them (Holm 1979)."""
    return [float(p) for p in multitest.multipletests(ps, alpha=LEVEL, method="holm")[1]]


def band(values: Sequence[float]) -> Band:
    """Of one value or more."""
    low, median, high = (float(one) for one in np.quantile(values, (_TAILS[0], 0.5, _TAILS[1])))
    return Band(median=median, low=low, high=high, draws=len(values))


def log_odds(p: Floats) -> Floats:
    """log(p / (1 - p)), with p kept a trillionth away from 0 and 1, where it has no end."""
    kept = np.clip(p, _LEAST_P, 1 - _LEAST_P)
    found: Floats = np.log(kept) - np.log1p(-kept)
    return found


def _counts(values: Ints) -> tuple[int, int, int]:
    """How many are -1, 0 and 1."""
    below, same, above = (int((values == value).sum()) for value in (-1, 0, 1))
    return below, same, above


@lru_cache(maxsize=4096)  # random sets often do the same, which is next to nothing
def _gap_ends(targets: tuple[int, ...], others: tuple[int, ...], seed: int) -> tuple[float, float]:
    chance = np.random.default_rng(seed)
    drawn = _drawn_means(targets, chance) - _drawn_means(others, chance)
    low, high = np.quantile(drawn, _TAILS)
    return float(low), float(high)


def _drawn_means(counts: tuple[int, ...], chance: np.random.Generator) -> Floats:
    n = sum(counts)
    drawn = chance.multinomial(n, np.array(counts) / n, size=DRAWS)
    means: Floats = (drawn[:, 2] - drawn[:, 0]) / n
    return means


def _added_ends(targets: tuple[int, ...], others: tuple[int, ...]) -> tuple[float, float]:
    """Square-and-add of the two sides' own ends: those of independent figures."""
    (ours, *our_ends), (theirs, *their_ends) = _change_ends(targets), _change_ends(others)
    return (
        ours - theirs - hypot(ours - our_ends[0], their_ends[1] - theirs),
        ours - theirs + hypot(our_ends[1] - ours, theirs - their_ends[0]),
    )


@lru_cache(maxsize=4096)
def _change_ends(counts: tuple[int, ...]) -> tuple[float, float, float]:
    """Share lost less share won, of how many are -1, 0 and 1, with its ends.

    Square-and-add from Wilson's ends of both shares. Nobody both loses and wins, so they are
    correlated (Zou and Donner 2008): r = -sqrt(odds lost x odds won); 0 where a share is 1.
    """
    n = sum(counts)
    won, lost = wilson(counts[0], n), wilson(counts[2], n)
    both = (1 - won.value) * (1 - lost.value)
    r = -sqrt(won.value * lost.value / both) if both else 0.0

    def half(one: float, other: float) -> float:
        return sqrt(one**2 - 2 * r * one * other + other**2)

    value = lost.value - won.value
    low = value - half(lost.value - lost.low, won.high - won.value)
    high = value + half(lost.high - lost.value, won.value - won.low)
    return value, max(-1.0, low), min(1.0, high)


def _t_ends(values: Floats) -> tuple[Floats, Floats]:
    """(K,) each, of the means of (n, K) values."""
    half = stats.t.ppf(_TAILS[1], len(values) - 1) * stats.sem(values, axis=0)
    means = values.mean(axis=0)
    return means - half, means + half


def _resampled_ends(values: Floats, seed: int) -> tuple[Floats, Floats]:
    """(K,) each, of the means of (n, K) values."""
    chance = np.random.default_rng(seed)
    n, count = values.shape
    rows = max(1, _CELLS // max(n, count))
    parts = [
        _weights(chance, n, min(rows, DRAWS - first)) @ values for first in range(0, DRAWS, rows)
    ]
    lows, highs = np.quantile(np.concatenate(parts), _TAILS, axis=0)
    return lows, highs


def _weights(chance: np.random.Generator, n: int, rows: int) -> Floats:
    """(rows, n): how often each of n pictures is among n drawn ones, over n."""
    places = chance.integers(0, n, (rows, n)) + n * np.arange(rows)[:, None]
    weights: Floats = np.bincount(places.ravel(), minlength=rows * n).reshape(rows, n) / n
    return weights


def _interval(
    value: float,
    low: float,
    high: float,
    method: str,
    *,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Interval:
    """With the value inside, which rounding alone can push out."""
    return Interval(
        value=value,
        low=max(bounds[0], min(low, value)),
        high=min(bounds[1], max(high, value)),
        method=method,
    )

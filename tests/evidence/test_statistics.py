"""Intervals and tests against other implementations, every resample, and figures made by hand."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from beholder.evidence import statistics
from beholder.evidence.statistics import (
    at_least,
    band,
    gap,
    holm,
    log_odds,
    mcnemar,
    mean_intervals,
    permutation,
    wilson,
)

CHANGES = st.lists(st.sampled_from((-1, 0, 1)), min_size=1, max_size=12)


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (0, 40), (2, 40), (37, 40), (40, 40), (1, 1)])
def test_wilson_is_scipy_s(hits: int, n: int) -> None:
    found = wilson(hits, n)
    other = stats.binomtest(hits, n).proportion_ci(method="wilson")
    assert (found.value, found.method) == (hits / n, "Wilson")
    assert (found.low, found.high) == pytest.approx((other.low, other.high), abs=1e-12)
    assert 0 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (5, 0), (0, 5), (9, 2), (3, 3), (38, 1)])
def test_mcnemar_is_a_sign_test_of_what_changed(lost: int, won: int) -> None:
    before = np.array([True] * lost + [False] * won + [True] * 4 + [False] * 3)
    after = np.array([False] * lost + [True] * won + [True] * 4 + [False] * 3)
    wanted = stats.binomtest(lost, lost + won).pvalue if lost + won else 1.0
    assert mcnemar(before, after) == pytest.approx(wanted)


def test_the_gap_s_interval_is_that_of_every_resample() -> None:
    targets, others = np.array([1, 1, 0, -1]), np.array([0, 0, 1])
    every = sorted(
        np.mean(t) - np.mean(o)
        for t in product(targets, repeat=len(targets))
        for o in product(others, repeat=len(others))
    )
    found = gap(targets, others, seed=3)
    assert found.value == pytest.approx(1 / 4 - 1 / 3)
    # The ends are steps of 1/12, and 9,999 of the draws know them to one.
    assert found.low == pytest.approx(np.quantile(every, 0.025), abs=1 / 12)
    assert found.high == pytest.approx(np.quantile(every, 0.975), abs=1 / 12)


def test_the_gap_s_interval_of_many_is_scipy_s() -> None:
    chance = np.random.default_rng(1)
    targets = chance.choice([-1, 0, 1], size=800, p=[0.05, 0.25, 0.7])
    others = chance.choice([-1, 0, 1], size=1200, p=[0.1, 0.8, 0.1])
    other = stats.bootstrap(
        (targets, others),
        lambda t, o, axis: t.mean(axis=axis) - o.mean(axis=axis),
        method="percentile",
        rng=chance,
    ).confidence_interval
    found = gap(targets, others, seed=3)
    assert (found.low, found.high) == pytest.approx((other.low, other.high), abs=0.004)
    assert found.low <= other.low + 0.001


@given(CHANGES, CHANGES, st.integers(0, 2**31 - 1))
@settings(max_examples=20, deadline=None, derandomize=True, database=None)
def test_a_gap_lies_in_its_interval_and_comes_out_the_same(
    targets: list[int], others: list[int], seed: int
) -> None:
    found = gap(np.array(targets), np.array(others), seed=seed)
    assert -2 <= found.low <= found.value <= found.high <= 2
    assert found == gap(np.array(targets), np.array(others), seed=seed)
    assert found.low < found.high  # also where all of a kind did the same


@pytest.mark.parametrize(("n", "m"), [(2, 1), (5, 3), (8, 8)])
def test_a_gap_of_few_is_covered_as_often_as_it_is_said(n: int, m: int) -> None:
    """Every outcome of n targets and m others, each weighed by its probability."""
    ends = {
        (a, b): gap(
            np.repeat([1, 0], [a, n - a]), np.repeat([1, 0], [b, m - b]), seed=0, missed=(0, 0)
        )
        for a, b in product(range(n + 1), range(m + 1))
    }
    for p, q in product((0.1, 0.5, 0.8, 0.95, 1.0), (0.0, 0.02, 0.1, 0.3)):
        covered = sum(
            stats.binom.pmf(a, n, p) * stats.binom.pmf(b, m, q)
            for (a, b), one in ends.items()
            if one.low <= p - q <= one.high
        )
        assert covered >= 0.95


def test_two_targets_and_one_other_leave_open_whether_it_is_selective() -> None:
    found = gap(np.array([1, 1]), np.array([0]), seed=0)
    # Wilson's ends of 2 of 2 and of 0 of 1, for either share; the squares of what they leave add.
    two, one = wilson(2, 2), wilson(0, 1)
    ours = 1 - (2 * (1 - two.low) ** 2) ** 0.5
    assert found.value == 1
    assert found.low == pytest.approx(1 - ((1 - ours) ** 2 + one.high**2) ** 0.5)
    assert found.low < 0 < gap(np.ones(8, int), np.zeros(8, int), seed=0).low


def test_a_gap_goes_no_farther_than_pictures_can() -> None:
    targets, others = np.array([1, 1, 0]), np.array([0, 0])
    assert gap(targets, others, seed=0).high > 1  # others might have won
    bounded = gap(targets, others, seed=0, missed=(0, 0))
    assert (bounded.low, bounded.high) == (gap(targets, others, seed=0).low, 1)
    assert gap(targets, others, seed=0, missed=(0, 0.25)).high == 1.25
    assert gap(-targets, 1 - others, seed=0, missed=(2 / 3, 0)).low == pytest.approx(-5 / 3)
    assert gap(others, targets, seed=0, missed=(0, 0)).low == -1


def test_square_and_add_minds_that_nobody_both_loses_and_wins() -> None:
    """With many pictures it is the normal interval of a multinomial difference."""
    targets, others = np.repeat([1, 0, -1], [500, 200, 300]), np.zeros(10**6, int)
    found = gap(targets, others, seed=0)
    half = 1.96 * (targets.var() / 1000) ** 0.5
    assert (found.low, found.high) == pytest.approx((0.2 - half, 0.2 + half), abs=0.003)


def test_intervals_of_means_are_scipy_s_also_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(2)
    values = np.stack([chance.normal(-1, 0.5, 60), chance.exponential(2, 60)], axis=1)
    whole = mean_intervals(values, seed=9)
    monkeypatch.setattr(statistics, "_CELLS", 7 * 60)
    parts = mean_intervals(values, seed=9)
    for found, again, column in zip(whole, parts, values.T, strict=True):
        other = stats.bootstrap((column,), np.mean, method="percentile", rng=chance)
        ends = other.confidence_interval
        spread = column.std() / 60**0.5
        assert found.value == pytest.approx(column.mean())
        for one in (found, again):
            assert (one.low, one.high) == pytest.approx((ends.low, ends.high), abs=0.12 * spread)


def test_a_mean_of_few_has_student_s_interval_and_one_picture_none() -> None:
    assert mean_intervals(np.array([[-2.5]]), seed=0) == []
    values = np.random.default_rng(4).normal(1, 2, (5, 2_000))
    found = mean_intervals(values, seed=0)
    other = stats.ttest_1samp(values[:, 0], 0).confidence_interval()
    assert (found[0].low, found[0].high) == pytest.approx((other.low, other.high))
    assert np.mean([one.low <= 1 <= one.high for one in found]) == pytest.approx(0.95, abs=0.015)
    assert {one.method for one in found} == {"Student's t"}
    assert mean_intervals(np.ones((30, 1)), seed=0)[0].method == "paired bootstrap"


def test_permutation_counts_ties_also_those_that_rounding_hides() -> None:
    draws = [0.1 + 0.2, 0.3, 0.2, -0.1, 0.31]
    assert at_least(0.3, draws) == at_least(0.1 + 0.2, draws) == 3
    assert permutation(0.3, draws) == 4 / 6
    assert permutation(9.0, [0.0] * 199) == 1 / 200


@given(st.lists(st.integers(-5, 5), min_size=4, max_size=40))
@settings(max_examples=25, deadline=None, derandomize=True, database=None)
def test_permutation_p_is_the_value_s_place_among_all(draws: list[int]) -> None:
    value, *others = draws
    assert permutation(value, others) == sum(one >= value for one in draws) / len(draws)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])


def test_a_band_is_the_central_draws() -> None:
    found = band([float(one) for one in range(201)])
    assert (found.low, found.median, found.high, found.draws) == (5, 100, 195, 201)
    assert band([0.5]).low == band([0.5]).high == 0.5


def test_log_odds_end_nowhere_but_stay_numbers() -> None:
    found = log_odds(np.array([0.0, 0.2, 0.5, 1.0]))
    assert found[1:3] == pytest.approx([np.log(0.25), 0.0])
    assert found[0] == pytest.approx(-found[3], rel=1e-4)
    assert -28 < found[0] < -27

"""Statistics: streamed or merged in any order they equal the published counts of the whole."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from beholder.errors import InvalidInput
from beholder.science.measure import measure
from beholder.science.statistics import ChannelStatistics, chosen_channels

WIDTHS = (4, 6)
pictures_with_ties = st.lists(
    st.tuples(*(st.lists(st.integers(0, 3), min_size=w, max_size=w) for w in WIDTHS)),
    min_size=1,
    max_size=8,
)


def strengths_of(pictures):
    return tuple(
        torch.tensor([picture[layer] for picture in pictures], dtype=torch.float32)
        for layer in range(len(WIDTHS))
    )


def gathered(pictures, positions, *, top=3, threshold=0.0):
    statistics = ChannelStatistics.empty(WIDTHS, top=top, threshold=threshold)
    statistics.update(strengths_of(pictures), positions)
    return statistics


def assert_same(one, other):
    assert one.n == other.n
    for layer in range(len(one.widths)):
        assert one.most_common(layer, 99) == other.most_common(layer, 99)
        assert np.array_equal(one.counts[layer], other.counts[layer])
        assert np.array_equal(one.maximum(layer), other.maximum(layer))
        assert np.allclose(one.mean(layer), other.mean(layer), rtol=1e-12)
        assert np.allclose(one.deviation(layer), other.deviation(layer), atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(pictures=pictures_with_ties, top=st.integers(1, 7), threshold=st.integers(0, 2))
def test_counts_as_published(reference, pictures, top, threshold):
    statistics = gathered(pictures, range(len(pictures)), top=top, threshold=threshold)
    expected = reference.counts(pictures, top, threshold)
    for layer in range(len(WIDTHS)):
        for n in (1, 3, 99):
            assert statistics.most_common(layer, n) == expected[layer].most_common(n)
    options = {"min_layer": 0, "most_common": 3, "threshold": 2}
    cut = chosen_channels(statistics, **options)
    assert {k: list(v) for k, v in cut.items()} == reference.chosen(expected, **options)


@settings(max_examples=40, deadline=None)
@given(pictures=pictures_with_ties, seed=st.integers(0, 1000), parts=st.integers(1, 4))
def test_any_order_equals_whole(pictures, seed, parts):
    whole = gathered(pictures, range(len(pictures)))
    shuffled = list(enumerate(pictures))
    random.Random(seed).shuffle(shuffled)
    streamed = ChannelStatistics.empty(WIDTHS, top=3)
    merged = ChannelStatistics.empty(WIDTHS, top=3)
    for part in range(parts):
        chunk = shuffled[part::parts]
        if not chunk:
            continue
        positions, rows = zip(*chunk, strict=True)
        streamed.update(strengths_of(rows), positions)
        piece = gathered(rows, positions)
        merged = piece.merge(merged) if seed % 2 else merged.merge(piece)
    assert_same(streamed, whole)
    assert_same(merged, whole)


@settings(max_examples=40, deadline=None)
@given(pictures=pictures_with_ties)
def test_bytes_there_and_back(pictures):
    statistics = gathered(pictures, range(len(pictures)), threshold=0.5)
    back = ChannelStatistics.from_bytes(statistics.to_bytes())
    assert (back.widths, back.top, back.threshold) == (WIDTHS, 3, 0.5)
    assert_same(back, statistics)
    assert_same(
        back.merge(gathered(pictures, range(8, 8 + len(pictures)), threshold=0.5)),
        statistics.merge(gathered(pictures, range(8, 8 + len(pictures)), threshold=0.5)),
    )


@settings(max_examples=40, deadline=None)
@given(pictures=pictures_with_ties)
def test_moments(pictures):
    statistics = gathered(pictures, range(len(pictures)))
    for layer in range(len(WIDTHS)):
        values = np.array([picture[layer] for picture in pictures], float)
        assert np.allclose(statistics.mean(layer), values.mean(axis=0))
        assert np.allclose(statistics.deviation(layer), values.std(axis=0), atol=1e-7)
        assert np.array_equal(statistics.maximum(layer), values.max(axis=0))


def test_merging_changes_neither_side():
    one, other = gathered([([1, 0, 0, 0], [0] * 6)], [0]), gathered([([0, 1, 0, 0], [0] * 6)], [1])
    assert one.merge(other).most_common(0, 9) == [(0, 1), (1, 1)]
    assert other.merge(one).most_common("conv1_1", 9) == [(0, 1), (1, 1)]
    assert one.most_common(0, 9) == [(0, 1)]
    assert one.n == other.n == 1


def test_of_no_pictures():
    empty = ChannelStatistics.empty(WIDTHS)
    empty.update((torch.zeros(0, 4), torch.zeros(0, 6)), [])
    assert empty.n == 0
    assert empty.mean(0).tolist() == empty.deviation(0).tolist() == empty.maximum(0).tolist()
    assert empty.most_common(0, 5) == []
    assert chosen_channels(empty, min_layer=0) == {}


@pytest.mark.parametrize(
    ("top", "threshold", "widths"), [(2, 0.0, WIDTHS), (3, 1.0, WIDTHS), (3, 0.0, (4, 7))]
)
def test_only_alike_merge(top, threshold, widths):
    with pytest.raises(InvalidInput, match="widths, top and threshold are the same"):
        gathered([([1] * 4, [1] * 6)], [0]).merge(
            ChannelStatistics.empty(widths, top=top, threshold=threshold)
        )


def test_wrong_shapes_and_positions():
    statistics = ChannelStatistics.empty(WIDTHS)
    with pytest.raises(InvalidInput, match="strengths of 2 pictures"):
        statistics.update((torch.zeros(1, 4), torch.zeros(1, 6)), [0, 1])
    with pytest.raises(InvalidInput, match="positions count from 0"):
        statistics.update((torch.zeros(1, 4), torch.zeros(1, 6)), [-1])
    assert statistics.n == 0


def test_damaged_bytes():
    data = gathered([([1] * 4, [1] * 6)], [0]).to_bytes()
    for broken in (b"", b"nonsense", data[: len(data) // 2]):
        with pytest.raises(InvalidInput, match="no channel statistics"):
            ChannelStatistics.from_bytes(broken)


def assert_chosen_parity(reference, network, pictures, **options):
    all_strengths = [reference.strengths(network.module, picture) for picture in pictures]
    expected = reference.counts(all_strengths)
    statistics = ChannelStatistics.empty(network.widths, top=10, threshold=0.0)
    for start in range(0, len(pictures), 2):
        batch = pictures[start : start + 2]
        positions = range(start, start + len(batch))
        statistics.update(measure(network, batch).strengths, positions)
    for layer in range(37):
        assert dict(statistics.most_common(layer, 9999)) == dict(expected[layer]), layer
        assert statistics.most_common(layer, 5) == expected[layer].most_common(5), layer
    cut = chosen_channels(statistics, **options)
    assert cut
    assert {k: list(v) for k, v in cut.items()} == reference.chosen(expected, **options)


def test_narrow_parity(reference, narrow, starts):
    assert_chosen_parity(reference, narrow, starts(5, 32))


@pytest.mark.slow
def test_random_parity(reference, random0, starts):
    assert_chosen_parity(reference, random0, starts(5, 64))


@pytest.mark.slow
def test_specimens_parity(reference, specimens, starts):
    assert_chosen_parity(reference, specimens, starts(5, 128))


@pytest.mark.slow
def test_photograph_parity(reference, random0, photographs):
    assert_chosen_parity(reference, random0, photographs("kelpies", 96))

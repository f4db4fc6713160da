"""Random sets: matched as they say, deterministic, and never smaller than what they stand for."""

import numpy as np
import pytest

from beholder.errors import InvalidChannel, InvalidInput
from beholder.science.draws import layer_matched, norm_matched

SET = {20: (3, 1, 9), 29: (0,), 35: ()}
WIDTHS = {20: 32, 29: 16, 35: 16}


def sizes(channels):
    return {layer: len(set(picked)) for layer, picked in channels.items() if picked}


def strengths_of(widths, seed=0):
    """Half of each layer's channels dead, the others spread."""
    generator = np.random.default_rng(seed)
    found = {}
    for layer, width in widths.items():
        row = generator.exponential(size=width)
        row[generator.permutation(width)[: width // 2]] = 0
        found[layer] = row
    return found


def test_as_many_of_each_layer():
    drawn = layer_matched(SET, WIDTHS, count=50, seed=1)
    assert len(drawn) == 50
    for channels in drawn:
        assert sizes(channels) == {20: 3, 29: 1}
        assert all(list(picked) == sorted(picked) for picked in channels.values())
        assert all(type(channel) is int for picked in channels.values() for channel in picked)


def test_every_channel_is_as_likely():
    drawn = layer_matched({20: (0, 1, 2, 3)}, WIDTHS, count=4_000, seed=0)
    counts = np.bincount([channel for channels in drawn for channel in channels[20]], minlength=32)
    assert abs(counts - 500).max() < 110, "five deviations of sqrt(4000 * 1/8 * 7/8)"


def test_draws_depend_on_seed_and_number_alone():
    strengths = strengths_of(WIDTHS)
    for some, more, other in (
        [layer_matched(SET, WIDTHS, count=n, seed=s) for n, s in ((19, 4), (60, 4), (19, 5))],
        [norm_matched(SET, strengths, count=n, seed=s) for n, s in ((19, 4), (60, 4), (19, 5))],
    ):
        assert more[:19] == some
        assert other != some
        assert len(set(map(str, more))) > 40
    assert layer_matched({20: (9, 3, 1)}, WIDTHS, count=3, seed=0) == layer_matched(
        {20: (1, 3, 9)}, WIDTHS, count=3, seed=0
    )


def test_a_convolutions_channels_are_its_relus_and_count_once():
    both = {19: (3, 1, 9), 20: (9, 3, 1), 28: (0,)}
    assert layer_matched(both, WIDTHS, count=5, seed=0) == layer_matched(
        SET, WIDTHS, count=5, seed=0
    )
    strengths = strengths_of(WIDTHS)
    assert norm_matched(both, strengths, count=5, seed=0) == norm_matched(
        SET, strengths, count=5, seed=0
    )


def test_excluded_channels_are_left_out():
    for channels in layer_matched(SET, WIDTHS, count=200, seed=0, exclude=SET):
        assert not set(channels[20]) & set(SET[20])
        assert channels[29] != SET[29]


def test_no_more_excluded_than_lacking():
    large = {29: tuple(range(10))}  # of 16: 6 others
    for channels in layer_matched(large, WIDTHS, count=20, seed=0, exclude=large):
        assert len(set(channels[29])) == 10
        assert set(channels[29]) >= set(range(10, 16))
    for channels in norm_matched(large, strengths_of(WIDTHS), count=20, seed=0):
        assert len(set(channels[29])) == 10
        assert set(channels[29]) >= set(range(10, 16))


def test_norm_matched_sets_are_like_the_set_in_strength():
    widths = {20: 256}
    strengths = strengths_of(widths)
    order = np.argsort(strengths[20])
    strong, dead = tuple(order[-60:-8:5].tolist()), tuple(order[:6].tolist())
    chosen = {20: strong + dead}
    for channels in norm_matched(chosen, strengths, count=40, seed=3):
        assert len(channels[20]) == 17
        assert not set(channels[20]) & set(chosen[20])
        found = np.sort(strengths[20][list(channels[20])])
        assert (found[:6] == 0).all()
        assert (found[6:] > 0).all(), "no dead channel stands for a strong one"
        assert found[6:].mean() == pytest.approx(strengths[20][list(strong)].mean(), rel=0.4)
    random = layer_matched(chosen, widths, count=40, seed=3)
    dead_ones = [(strengths[20][list(channels[20])] == 0).sum() for channels in random]
    assert np.mean(dead_ones) > 7, "which is what matching is for"


def test_nearest_is_the_width_of_the_window():
    strengths = {20: np.arange(32.0)}
    for channels in norm_matched({20: (16,)}, strengths, count=60, seed=0, nearest=2):
        assert channels[20] in ((15,), (17,))


@pytest.mark.parametrize(
    ("draw", "error", "words"),
    [
        (
            lambda: layer_matched({29: range(17)}, WIDTHS, count=1, seed=0),
            InvalidChannel,
            "relu5_1 has 16 channels; got 17",
        ),
        (
            lambda: norm_matched({29: (16,)}, strengths_of(WIDTHS), count=1, seed=0),
            InvalidChannel,
            "relu5_1 has channels 0-15; got 16",
        ),
        (lambda: layer_matched(SET, WIDTHS, count=-1, seed=0), InvalidInput, "got -1"),
    ],
)
def test_mistakes_are_named(draw, error, words):
    with pytest.raises(error, match=words):
        draw()

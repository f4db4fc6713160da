"""The yardstick does what it is measured against: the same pictures and the same counts."""

import pytest
import torch

from beholder.science.dream import dream, dream_layers
from beholder.science.inputs import noise
from beholder.science.measure import measure
from beholder.science.networks import load_network
from beholder.science.statistics import ChannelStatistics
from benchmarks.article import Article

SIZE = 32


@pytest.fixture(scope="module")
def network():
    return load_network("specimens")


@pytest.fixture(scope="module")
def article(network):
    return Article(network.module)


@pytest.fixture
def start():
    return noise(3, size=SIZE).abs()


@pytest.mark.slow
@pytest.mark.parametrize("layer", [5, 28, 35])
def test_a_dream_is_the_same(network, article, start, layer):
    theirs = article.dream(start, layer=layer, steps=5, learning_rate=0.5)
    ours = dream(network, start[None], layer=layer, steps=5, learning_rate=0.5)
    assert (ours.pictures[0] - theirs).abs().max() < 1e-4
    assert (theirs - start).abs().max() > 1e-3, "nothing was dreamt"


@pytest.mark.slow
def test_every_layer_from_one_start_is_the_same(network, article, start):
    theirs = article.dream_layers(start, steps=1, learning_rate=5.0)
    ours = dream_layers(network, start[None], layers=range(37), steps=1, learning_rate=5.0)
    assert len(theirs) == len(ours) == 37
    for layer, picture in enumerate(theirs):
        assert (ours[layer].pictures[0] - picture).abs().max() < 1e-4, layer
        assert (picture - start).abs().max() > 1e-3, layer


@pytest.mark.slow
def test_depths_are_the_snapshots_of_one_run(network, article, start):
    theirs = article.dream_depths(start, layer=12, depths=[1, 3], learning_rate=0.5)
    ours = dream(network, start[None], layer=12, steps=3, snapshots=[1], learning_rate=0.5)
    for step, picture in zip([1, 3], theirs, strict=True):
        assert (ours.snapshots[step][0] - picture).abs().max() < 1e-4


@pytest.mark.slow
def test_the_counts_are_the_same(network, article):
    pictures = torch.stack([noise(seed, size=SIZE).abs() for seed in range(2)])
    theirs = article.counts(pictures)
    ours = ChannelStatistics.empty(network.widths)
    ours.update(measure(network, pictures).strengths, positions=range(2))
    for layer, counts in enumerate(ours.counts):
        assert {c: n for c, n in enumerate(counts.tolist()) if n} == dict(theirs[layer]), layer


@pytest.mark.slow
def test_it_pays_for_weight_gradients_and_leaves_the_network_alone(network, article, start):
    article.dream(start, layer=12, steps=1)
    assert article.module.features[0].weight.grad is not None
    assert network.module.features[0].weight.grad is None
    assert not any(module._forward_hooks for module in network.module.modules())

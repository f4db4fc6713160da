"""Choosing by cause: planted channels, redundant ones, and what siblings need."""

import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from beholder.errors import InvalidInput
from beholder.science.ablation import Ablation
from beholder.science.attribution import Attribution, Attributor, attribution
from beholder.science.greedy import contrastive, gradient, iterative, needed_by
from beholder.science.inputs import to_tensor
from beholder.science.measure import measure
from beholder.science.networks import load_network
from beholder.science.scores import auroc, best, candidates, counts, effect_size
from beholder.science.single import single
from beholder.science.sweep import sweep
from beholder.specimens.draw import draw

LAST = 35
ALWAYS, UNREAD, QUIET, LOUD = 3, 5, 7, 9  # channels of the last ReLU that get a planted part
TARGET = "honeycomb"


def drawn(label, seeds):
    return torch.stack([to_tensor(draw(label, seed=seed, size=128), size=64) for seed in seeds])


@pytest.fixture(scope="module")
def pictures():
    """Targets (6, 3, 64, 64), and controls of five other classes with their labels."""
    others = ("bricks", "grid", "spiral", "star", "dots")
    controls = torch.cat([drawn(label, range(9_000, 9_003)) for label in others])
    return drawn(TARGET, range(9_000, 9_006)), controls, [label for label in others for _ in "123"]


@pytest.fixture(scope="module")
def planted(specimens, pictures):
    """`specimens` with four channels of the last ReLU made into something else.

    QUIET: the one that does most for the class, with a thousandth of its activation and a thousand
    times its weights on the way out. UNREAD: a copy of it, loud, which nothing reads.
    ALWAYS: a large constant that raises all classes alike.
    """
    target = specimens.labels.index(TARGET)
    found = attribution(specimens, pictures[0], [target] * 6, layers=[LAST])
    source = int(gradient(found)[LAST].argmax())
    assert source not in (ALWAYS, UNREAD, QUIET)
    network = load_network("specimens")
    conv, linear = network.module.features[LAST - 1], network.module.classifier[0]
    with torch.no_grad():
        weight, bias, out = conv.weight[source].clone(), conv.bias[source], linear.weight[:, source]
        conv.weight[UNREAD], conv.bias[UNREAD], linear.weight[:, UNREAD] = 2 * weight, 2 * bias, 0
        conv.weight[QUIET], conv.bias[QUIET] = weight / 1000, bias / 1000
        linear.weight[:, QUIET] = 1000 * out
        conv.weight[source] = conv.bias[source] = 0
        conv.weight[ALWAYS], conv.bias[ALWAYS], linear.weight[:, ALWAYS] = 0, 100, 0.01
    return network


@pytest.fixture(scope="module")
def ranks(planted, pictures):
    """By method, the place of each of the last ReLU's channels, 0 the best."""
    targets, controls, labels = pictures
    target = planted.labels.index(TARGET)
    own = [planted.labels.index(label) for label in labels]
    ours, theirs = (measure(planted, part).strengths[LAST].numpy() for part in pictures[:2])
    kept = Attributor(planted, targets, [target] * len(targets), layers=[LAST])
    first = gradient(kept.attribution())
    needed = needed_by(attribution(planted, controls, own, layers=[LAST]), own, target=target)
    scores = {
        "count": counts(ours),
        "effect": effect_size(ours, theirs),
        "auroc": auroc(ours, theirs),
        "gradient": first[LAST],
        "contrastive": contrastive(first, needed)[LAST],
        "single": single(planted, targets, target, layers=[LAST])[LAST],
    }
    found = {method: best({LAST: row}, 128) for method, row in scores.items()}
    found["iterative"] = iterative(kept, needed, most=12, at_once=2)
    return {
        method: [channel for _, channel, _ in ranking].index for method, ranking in found.items()
    }, found


@pytest.mark.parametrize("method", ["gradient", "contrastive", "iterative", "single"])
def test_cause_finds_the_quiet_one_and_refuses_the_unread(ranks, method):
    place, found = ranks
    assert place[method](QUIET) == 0
    scores = {channel: score for _, channel, score in found[method]}
    for channel in (UNREAD, ALWAYS):
        assert scores.get(channel, 0.0) == pytest.approx(0, abs=1e-3)
    assert method != "iterative" or not {UNREAD, ALWAYS} & set(scores)


def test_counting_takes_what_is_always_on(ranks):
    place, _ = ranks
    assert place["count"](ALWAYS) < 10
    assert place["count"](UNREAD) < 10
    assert place["count"](QUIET) > 10


@pytest.mark.parametrize("method", ["effect", "auroc"])
def test_contrast_refuses_the_always_on_and_takes_the_unread(ranks, method):
    place, found = ranks
    assert place[method](UNREAD) < 10
    assert place[method](ALWAYS) > 10
    # Blind to size: the quiet one and its loud copy are the same to them.
    scores = {channel: score for _, channel, score in found[method]}
    assert scores[QUIET] == pytest.approx(scores[UNREAD], rel=1e-3)
    assert scores[ALWAYS] == pytest.approx({"effect": 0, "auroc": 0.5}[method], abs=1e-3)


@pytest.fixture(scope="module")
def redundant(make_state, tmp_path_factory):
    """A network whose class 0 lives on the larger of two channels, 0 and 1 of relu5_3, and on 2.

    Channels 0, 1, 2 are 2.0, 1.5 and 1.0 whatever is shown. relu5_4 has max(0 - 1, 0), and 1, which
    together are the larger of the two, and 2. Class 0's logit is their sum less a half of 2.
    """
    state = make_state(divisor=32)
    for index in (32, 34):
        state[f"features.{index}.weight"].zero_()
        state[f"features.{index}.bias"].zero_()
    state["features.32.bias"][:3] = torch.tensor([2.0, 1.5, 1.0])
    taps = state["features.34.weight"][:, :, 1, 1]
    taps[0, 0], taps[0, 1], taps[1, 1], taps[2, 2] = 1, -1, 1, 1
    state["classifier.0.weight"].zero_()
    state["classifier.0.bias"].zero_()
    state["classifier.0.weight"][0, :3] = torch.tensor([1.0, 1.0, 0.5])
    path = tmp_path_factory.mktemp("redundant") / "redundant.safetensors"
    labels = json.dumps(["ant", "bee", "cat", "dog", "eel", "fox"])
    save_file(state, path, {"labels": labels, "avgpool": "1", "architecture": "vgg19"})
    return load_network(str(path))


def test_iterative_finds_the_stand_in_as_brute_force_does(redundant, starts):
    pictures = starts(2, 32)
    kept = Attributor(redundant, pictures, [0, 0], layers=[33])
    once = best(gradient(kept.attribution()), 2)
    none = {33: np.zeros(redundant.widths[33])}
    told = []
    found = iterative(kept, none, most=2, at_once=1, on_part=told.append)
    pairs = list(combinations(range(redundant.widths[33]), 2))
    swept = sweep(redundant, pictures, [Ablation({33: pair}) for pair in pairs], target=0)
    brute = pairs[int(swept.margin[1:].mean(axis=1).argmin())]
    assert brute == (0, 1)
    assert [(layer, channel) for layer, channel, _ in found] == [(33, 0), (33, 1)]
    assert [score for *_, score in found] == pytest.approx([2.0, 1.5])
    assert [channel for _, channel, _ in once] == [0, 2]  # in one look the stand-in does nothing
    assert told == [0.5, 1.0]
    # Two at once is one look, and what does nothing is never taken.
    assert [channel for _, channel, _ in iterative(kept, none, most=2, at_once=2)] == [0, 2]
    assert len(iterative(kept, none, most=9, at_once=2)) == 3
    # A layer that is full leaves the rest to others, also within one look.
    both = Attributor(redundant, pictures, [0, 0], layers=[31, 33])
    nothing = {layer: np.zeros(redundant.widths[layer]) for layer in (31, 33)}
    free = iterative(both, nothing, most=4, at_once=4)
    capped = iterative(both, nothing, most=4, of_each=1, at_once=4)
    firsts = dict.fromkeys(layer for layer, _, _ in free)
    assert [layer for layer, _, _ in capped][: len(firsts)] == list(firsts)
    assert len(capped) == len({layer for layer, _, _ in capped}) < len(free)


def test_what_one_sibling_needs_is_spared():
    """Channel 0 is needed by one class of ten, channel 1 a little by each, 2 is in their way."""
    rows = np.zeros((20, 3))
    rows[:2, 0], rows[2:4, 0], rows[:, 1], rows[:, 2] = 3.0, -3.0, 0.04, -5.0
    labels = [index // 2 for index in range(20)]
    controls = Attribution({33: rows}, np.full(20, 4.0))
    needed = needed_by(controls, labels, target=11)
    assert needed[33].tolist() == pytest.approx([0.75, 0.1, 0.0])
    scores = contrastive({33: np.array([2.0, 1.0, 0.3])}, needed)
    assert [channel for _, channel, _ in best(scores, 3)] == [1, 2, 0]
    # Whose margin is small can spare less; what is lost to chance below a nat counts as a nat.
    for margin, share in ((2.0, 1.5), (0.5, 3.0), (-1.0, 3.0)):
        unsure = replace(controls, margin=np.full(20, margin))
        assert needed_by(unsure, labels, target=11)[33][0] == pytest.approx(share)
    # Pictures of the target's own class among the controls ask for nothing.
    assert needed_by(controls, labels, target=0)[33].tolist() == pytest.approx([0, 0.09, 0])
    alone = Attribution({33: rows[:2]}, np.ones(2))
    assert needed_by(alone, [4, 4], target=4)[33].max() == 0


def test_an_end_from_outside(redundant, starts):
    def stop(done):
        raise KeyboardInterrupt

    kept = Attributor(redundant, starts(1, 32), [0], layers=candidates())
    none = {layer: np.zeros(redundant.widths[layer]) for layer in candidates()}
    with pytest.raises(KeyboardInterrupt):
        iterative(kept, none, most=2, on_part=stop)
    with pytest.raises(KeyboardInterrupt):
        single(redundant, starts(1, 32), 0, layers=[33], on_part=stop)
    assert not any(part._forward_hooks for part in redundant.module.modules())
    with pytest.raises(InvalidInput, match="got 0, 0 and 2"):
        iterative(kept, none, most=0)
    with pytest.raises(InvalidInput, match="one picture"):
        single(redundant, torch.zeros(0, 3, 32, 32), 0, layers=[33])

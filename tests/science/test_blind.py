"""Blinding: the same logits as the reference, and no hook left, whatever happens inside."""

import pytest
import torch

from beholder.errors import InvalidChannel, InvalidInput, InvalidLayer, PictureError
from beholder.science.blind import (
    before_and_after,
    blinded,
    classify,
    classify_onward,
    verdicts,
)
from beholder.science.measure import measure

CUT = {20: (1, 3), 21: (1, 3), 28: (0, 5, 7), 36: (2,)}


def hooks(network):
    return sum(len(part._forward_hooks) for part in network.module.modules())


def assert_parity(reference, network, pictures):
    intact = classify(network, pictures)
    with blinded(network, CUT):
        blind = classify(network, pictures)
    assert not torch.allclose(intact, blind, atol=1e-6)
    for row, picture in enumerate(pictures):
        for found, cut in ((intact, {}), (blind, CUT)):
            expected = reference.blind_logits(network.module, picture, cut)
            assert torch.allclose(found[row], expected, rtol=1e-4, atol=1e-5)


def test_narrow_parity(reference, narrow, starts):
    assert_parity(reference, narrow, starts(3, 32))


@pytest.mark.slow
def test_random_parity(reference, random0, starts):
    assert_parity(reference, random0, starts(2, 64))


@pytest.mark.slow
def test_specimens_parity(reference, specimens, starts):
    assert_parity(reference, specimens, starts(3, 128))


def test_exactly_those_channels_are_zero(narrow, starts):
    intact = measure(narrow, starts(2, 32)).strengths
    with blinded(narrow, {10: [0, 4]}):
        found = measure(narrow, starts(2, 32)).strengths
        raw = measure(narrow, starts(2, 32), pre_relu=True).strengths
    for rows in (found[10], found[11], raw[10]):
        assert (rows[:, [0, 4]] == 0).all()
    others = [channel for channel in range(narrow.widths[10]) if channel not in (0, 4)]
    assert torch.equal(found[10][:, others], intact[10][:, others])
    for layer in range(10):
        assert torch.equal(found[layer], intact[layer])


def test_gone_afterwards(narrow, starts):
    before = classify(narrow, starts(1, 32))
    with blinded(narrow, CUT) as same:
        assert same is narrow
        assert hooks(narrow) == len(CUT)
        with blinded(narrow, {0: [0]}):
            assert hooks(narrow) == len(CUT) + 1
        assert hooks(narrow) == len(CUT)
    assert hooks(narrow) == 0
    assert torch.equal(classify(narrow, starts(1, 32)), before)


def test_gone_after_an_error(narrow):
    with pytest.raises(RuntimeError, match="inside"), blinded(narrow, CUT):
        raise RuntimeError("inside")
    assert hooks(narrow) == 0


def test_gone_after_an_error_while_registering(narrow, monkeypatch):
    def refuse(hook):
        raise RuntimeError("no room for a hook")

    monkeypatch.setattr(narrow.module.features[28], "register_forward_hook", refuse)
    with pytest.raises(RuntimeError, match="no room"), blinded(narrow, CUT):
        pass
    assert hooks(narrow) == 0


def test_not_before_entering(narrow):
    blinded(narrow, CUT)
    assert hooks(narrow) == 0


@pytest.mark.parametrize(
    ("channels", "error", "words"),
    [
        ({20: [1], 37: [0]}, InvalidLayer, "no layer '37'"),
        ({20: [1], 21: [64]}, InvalidChannel, "conv4_2 has channels 0-63 in .*; got 64"),
        ({20: [-1]}, InvalidChannel, "got -1"),
    ],
)
def test_mistakes_are_named(narrow, channels, error, words):
    with pytest.raises(error, match=words), blinded(narrow, channels):
        pass
    assert hooks(narrow) == 0


def test_nothing_to_blind(narrow, starts):
    with blinded(narrow, {20: []}):
        assert hooks(narrow) == 0


def test_verdicts(narrow):
    logits = torch.tensor([[0.0, 2.0, 1.0, -1.0, 3.0, 0.5], [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]])
    first, second = verdicts(narrow, logits)
    softmax = logits[0].softmax(0)
    assert (first.label, first.index) == ("eel", 4)
    assert first.confidence == pytest.approx(softmax[4].item())
    assert [label for label, _ in first.top5] == ["eel", "bee", "cat", "fox", "ant"]
    assert first.top5[1][1] == pytest.approx(softmax[1].item())
    assert second.label == "ant", "the lower index wins a tie"


def test_verdicts_of_another_networks_logits(narrow):
    with pytest.raises(InvalidInput, match=r"are \(B, 6\); got \(1, 1000\)"):
        verdicts(narrow, torch.zeros(1, 1000))


def test_before_and_after(narrow, starts):
    pictures = starts(2, 32)
    pairs = before_and_after(narrow, pictures, CUT)
    assert [intact for intact, _ in pairs] == verdicts(narrow, classify(narrow, pictures))
    with blinded(narrow, CUT):
        assert [blind for _, blind in pairs] == verdicts(narrow, classify(narrow, pictures))


def test_classifies_in_evaluation_mode_and_restores_training(narrow, starts):
    before = classify(narrow, starts(1, 32))
    narrow.module.train()
    try:
        assert torch.equal(classify(narrow, starts(1, 32)), before)
        assert narrow.module.training
    finally:
        narrow.module.eval()


@pytest.mark.parametrize("precision", ["float32", "exact"])
def test_from_kept_maps_to_the_bit(narrow, starts, precision):
    pictures, shown = starts(3, 48), {}

    def look(layer, maps):
        shown.setdefault(layer, []).append(maps)

    measure(narrow, pictures, precision=precision, on_maps=look)
    for pool in (4, 9, 18, 27):
        with blinded(narrow, {pool + 1: [1], 28: [0, 5], 36: [2]}):
            whole = classify(narrow, pictures, precision=precision)
            rest = classify_onward(narrow, pool, torch.cat(shown[pool]), precision=precision)
        assert torch.equal(whole, rest)


def test_from_what_are_no_kept_maps(narrow):
    width = narrow.widths[18]
    for shape in ((1, 3, 6, 6), (0, width, 6, 6), (1, width, 3, 6), (width, 6, 6)):
        with pytest.raises(InvalidInput, match=r"maps of pool3 are \(B, 32, h, w\).*; got"):
            classify_onward(narrow, 18, torch.zeros(shape))
    for layer in (17, 36, 37, -1):
        with pytest.raises(InvalidInput, match=f"layer {layer} is no pool that others follow"):
            classify_onward(narrow, layer, torch.zeros(1, width, 6, 6))


def test_too_small_a_picture(narrow):
    with pytest.raises(PictureError, match="too small"):
        classify(narrow, torch.zeros(1, 3, 16, 64))

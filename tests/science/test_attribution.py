"""Gradient x activation: as Captum has it, under cuts, in batches, and nothing left behind."""

import numpy as np
import pytest
import torch
from captum.attr import LayerFeatureAblation, LayerGradientXActivation
from torch import nn

from beholder.errors import InvalidChannel, InvalidInput, InvalidLayer, PictureError
from beholder.science import attribution as module
from beholder.science.ablation import Ablation, ablated
from beholder.science.attribution import Attributor, attribution, margins
from beholder.science.fills import Fills
from beholder.science.scores import candidates
from beholder.science.single import single

LAYERS = (22, 29, 35)
CUT = {22: (0, 5), 28: (2,), 29: (2, 4), 35: (1, 7)}
CLASSES = [2, 0, 5, 2]


class Margins(nn.Module):
    """A network whose outputs are all classes' margins, as Captum wants it."""

    def __init__(self, network):
        super().__init__()
        self.module = network.module

    def forward(self, pictures):
        logits = self.module(pictures)
        every = [torch.full((len(logits),), index) for index in range(logits.shape[1])]
        return torch.stack([margins(logits, classes) for classes in every], dim=1)


def by_captum(network, pictures, classes, layer):
    method = LayerGradientXActivation(Margins(network), network.module.features[layer])
    found = method.attribute(pictures, target=torch.tensor(classes))
    return found.sum(dim=(2, 3)).detach().numpy()


def assert_same(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("without", [{}, CUT])
@pytest.mark.parametrize("precision", ["float32", "exact"])
def test_as_captums(narrow, starts, without, precision):
    pictures = starts(4, 64)
    found = attribution(
        narrow, pictures, CLASSES, layers=LAYERS, without=without, precision=precision
    )
    with ablated(narrow, Ablation(without)):
        expected = {layer: by_captum(narrow, pictures, CLASSES, layer) for layer in LAYERS}
        logits = narrow.module(pictures)
    assert list(found.parts) == list(LAYERS)
    for layer in LAYERS:
        assert np.abs(expected[layer]).max() > 0
        assert_same(found.parts[layer], expected[layer])
        assert not found.parts[layer][:, list(without.get(layer, ()))].any()
    np.testing.assert_allclose(
        found.margin, margins(logits, torch.tensor(CLASSES)).numpy(), rtol=1e-4
    )


def test_as_captums_on_specimens(specimens, starts):
    pictures = starts(2, 64)
    found = attribution(specimens, pictures, [6, 3], layers=candidates())
    for layer in (20, 35):
        assert_same(found.parts[layer], by_captum(specimens, pictures, [6, 3], layer))


@pytest.mark.slow
def test_single_as_captums_ablation(narrow, starts):
    pictures = starts(2, 32)
    told = []
    found = single(narrow, pictures, 2, layers=(32, 35), on_part=told.append)
    for layer in (33, 35):
        maps = torch.arange(narrow.widths[layer]).view(1, -1, 1, 1)
        method = LayerFeatureAblation(Margins(narrow), narrow.module.features[layer])
        with torch.no_grad():
            expected = method.attribute(pictures, target=2, layer_mask=maps.expand(-1, -1, 2, 2))
        assert_same(found[layer], expected.mean(dim=0)[:, 0, 0].numpy())
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1)


def test_a_gradient_is_what_a_small_change_does(narrow, starts):
    """Halving towards the cut's way: attribution / 1000 is what 0.999 of a channel costs."""
    pictures = starts(2, 64).double()
    found = attribution(narrow, pictures, [2, 2], layers=(29,), precision="float64")
    channel = int(np.abs(found.parts[29]).sum(axis=0).argmax())
    narrow.module.double()
    try:
        with ablated(narrow, Ablation({29: (channel,)}, mode="scale", alpha=0.999)):
            after = margins(narrow.module(pictures), torch.tensor([2, 2])).numpy()
    finally:
        narrow.module.float()
    np.testing.assert_allclose(
        (found.margin - after) * 1000, found.parts[29][:, channel], rtol=0.02
    )


@pytest.mark.slow
def test_batches_memory_and_a_second_look_change_nothing(narrow, starts, monkeypatch):
    pictures, classes = starts(5, 32), [0, 1, 2, 3, 4]
    whole = Attributor(narrow, pictures, classes, layers=candidates())
    expected = whole.attribution(CUT)
    monkeypatch.setattr(module, "_CPU_BYTES", 1)
    for memory in (0, 1, 10**9):
        calls = []
        parts = Attributor(
            narrow,
            pictures,
            classes,
            layers=candidates(),
            memory=memory,
            on_part=lambda calls=calls: calls.append(1),
        )
        intact = parts.attribution()
        again = parts.attribution(CUT)
        assert len(parts._kept) == {0: 0, 1: 1, 10**9: 5}[memory]
        assert len(calls) == len(parts._kept) + 10
        for layer in candidates():
            assert_same(again.parts[layer], expected.parts[layer])
            assert np.array_equal(parts.attribution().parts[layer], intact.parts[layer])


def test_normalized_pictures(narrow, starts):
    pictures = starts(2, 64)
    moved = (pictures - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor(
        [0.229, 0.224, 0.225]
    ).view(3, 1, 1)
    found = attribution(narrow, pictures, [1, 2], layers=[33], normalize=True)
    assert_same(found.parts[33], by_captum(narrow, moved, [1, 2], 33))


def test_hooks_of_others_are_run(narrow, starts):
    pictures = starts(2, 64)
    fills = Fills.known(narrow, {22: {3: 0.5}})
    with ablated(narrow, Ablation({22: (3,)}, mode="mean"), fills):
        found = attribution(narrow, pictures, [1, 2], layers=[33])
        assert_same(found.parts[33], by_captum(narrow, pictures, [1, 2], 33))


def test_nothing_is_left_behind(narrow, starts):
    pictures = starts(2, 64)
    before = {name: weight.clone() for name, weight in narrow.module.state_dict().items()}
    shown = pictures.clone()

    def stop():
        raise KeyboardInterrupt

    for precision in ("float32", "exact"):
        attribution(narrow, pictures, [1, 2], layers=[22], without=CUT, precision=precision)
        kept = Attributor(narrow, pictures, [1, 2], layers=[22], precision=precision)
        kept._on_part = stop
        with pytest.raises(KeyboardInterrupt):
            kept.attribution(CUT)
    assert torch.equal(pictures, shown)
    assert all(
        torch.equal(weight, before[name]) for name, weight in narrow.module.named_parameters()
    )
    assert all(
        weight.grad is None and not weight.requires_grad for weight in narrow.module.parameters()
    )
    assert not any(part._forward_hooks for part in narrow.module.modules())
    assert not any(part.training for part in narrow.module.modules())


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"classes": [1]}, InvalidInput, "got 1 for 2"),
        ({"classes": [1, 6]}, InvalidInput, "classes 0-5; got 6"),
        ({"layers": []}, InvalidInput, "name one at least"),
        ({"layers": [37]}, InvalidLayer, "37"),
        ({"without": {20: (1,)}}, InvalidInput, "relu4_1 is below"),
        ({"without": {22: (64,)}}, InvalidChannel, "0-63 in .*; got 64"),
        ({"pictures": torch.zeros(0, 3, 64, 64), "classes": []}, InvalidInput, "got 0 for 0"),
        ({"pictures": torch.zeros(2, 3, 16, 64)}, PictureError, "64 x 16"),
    ],
)
def test_mistakes_are_named(narrow, starts, options, error, words):
    given = {"pictures": starts(2, 64), "classes": [1, 2], "layers": [22], **options}
    with pytest.raises(error, match=words):
        attribution(narrow, given.pop("pictures"), given.pop("classes"), **given)

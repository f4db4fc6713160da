"""The prepared layers: as near to the true gradient as autograd, whatever the layer or batch."""

import copy
from weakref import WeakKeyDictionary

import pytest
import torch

from beholder.errors import InvalidSpec
from beholder.layers import LAYERS, find_layer
from beholder.science import prefix as prefixes
from beholder.science import stages
from beholder.science.blind import blinded, classify
from beholder.science.dream import dream, dream_layers
from beholder.science.measure import measure
from beholder.science.networks import depth_of
from beholder.science.prefix import arithmetic, prefix_of

# Shares of the gradient's norm. In float32 a near tie of a ReLU or pool may fall the other way, for
# autograd just as well, and moves some of the gradient; float64 shows that there is no more to it.
ERRORS = {"float64": 1e-12, "float32": 0.03, "bf16": 0.5}


def true_gradient(network, pictures, depth, channels=None):
    """Norms (B,) and gradient, by autograd in float64."""
    modules = copy.deepcopy(network.module.features[:depth]).double()
    pictures = pictures.double().requires_grad_()
    maps = modules(pictures)
    norms = (maps if channels is None else maps[:, channels]).flatten(1).norm(dim=1)
    return norms, torch.autograd.grad(norms.sum(), pictures)[0]


def prefix(network, precision="float32"):
    return prefix_of(network.module, network.device, precision)


def error(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


def assert_true(network, pictures, depth, channels=None, precisions=("float64", "float32")):
    index = None if channels is None else torch.tensor(channels)
    expected_norms, expected = true_gradient(network, pictures, depth, channels)
    for precision in precisions:
        norms, gradient = prefix(network, precision).gradient(pictures, depth, index)
        kind = torch.float64 if precision == "float64" else torch.float32
        assert gradient.dtype == norms.dtype == kind
        assert error(norms, expected_norms) < min(ERRORS[precision], 0.01)
        assert error(gradient, expected) < ERRORS[precision]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_every_layer_has_the_true_gradient(narrow, starts, layer):
    for pre_relu in (False, True):
        assert_true(narrow, starts(2, 48), depth_of(layer, pre_relu=pre_relu))


@pytest.mark.parametrize("size", [(33, 47), (32, 64), (63, 35)])
def test_odd_sizes(narrow, starts, size):
    assert_true(narrow, starts(2, 64)[:, :, : size[0], : size[1]], 37)


def test_channels(narrow, starts):
    assert_true(narrow, starts(2, 48), 29, [5, 0, 17])


def test_bf16_is_near(narrow, starts):
    assert_true(narrow, starts(2, 48), 30, precisions=["bf16"])


@pytest.mark.parametrize("layer", [35, "pool4"])
def test_the_published_dream_to_the_last_digit(reference, narrow, starts, layer):
    module = copy.deepcopy(narrow.module).double()
    picture = starts(1, 48)
    published = reference.dream(
        module, picture[0].double(), layer=find_layer(layer).index, learning_rate=0.02
    )
    found = dream(narrow, picture, layer=layer, learning_rate=0.02, precision="float64")
    assert (found.pictures[0] - published[-1]).abs().max() < 1e-9
    assert (found.pictures - picture).abs().max() > 1e-3, "nothing was dreamt"


@pytest.mark.slow
@pytest.mark.parametrize("depth", [2, 13, 29, 37])
def test_random_has_the_true_gradient(random0, starts, depth):
    assert_true(random0, starts(2, 48), depth)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [2, 13, 29, 37])
def test_specimens_has_the_true_gradient(specimens, starts, depth):
    assert_true(specimens, starts(2, 112), depth)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_on_a_cpu_a_batch_changes_no_bit(narrow, starts, precision):
    pictures = starts(5, 48)
    together = dream(narrow, pictures, layer=30, steps=8, precision=precision)
    for row, picture in enumerate(pictures):
        alone = dream(narrow, picture[None], layer=30, steps=8, precision=precision)
        assert torch.equal(together.pictures[row], alone.pictures[0])
        assert torch.equal(together.objective[:, row], alone.objective[:, 0])


@pytest.mark.slow
def test_large_batches_go_in_pieces(specimens, starts):
    pictures = starts(12, 224)
    assert len(prefix(specimens).pieces(pictures)) > 1
    together = measure(specimens, pictures)
    alone = measure(specimens, pictures[7:8])
    for rows, row in zip(together.strengths, alone.strengths, strict=True):
        assert torch.equal(rows[7], row[0])


def test_normalized_pictures_have_the_true_gradient(narrow, starts):
    def moved(**options):
        return dream(narrow, starts(1, 48), layer=11, steps=1, learning_rate=1e-3, **options)

    fast = moved(normalize=True).pictures
    exact = moved(normalize=True, precision="exact").pictures
    assert torch.allclose(fast, exact, atol=1e-6)
    assert not torch.allclose(fast, moved().pictures, atol=1e-5)


def test_zeroed_channels_stop_the_gradient(narrow, starts):
    pictures = starts(2, 48)
    cuts = {28: [1, 3], 20: [0, 2], 18: [4], 11: [7], 0: [1]}
    with blinded(narrow, cuts):
        fast = dream(narrow, pictures, layer=30, steps=1)
        exact = dream(narrow, pictures, layer=30, steps=1, precision="exact")
        logits = classify(narrow, pictures)
        expected = classify(narrow, pictures, precision="exact")
    assert torch.allclose(fast.objective, exact.objective, rtol=1e-5)
    assert torch.allclose(fast.pictures, exact.pictures, atol=1e-6)
    assert torch.allclose(logits, expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(logits, classify(narrow, pictures), rtol=1e-3)


def test_hooks_of_others_are_run(narrow, starts):
    seen = []
    handle = narrow.module.features[5].register_forward_hook(lambda *_: seen.append(1))
    try:
        dream(narrow, starts(1, 48), layer=8, steps=2)
        measure(narrow, starts(1, 48))
    finally:
        handle.remove()
    assert len(seen) == 3
    assert prefix(narrow) is not None


def test_changed_weights_are_noticed(narrow, starts):
    pictures = starts(1, 48)
    before = measure(narrow, pictures).strengths[0]
    weight = narrow.module.features[0].weight
    with torch.no_grad():
        weight.mul_(2)
        try:
            doubled = measure(narrow, pictures).strengths[0]
        finally:
            weight.div_(2)
    assert not torch.allclose(doubled, before, rtol=0.1)
    assert torch.equal(measure(narrow, pictures).strengths[0], before)


def test_a_silent_picture_has_no_gradient(narrow, starts):
    with blinded(narrow, {11: range(narrow.widths[11])}):
        found = dream(narrow, starts(2, 48), layer=11, steps=2)
    assert (found.objective == 0).all()
    assert torch.equal(found.pictures, starts(2, 48).clamp(0, 1))


def test_a_convolution_and_its_relu_are_dreamt_once(narrow, starts):
    steps = []
    found = dream_layers(narrow, starts(1, 48), layers=[28, 29, 4], steps=3, on_step=steps.append)
    assert list(found) == [28, 29, 4]
    assert found[28] is found[29]
    assert steps == [1, 2, 3, 6, 7, 8, 9]
    apart = dream_layers(narrow, starts(1, 48), layers=[28, 29], steps=3, pre_relu=True)
    assert not torch.equal(apart[28].pictures, apart[29].pictures)


@pytest.mark.parametrize("precision", ["float32", "tf32"])
def test_a_gpus_arithmetic_leaves_torchs_older_switch_readable(precision):
    cudnn = torch.backends.cudnn
    before = cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision, cudnn.allow_tf32
    with arithmetic(torch.device("cuda"), precision):
        assert cudnn.conv.fp32_precision == ("tf32" if precision == "tf32" else "ieee")
        assert cudnn.allow_tf32 == (precision == "tf32")
    assert (cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision, cudnn.allow_tf32) == before


def test_a_gpus_arithmetic_leaves_mixed_switches_as_they_were():
    cudnn = torch.backends.cudnn
    cudnn.rnn.fp32_precision = "ieee"
    try:
        with arithmetic(torch.device("cuda"), "float32"):
            assert cudnn.conv.fp32_precision == "ieee"
        assert (cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision) == ("tf32", "ieee")
    finally:
        cudnn.rnn.fp32_precision = "tf32"
    assert cudnn.allow_tf32


def test_tf32_needs_a_gpu(narrow, starts):
    with pytest.raises(InvalidSpec, match="tf32 needs a CUDA GPU"):
        dream(narrow, starts(1, 48), steps=1, precision="tf32")


def test_without_the_fused_operations_it_is_the_same(narrow, starts, monkeypatch):
    fused = prefix(narrow).gradient(starts(2, 48), 30, None)[1]
    monkeypatch.setattr(stages, "_FUSED", "of_another_torch")
    monkeypatch.setattr(prefixes, "_PREPARED", WeakKeyDictionary())
    plain = prefix(narrow).gradient(starts(2, 48), 30, None)[1]
    assert error(plain, fused) < ERRORS["float32"]
    assert_true(narrow, starts(2, 48), 30, precisions=["float32", "bf16"])


def test_what_is_yielded_is_not_under_the_prefixs_settings(narrow, starts):
    for _ in prefix(narrow).walk(starts(1, 48)):
        assert torch.is_grad_enabled()

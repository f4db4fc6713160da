"""Strengths: as the reference has them, one for a convolution and its ReLU, ranked as published."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from beholder.errors import InvalidInput, PictureError
from beholder.layers import LAYERS
from beholder.science.blind import classify
from beholder.science.dream import dream
from beholder.science.measure import _norms, _strengths, measure, top_channels


def assert_parity(reference, network, pictures):
    found = measure(network, pictures)
    assert [rows.shape for rows in found.strengths] == [(len(pictures), w) for w in network.widths]
    for row, picture in enumerate(pictures):
        for layer, norms in enumerate(reference.strengths(network.module, picture)):
            expected = torch.stack(norms)
            assert torch.allclose(found.strengths[layer][row], expected, rtol=1e-4, atol=1e-5)
    for layer, rows in enumerate(found.strengths):
        expected = [reference.top(row) for row in rows]
        assert top_channels(rows, 10, 0.0) == expected, LAYERS[layer].name


def test_narrow_parity(reference, narrow, starts):
    assert_parity(reference, narrow, starts(3, 32))


@pytest.mark.slow
def test_random_parity(reference, random0, starts):
    assert_parity(reference, random0, starts(2, 64))


@pytest.mark.slow
def test_specimens_parity(reference, specimens, starts):
    assert_parity(reference, specimens, starts(3, 224))


def test_conv_shares_its_relus_strengths(narrow, starts):
    strengths = measure(narrow, starts(2, 32)).strengths
    raw = measure(narrow, starts(2, 32), pre_relu=True).strengths
    for layer in LAYERS:
        if layer.kind == "conv":
            assert strengths[layer.index] is strengths[layer.index + 1]
            assert (raw[layer.index] - strengths[layer.index]).abs().max() > 1e-3
        else:
            assert torch.equal(raw[layer.index], strengths[layer.index])


def test_pre_relu_measures_the_raw_convolution(narrow, starts):
    pictures = starts(2, 32)
    found = measure(narrow, pictures, pre_relu=True).strengths[2]
    raw = narrow.module.features[:3](pictures.clone())
    assert torch.allclose(found, raw.flatten(2).norm(dim=2), rtol=1e-5)


@pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.bfloat16])
def test_a_gpus_way_to_strengths_gives_them_too(kind):
    maps = torch.rand((2, 8, 5, 4), generator=torch.Generator().manual_seed(0)).to(kind)
    found = _norms(maps)
    assert found.dtype == _strengths(maps).dtype == torch.float32
    torch.testing.assert_close(found, _strengths(maps))


def test_batched_equals_alone(narrow, starts):
    pictures = starts(3, 32)
    together = measure(narrow, pictures)
    for row, picture in enumerate(pictures):
        alone = measure(narrow, picture[None])
        for many, one in zip(together.strengths, alone.strengths, strict=True):
            assert torch.allclose(many[row], one[0], rtol=1e-4, atol=1e-5)
        assert torch.allclose(together.logits[row], alone.logits[0], atol=1e-4)


@pytest.mark.parametrize("normalize", [False, True])
def test_logits_of_the_same_pass(narrow, starts, normalize):
    pictures = starts(2, 48)
    logits = measure(narrow, pictures, normalize=normalize).logits
    assert torch.equal(logits, classify(narrow, pictures, normalize=normalize))


def test_keeps_no_maps_and_no_graph(narrow, starts):
    pictures = starts(2, 32).requires_grad_()
    found = measure(narrow, pictures)
    for tensor in (*found.strengths, found.logits):
        assert not tensor.requires_grad
        assert tensor.untyped_storage().nbytes() == tensor.nbytes
    dream(narrow, found.logits.new_zeros(1, 3, 32, 32), steps=1)  # no inference tensors either


def test_one_pass_only(narrow, starts):
    calls = []
    handle = narrow.module.features[0].register_forward_hook(lambda *_: calls.append(1))
    try:
        measure(narrow, starts(3, 32))
    finally:
        handle.remove()
    assert calls == [1]


def test_equal_filters_tie_to_the_higher_index(reference, make_state, tmp_path, starts):
    from safetensors.torch import save_file

    from beholder.science.networks import load_network

    state = make_state()
    for layer in (0, 10, 28):  # every filter twice
        for part in ("weight", "bias"):
            tensor = state[f"features.{layer}.{part}"]
            tensor[1::2] = tensor[::2]
    save_file(state, tmp_path / "twins.safetensors")
    network = load_network(str(tmp_path / "twins.safetensors"))
    pictures = starts(2, 32)
    strengths = measure(network, pictures).strengths
    for layer in (0, 10, 28):
        assert torch.equal(strengths[layer][:, ::2], strengths[layer][:, 1::2])
        for row, picture in enumerate(pictures):
            expected = reference.top(reference.strengths(network.module, picture)[layer], n=5)
            assert top_channels(strengths[layer], 5, 0.0)[row] == expected
            assert expected[0] == expected[1] + 1


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.lists(st.integers(0, 3), min_size=7, max_size=7), min_size=1, max_size=4),
    n=st.integers(1, 9),
    threshold=st.integers(0, 2),
)
def test_top_channels_of_many_ties(reference, rows, n, threshold):
    found = top_channels(torch.tensor(rows, dtype=torch.float32), n, threshold)
    assert found == [reference.top(row, n, threshold) for row in rows]


def test_too_small_a_picture(narrow):
    with pytest.raises(PictureError, match="40 x 31 pixels is too small"):
        measure(narrow, torch.zeros(1, 3, 31, 40))


def test_wrong_shape(narrow):
    with pytest.raises(InvalidInput, match=r"picture\[None\]"):
        measure(narrow, torch.zeros(3, 32, 32))

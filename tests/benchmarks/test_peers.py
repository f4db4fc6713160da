"""The peers take the step that ours takes, so that comparing their speed means something."""

import pytest
import torch

from beholder.science.dream import dream
from beholder.science.networks import load_network
from benchmarks import peers
from benchmarks.harness import Options

MODULES = {"lucent": "lucent", "torch-dreams": "torch_dreams"}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(peers.PEERS))
def test_a_peers_step_is_ours(name, monkeypatch):
    pytest.importorskip(MODULES[name], reason="comes with the extra bench")
    monkeypatch.setattr(peers, "LEARNING_RATE", 5.0)
    network = load_network("random:0")
    # lucent enlarges what is smaller than 224 pixels.
    start = 0.4 + 0.2 * torch.rand((2, 3, 224, 224), generator=torch.Generator().manual_seed(0))
    theirs = peers._as_ours(peers.PEERS[name][1], network.module, start, 1)
    ours = dream(network, start, layer=peers.LAYER, steps=1, learning_rate=5.0).pictures
    moved = (ours - start).abs().mean()
    assert moved > 1e-3, "nothing was dreamt"
    # Layouts round differently, and a value at a ReLU's edge then changes what its field sees.
    assert (theirs.clamp(0, 1) - ours).abs().mean() < 0.01 * moved
    assert not any(module._forward_hooks for module in network.module.modules())


@pytest.mark.slow
def test_a_peer_that_is_not_installed_has_a_row_that_says_so(monkeypatch):
    def missing(*arguments):
        raise ImportError("No module named 'lucent'")

    monkeypatch.setattr(peers, "PEERS", {"lucent": ("torch-lucent", missing)})
    (row,) = peers.rows_of(Options("cpu", 1.0), size=32)
    assert row.value is None
    assert row.detail == "No module named 'lucent'; the extra `bench` has it"


def test_a_peer_takes_its_gradients_in_our_arithmetic():
    def peer(module, pictures, steps):
        pixels = pictures.clone().requires_grad_()
        return torch.autograd.grad(pixels.square().sum(), pixels)[0]

    start = torch.rand(1, 3, 4, 4)
    with torch.no_grad():
        assert torch.equal(peers._as_ours(peer, torch.nn.Identity(), start, 1), 2 * start)

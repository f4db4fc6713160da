"""The narrow VGG19 and the folding of its batch norm."""

import pytest
import torch
from torch import nn
from torchvision.models import vgg19
from torchvision.models.vgg import VGG

from beholder.specimens.architecture import build, fold

pytestmark = pytest.mark.slow  # with real servers or files; seconds in all


@pytest.fixture(scope="module")
def trained() -> VGG:
    """A network whose batch norms have random statistics, gains and shifts."""
    torch.manual_seed(0)
    network = build(5, batch_norm=True)
    for norm in (m for m in network.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, std=0.3)
        nn.init.normal_(norm.running_mean, std=0.3)
        nn.init.uniform_(norm.running_var, 0.5, 2.0)
    return network.eval()


def test_the_layers_are_torchvisions() -> None:
    with torch.device("meta"):
        wide = vgg19().features
    narrow = build(3, batch_norm=False).features
    assert [type(layer) for layer in narrow] == [type(layer) for layer in wide]
    for ours, theirs in zip(narrow, wide, strict=True):
        if isinstance(theirs, nn.Conv2d):
            assert ours.out_channels * 4 == theirs.out_channels


@pytest.mark.parametrize("side", [32, 75])
def test_any_size_gives_logits(side: int) -> None:
    assert build(3, batch_norm=False)(torch.rand(2, 3, side, side)).shape == (2, 3)


@pytest.fixture(scope="module")
def folded(trained: VGG) -> VGG:
    return fold(trained)


def test_folding_keeps_the_function(trained: VGG, folded: VGG) -> None:
    pictures = torch.rand(4, 3, 64, 64)
    with torch.inference_mode():
        before, after = trained(pictures), folded(pictures)
    assert (before - after).abs().max() < 1e-4 * before.abs().max()


def test_folding_leaves_no_norm_and_no_training_mode(folded: VGG) -> None:
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert not folded.training

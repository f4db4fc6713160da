"""Useful operations: counted from the table, checked against what the modules really do."""

import pytest
import torch
from torchvision.models import vgg19

from beholder.layers import LAYERS
from benchmarks.operations import forward_operations, step_operations

WIDTHS = tuple(layer.channels for layer in LAYERS)


def counted(size):
    """Operations up to each layer, by the shapes that a pass of the real modules had."""
    totals, total = [], 0
    maps = torch.empty(1, 3, size, size, device="meta")
    with torch.device("meta"):
        features = vgg19(weights=None).features
    for module in features:
        maps = module(maps)
        if isinstance(module, torch.nn.Conv2d):
            total += 2 * maps.numel() * module.weight[0].numel()
        totals.append(total)
    return totals


@pytest.mark.parametrize("size", [32, 224, 250])
def test_the_count_is_that_of_the_modules(size):
    expected = counted(size)
    assert [forward_operations(WIDTHS, layer=i, size=size) for i in range(37)] == expected


def test_a_step_is_a_pass_and_its_gradient():
    forward = forward_operations(WIDTHS, layer=35, size=224)
    assert step_operations(WIDTHS, layer=35, size=224) == 2 * forward
    assert forward == pytest.approx(39.0e9, rel=0.01)  # twice VGG19's 19.5 billion multiplications

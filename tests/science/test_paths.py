"""Every way to a gradient, and how far each may be from the true one (docs/performance.md)."""

import copy
from dataclasses import dataclass, field

import pytest
import torch

from beholder.layers import find_layer
from beholder.science.dream import dream
from beholder.science.networks import Network, depth_of

pytestmark = pytest.mark.slow
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
RATE = 1e-3
SMALL = 2**17  # bytes; the test's pictures need several tiles then


@dataclass(frozen=True)
class Path:
    """A way to dream. error: at most this share of the true gradient's norm is off.

    A near tie in a ReLU or a pool can fall either way in float32 and moves percents of the
    gradient, autograd's too; where none is near, rounding leaves 1e-5 and less.
    """

    error: float
    device: str = "cpu"
    options: dict[str, object] = field(default_factory=dict)


PATHS = {
    "exact": Path(0.03, options={"precision": "exact"}),
    "float64": Path(1e-9, options={"precision": "float64"}),
    "float32": Path(0.03),
    "tiled": Path(0.03, options={"memory": SMALL}),
    "tiled, float64": Path(1e-9, options={"memory": 4 * SMALL, "precision": "float64"}),
    "tiled, bf16": Path(0.5, options={"memory": SMALL, "precision": "bf16"}),
    "bf16": Path(0.5, options={"precision": "bf16"}),
    "exact on a GPU": Path(0.03, "cuda", {"precision": "exact"}),
    "float32 on a GPU": Path(0.03, "cuda"),
    "tiled on a GPU": Path(0.03, "cuda", {"memory": SMALL}),
    "tf32 on a GPU": Path(0.1, "cuda", {"precision": "tf32"}),
    "bf16 on a GPU": Path(0.5, "cuda", {"precision": "bf16"}),
}
CASES = [
    pytest.param(path, id=name, marks=GPU if path.device == "cuda" else ())
    for name, path in PATHS.items()
]


def on(network, device):
    module = copy.deepcopy(network.module).to(device)
    return Network(network.name, network.sha256, network.labels, module, torch.device(device))


def true_change(network, pictures, layer, **read):
    """What one step adds, by autograd in float64 on the CPU."""
    features = copy.deepcopy(network.module).double().features
    pictures = pictures.double().requires_grad_()
    maps = features[: depth_of(find_layer(layer), pre_relu=False)](pictures)
    norms = maps.flatten(1).norm(dim=1)
    return RATE * torch.autograd.grad(norms.sum(), pictures)[0]


@pytest.mark.parametrize("path", CASES)
@pytest.mark.parametrize("layer", ["conv2_1", 19, "pool4", 35])
@pytest.mark.parametrize("size", [(64, 64), (75, 49)])
def test_a_step_is_true(narrow, starts, path, layer, size):
    pictures = 0.25 + starts(3, 80)[:, :, : size[0], : size[1]].clamp(0, 1) / 2  # far from clipping
    network = on(narrow, path.device)
    found = dream(network, pictures, layer=layer, steps=1, learning_rate=RATE, **path.options)
    expected = true_change(narrow, pictures, layer)
    change = found.pictures.double() - pictures.double()
    # Float32 pictures around 0.5 round each value by up to 3e-8.
    rounding = 3e-8 * change.numel() ** 0.5 * (found.pictures.dtype == torch.float32)
    for row in range(len(pictures)):
        off = (change[row] - expected[row]).norm().item()
        assert off < path.error * expected[row].norm().item() + rounding


@pytest.mark.parametrize("path", CASES)
def test_a_batch_is_its_pictures(narrow, starts, path):
    pictures = starts(3, 64)
    network = on(narrow, path.device)
    options = {**path.options, **({"memory": 4 * SMALL} if "memory" in path.options else {})}
    together = dream(network, pictures, layer=20, steps=3, **options)
    alone = dream(network, pictures[1:2], layer=20, steps=3, **options)
    if path.device == "cpu" and path.options.get("precision") != "exact":
        assert torch.equal(together.pictures[1], alone.pictures[0])
    else:
        assert torch.allclose(together.pictures[1], alone.pictures[0], atol=1e-3)

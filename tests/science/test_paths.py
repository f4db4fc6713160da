"""Every way to a gradient, and how far each may be from the true one (docs/performance.md)."""

import copy
from dataclasses import dataclass, field, replace

import pytest
import torch

from beholder.layers import LAYERS, find_layer
from beholder.science.ablation import Ablation
from beholder.science.blind import blinded, classify
from beholder.science.dream import dream
from beholder.science.inputs import input_step
from beholder.science.measure import measure
from beholder.science.networks import Network, depth_of
from beholder.science.objective import Aim
from beholder.science.octaves import dream_octaves
from beholder.science.sweep import sweep
from beholder.science.tile_plan import needs_tiles, plan, steps_of, tile_side
from beholder.terms import Objective, Term

pytestmark = pytest.mark.slow
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
RATE = 1e-3
SMALL = 9 * 2**14  # bytes; the test's pictures need several tiles then


@dataclass(frozen=True)
class Path:
    """A way to dream. error: at most this share of the true gradient's norm is off.

    A near tie in a ReLU or a pool can fall either way in float32 and moves percents of the
    gradient, autograd's too; where none is near, rounding leaves 1e-5 and less.
    """

    error: float
    device: str = "cpu"
    options: dict[str, object] = field(default_factory=dict)
    octaves: bool = False


PATHS = {
    "exact": Path(0.03, options={"precision": "exact"}),
    "float64": Path(1e-9, options={"precision": "float64"}),
    "float32": Path(0.03),
    "tiled": Path(0.03, options={"memory": SMALL}),
    "tiled, float64": Path(1e-9, options={"memory": 2 * SMALL, "precision": "float64"}),
    "tiled, bf16": Path(0.5, options={"memory": SMALL, "precision": "bf16"}),
    "bf16": Path(0.5, options={"precision": "bf16"}),
    "octaves": Path(0.03, octaves=True),
    "octaves, bf16": Path(0.5, options={"precision": "bf16"}, octaves=True),
    "exact on a GPU": Path(0.03, "cuda", {"precision": "exact"}),
    "float32 on a GPU": Path(0.03, "cuda"),
    "tiled on a GPU": Path(0.03, "cuda", {"memory": SMALL}),
    "tf32 on a GPU": Path(0.1, "cuda", {"precision": "tf32"}),
    "bf16 on a GPU": Path(0.5, "cuda", {"precision": "bf16"}),
}
DREAMT = ["conv2_1", 19, "pool4", 35]
SIZES = [(64, 64), (75, 49)]
CASES = [
    pytest.param(path, id=name, marks=GPU if path.device == "cuda" else ())
    for name, path in PATHS.items()
]


def on(network, device):
    module = copy.deepcopy(network.module).to(device)
    return Network(network.name, network.sha256, network.labels, module, torch.device(device))


def step(path, network, pictures, layer, **read):
    """One step of a dream, or of one in a single octave."""
    network = on(network, path.device)
    how = {**path.options, **read}
    if not path.octaves:
        return dream(network, pictures, layer=layer, steps=1, learning_rate=RATE, **how).pictures
    term = Term(measure="norm", layer=find_layer(layer).index, channels=how.pop("channels", None))
    aim = Aim.of(network, Objective((term,)), **how)
    seeds = range(len(pictures))
    return dream_octaves(aim, pictures, seeds=seeds, steps=1, learning_rate=RATE).pictures


def true_change(network, pictures, layer, *, channels=None, normalize=False, pre_relu=False):
    """What one step adds, by autograd in float64 on the CPU."""
    features = copy.deepcopy(network.module).double().features
    pictures = pictures.double().requires_grad_()
    shown = input_step(normalize, torch.device("cpu"))(pictures)
    maps = features[: depth_of(find_layer(layer), pre_relu=pre_relu)](shown)
    maps = maps if channels is None else maps[:, list(channels)]
    norms = maps.flatten(1).norm(dim=1)
    return RATE * torch.autograd.grad(norms.sum(), pictures)[0]


def assert_true(path, found, pictures, expected):
    change = found.double() - pictures.double()
    # Float32 pictures around 0.5 round each value by up to 3e-8.
    rounding = 3e-8 * change[0].numel() ** 0.5 * (found.dtype == torch.float32)
    for row in range(len(pictures)):
        off = (change[row] - expected[row]).norm().item()
        assert off < path.error * expected[row].norm().item() + rounding


@pytest.mark.parametrize("layer", [*DREAMT, "conv3_2"])
@pytest.mark.parametrize("size", SIZES)
def test_what_is_tiled_is_of_several_tiles(narrow, layer, size):
    steps = steps_of(list(narrow.module.features[: depth_of(find_layer(layer), pre_relu=False)]))
    assert needs_tiles(steps, *size, SMALL)
    assert len(list(plan(steps, *size, tile_side(steps, SMALL)))) > 1


def far_from_clipping(starts, height, width):
    return 0.25 + starts(3, 80)[:, :, :height, :width].clamp(0, 1) / 2


@pytest.mark.parametrize("path", CASES)
@pytest.mark.parametrize("layer", DREAMT)
@pytest.mark.parametrize("size", SIZES)
def test_a_step_is_true(narrow, starts, path, layer, size):
    pictures = far_from_clipping(starts, *size)
    found = step(path, narrow, pictures, layer)
    assert_true(path, found, pictures, true_change(narrow, pictures, layer))


@pytest.mark.parametrize("path", CASES)
@pytest.mark.parametrize(
    "read", [{"channels": (0, 3)}, {"normalize": True}, {"pre_relu": True}], ids=list
)
def test_a_step_is_true_of_what_is_read(narrow, starts, path, read):
    pictures = far_from_clipping(starts, 75, 49)
    found = step(path, narrow, pictures, "conv3_2", **read)
    assert_true(path, found, pictures, true_change(narrow, pictures, "conv3_2", **read))


# By precision, the share of what is measured and of logits that may be off.
FORWARD = {"exact": 1e-4, "float64": 1e-6, "float32": 1e-4, "bf16": 0.03}


@pytest.mark.parametrize(("precision", "error"), FORWARD.items())
def test_what_is_measured_is_true(narrow, starts, precision, error):
    pictures, cut = starts(3, 64), {20: tuple(range(16)), 29: tuple(range(16))}
    module = copy.deepcopy(narrow.module).double()
    exact = replace(narrow, module=module)
    maps, norms = pictures.double(), []
    with torch.no_grad():
        for part in module.features:
            maps = part(maps)
            norms.append(maps.flatten(2).norm(dim=2))
        intact = module(pictures.double())
        with blinded(exact, cut):
            blind = module(pictures.double())
    found = measure(narrow, pictures, precision=precision)
    swept = sweep(narrow, pictures, [Ablation(cut)], target=0, kept=(0, 1), precision=precision)
    pairs = [(found.strengths[layer], norms[layer]) for layer in range(37) if is_read(layer)]
    pairs += [(found.logits, intact), (classify(narrow, pictures, precision=precision), intact)]
    pairs += [(torch.from_numpy(swept.logits[0]), intact)]
    pairs += [(torch.from_numpy(swept.logits[1]), blind)]
    for measured, true in pairs:
        assert (measured.double() - true).norm() <= error * true.norm()
    assert (blind - intact).norm() > 2 * error * intact.norm(), "a cut can't be told from an error"


def is_read(layer):
    """Whether a layer's maps are not overwritten by a ReLU behind it."""
    return LAYERS[layer].kind != "conv"


@pytest.mark.parametrize("path", [case for case in CASES if not case.values[0].octaves])
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

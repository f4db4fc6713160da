"""Networks, pictures and the plain reference that the science tests share."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from beholder.layers import LAYERS
from beholder.pictures import decode
from beholder.science.inputs import noise, to_tensor
from beholder.science.networks import load_network

PICTURES = Path(__file__).parents[3] / "shared" / "pictures"
NARROW = 8  # by what the test network's widths are divided


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Small convolutions on busy cores: torch's threads would wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def reference():
    """The module `reference.py` beside this file; importlib mode has no path to it."""
    spec = importlib.util.spec_from_file_location(
        "reference", Path(__file__).with_name("reference.py")
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def narrow_state(*, classes=6, divisor=NARROW, side=1, seed=0):
    """A state dict of VGG19's shape with random weights that keep activations alive."""
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape, fan):
        return torch.randn(shape, generator=generator) * (2 / fan) ** 0.5

    state, incoming = {}, 3
    for layer in LAYERS:
        if layer.kind == "conv":
            width = layer.channels // divisor
            shape = (width, incoming, 3, 3)
            state[f"features.{layer.index}.weight"] = randn(*shape, fan=9 * incoming)
            state[f"features.{layer.index}.bias"] = randn(width, fan=200)
            incoming = width
    inputs = incoming * side * side
    state["classifier.0.weight"] = randn(classes, inputs, fan=inputs)
    state["classifier.0.bias"] = randn(classes, fan=200)
    return state


@pytest.fixture(scope="session")
def make_state():
    return narrow_state


@pytest.fixture(scope="session")
def narrow(tmp_path_factory):
    """An eighth of VGG19's width, from a .safetensors file with labels."""
    path = tmp_path_factory.mktemp("narrow") / "narrow.safetensors"
    labels = json.dumps(["ant", "bee", "cat", "dog", "eel", "fox"])
    save_file(narrow_state(), path, {"labels": labels, "avgpool": "1", "architecture": "vgg19"})
    return load_network(str(path))


@pytest.fixture(scope="session")
def random0():
    return load_network("random:0")


@pytest.fixture(scope="session")
def specimens():
    return load_network("specimens")


@pytest.fixture(scope="session")
def starts():
    """starts(count, size): pictures (count, 3, size, size) of noise around grey."""
    return lambda count, size: torch.stack([noise(i, size=size) + 0.4 for i in range(count)])


@pytest.fixture(scope="session")
def photographs():
    """photographs(folder, size): the article's pictures as (B, 3, size, size)."""
    if not PICTURES.is_dir():
        pytest.skip("the article's photographs are not beside this checkout")

    def load(folder, size):
        paths = sorted((PICTURES / folder).glob("*.jpg"))
        return torch.stack([to_tensor(decode(path.read_bytes()), size=size) for path in paths])

    return load

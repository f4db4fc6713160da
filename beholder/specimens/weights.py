"""The shipped weights: `PATH` is the file, `load` builds the network from it."""

from pathlib import Path

import safetensors.torch
from torchvision.models.vgg import VGG

from beholder.specimens.architecture import build

PATH = Path(__file__).with_name("specimens.safetensors")


def load(path: Path = PATH) -> VGG:
    """The network in evaluation mode, float32. Raises FileNotFoundError without the file."""
    state = safetensors.torch.load_file(path)
    network = build(len(state["classifier.0.bias"]), batch_norm=False).eval()
    network.load_state_dict({name: value.float() for name, value in state.items()})
    return network

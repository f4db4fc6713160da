"""What training leaves behind: recalls on held-out pictures, the weights file and the card.

`rounded`, `recalls`, `check` measure; `write` saves weights and card, `read` takes them up again.
"""

import json
import platform
from collections.abc import Mapping
from pathlib import Path

import numpy
import PIL
import safetensors.torch
import torch
import torchvision
from safetensors import safe_open
from torchvision.models.vgg import VGG

from beholder.specimens.architecture import build
from beholder.specimens.card import card
from beholder.specimens.draw import CLASSES
from beholder.specimens.pool import Pool, preprocess

SIDES = (112, 224)  # pixels after cropping, at which the card gives recalls

Recalls = Mapping[str, float]


def rounded(network: VGG) -> VGG:
    """The network with its weights rounded to float16 and kept as float32, as it will be loaded."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.half())
    return network


def recalls(network: VGG, pool: Pool, side: int, *, batch: int = 64) -> dict[str, float]:
    """The share of each class's pictures that `network` names, after Beholder's preprocessing."""
    starts = range(0, len(pool), batch)
    with torch.inference_mode():
        chunks = (preprocess(pool.pictures[start : start + batch], side) for start in starts)
        named = torch.cat([network(chunk).argmax(1) for chunk in chunks])
    right = named == pool.labels
    return {
        label: right[pool.labels == index].float().mean().item()
        for index, label in enumerate(CLASSES)
        if (pool.labels == index).any()
    }


def mean(values: Recalls) -> float:
    return sum(values.values()) / len(values)


def check(measured: Mapping[int, Recalls], floor: float) -> None:
    """Raise RuntimeError naming every class whose recall is under `floor` at some size."""
    low = [
        f"{label} {recall:.0%} at {side} px"
        for side, values in measured.items()
        for label, recall in values.items()
        if recall < floor
    ]
    if low:
        raise RuntimeError(f"Recall under {floor:.0%}: {', '.join(low)}. Train longer.")


def read(path: Path) -> tuple[VGG, dict[str, object]]:
    """The network in a file that `write` wrote, ready to be trained further, and its record."""
    with safe_open(path, framework="pt") as file:
        metadata: dict[str, str] = file.metadata()
        state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    network = build(len(json.loads(metadata["labels"])), batch_norm=False).eval()
    network.load_state_dict(state)
    training: dict[str, object] = json.loads(metadata["training"])
    return network, training


def write(
    out: Path, network: VGG, *, training: Mapping[str, object], recalls: Mapping[int, Recalls]
) -> None:
    """Write the weights to `out` as float16, and CARD.md beside it."""
    accuracy = {str(side): round(mean(values), 4) for side, values in recalls.items()}
    training = {**training, "accuracy": accuracy, **_versions()}
    metadata = {
        "labels": json.dumps(CLASSES),
        "architecture": "vgg19",
        "avgpool": "1",
        "training": json.dumps(training),
    }
    halves = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    safetensors.torch.save_file(halves, out, metadata)
    out.with_name("CARD.md").write_text(card(training, recalls))


def _versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "numpy": numpy.__version__,
        "pillow": PIL.__version__,
    }

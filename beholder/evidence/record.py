"""What it takes to run a study again: `record_of`, everything but the pictures' hashes.

Those stand with each picture, as its split, its role and its raw logits do.
"""

import hashlib
from importlib.metadata import version
from typing import Any

from beholder.evidence.conditions import Channels
from beholder.layers import LAYERS
from beholder.science.networks import Network
from beholder.specs import StudySpec

_VERSIONS = ("beholder", "torch", "numpy", "pillow", "imagehash")


def record_of(
    network: Network,
    spec: StudySpec,
    choosing: dict[str, Any],
    dose: dict[str, Any],
    channels: Channels,
) -> dict[str, Any]:
    """As JSON. choosing: what the method was run with. dose: how it was picked.

    channels: the headline's set; all others, what was put in and by whose pictures, have the plan.
    """
    return {
        "network": {
            "name": network.name,
            "sha256": network.sha256,
            "labels": len(network.labels),
            "labels_sha256": hashlib.sha256("\n".join(network.labels).encode()).hexdigest(),
        },
        "preprocessing": {
            "resize": f"shorter side to {round(spec.size * 256 / 224)}, bicubic, antialiased"
            if spec.size != "keep"
            else "none",
            "crop": f"{spec.size} x {spec.size}, centre",
            "range": "0 to 1, RGB",
            "normalize": spec.normalize,
        },
        "hook_site": "the ReLU's output; a convolution's channel is its ReLU's",
        "candidates": f"ReLUs from {LAYERS[spec.min_layer].name} on",
        "choosing": choosing,
        "dose": dose,
        "seed": spec.seed,
        "device": str(network.device),
        "dtype": "float32",
        "versions": {name: version(name) for name in _VERSIONS},
        "spec": spec.model_dump(mode="json"),
        "channels": {LAYERS[layer].name: list(picked) for layer, picked in channels.items()},
    }

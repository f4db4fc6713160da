"""From a pass through the network to `Answers`: `answers_of`, and `relu_strengths`."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from beholder.evidence.answers import Answers
from beholder.layers import LAYERS
from beholder.science.measure import Measurement


def answers_of(
    measured: Measurement,
    *,
    positions: Sequence[int],
    sha256: Sequence[str],
    sources: Sequence[str],
    roles: Sequence[str],
    groups: Sequence[str],
    fingerprints: Sequence[int],
) -> Answers:
    """Of B pictures, measured with their regions; what else is known of each is (B,)."""
    return Answers(
        positions=np.array(positions, np.int64),
        sha256=np.array(sha256),
        source=np.array(sources),
        role=np.array(roles),
        group=np.array(groups),
        hashes=np.array(fingerprints, np.uint64),
        strengths=relu_strengths(measured),
        regions=np.concatenate([rows.numpy() for rows in measured.regions.values()], axis=1),
        logits=measured.logits.numpy(),
    )


def relu_strengths(measured: Measurement) -> NDArray[np.float32]:
    """(B, C) of all ReLU layers' channels, layer after layer."""
    rows = [
        strengths
        for layer, strengths in zip(LAYERS, measured.strengths, strict=True)
        if layer.kind == "relu"
    ]
    found: NDArray[np.float32] = torch.cat(rows, dim=1).numpy()
    return found

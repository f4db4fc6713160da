"""How strongly each channel answers a picture: `measure` all 37 layers, then `top_channels`.

A channel's strength is the L2 norm of its map. Maps are never kept.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from beholder.errors import PictureError
from beholder.layers import LAYERS
from beholder.science.inputs import MIN_SIDE, input_step
from beholder.science.networks import Network, at_rest, check_pictures


@dataclass(frozen=True)
class Measurement:
    """One pass of a batch. All tensors are float32 on the CPU.

    strengths: for each of the 37 layers (B, C). logits: (B, classes), before the softmax.
    """

    strengths: tuple[Tensor, ...]
    logits: Tensor


def measure(
    network: Network, pictures: Tensor, *, normalize: bool = False, pre_relu: bool = False
) -> Measurement:
    """All channel strengths, and the logits, of `pictures` (B, 3, H, W) in one pass.

    A convolution's strengths are those of the in-place ReLU after it, as published; `pre_relu`
    measures it before. Raises InvalidInput, and PictureError for a side under 32 pixels.
    """
    check_sides(pictures)
    strengths: list[Tensor] = []
    with torch.no_grad(), at_rest(network.module):
        maps = input_step(normalize, network.device)(pictures.to(network.device))
        for layer, module in zip(LAYERS, network.module.features, strict=True):
            maps = module(maps)  # (B, C, h, w)
            # A convolution waits for its ReLU, which fills in both rows.
            if layer.kind != "conv" or pre_relu:
                strengths.append(_strengths(maps))
            if layer.kind == "relu" and not pre_relu:
                strengths.append(strengths[-1])
        logits = network.module.classifier(network.module.avgpool(maps).flatten(1))
        rows = _to_cpu(strengths)
    return Measurement(rows, logits.cpu())


def top_channels(strengths: Tensor, n: int, threshold: float) -> list[list[int]]:
    """Each picture's `n` strongest channels with a strength above `threshold`, strongest first.

    strengths: (B, C). Equal strengths: the higher index first, as published.
    """
    order, above = ranked(strengths, n, threshold)
    return [row[keep].tolist() for row, keep in zip(order, above, strict=True)]


def ranked(strengths: Tensor, n: int, threshold: float) -> tuple[Tensor, Tensor]:
    """The `n` strongest channels (B, n), and which of them are above `threshold` (B, n)."""
    channels = strengths.shape[1]
    # Stable on reversed columns: among equals the higher index comes first.
    values, places = strengths.flip(1).sort(dim=1, descending=True, stable=True)
    return channels - 1 - places[:, :n], values[:, :n] > threshold


def check_sides(pictures: Tensor) -> None:
    """Raise unless `pictures` is a batch (B, 3, H, W) that survives all five pools."""
    check_pictures(pictures)
    height, width = pictures.shape[2:]
    if min(height, width) < MIN_SIDE:
        raise PictureError(
            f"{width} x {height} pixels is too small: each side needs {MIN_SIDE} at least."
        )


def _strengths(maps: Tensor) -> Tensor:
    """(B, C, h, w) to (B, C)."""
    norms: Tensor = torch.linalg.vector_norm(maps.flatten(2), dim=2)
    return norms


def _to_cpu(rows: list[Tensor]) -> tuple[Tensor, ...]:
    """Every row on the CPU, in one transfer; a row that is there twice stays one tensor."""
    distinct = {id(row): row for row in rows}
    moved = torch.cat(list(distinct.values()), dim=1).cpu()  # (B, all C)
    parts = torch.split(moved, [row.shape[1] for row in distinct.values()], dim=1)
    by_id = {key: part.clone() for key, part in zip(distinct, parts, strict=True)}
    return tuple(by_id[id(row)] for row in rows)

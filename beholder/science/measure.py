"""How strongly each channel answers a picture: `measure` all 37 layers, then `top_channels`.

A channel's strength is the L2 norm of its map, its region the part of the picture where the map is
at least half as high as its peak. Maps are not kept, but shown to who asks.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from beholder.errors import PictureError
from beholder.layers import LAYERS
from beholder.science.inputs import MIN_SIDE, input_step
from beholder.science.networks import Network, at_rest, check_pictures
from beholder.science.prefix import Precision, prefix_of

_CACHED = 2**20  # values
REGION_UNITS = 255  # of a picture's width and height, in which regions are told


@dataclass(frozen=True)
class Measurement:
    """One pass of a batch. All tensors are on the CPU.

    strengths: for each of the 37 layers (B, C) float32. logits: (B, classes) float32, before the
    softmax. regions: by ReLU layer (B, C, 4) uint8, the left, top, right and bottom of what drives
    a channel, in `REGION_UNITS` of the picture's width and height; all 0 where nothing does.
    """

    strengths: tuple[Tensor, ...]
    logits: Tensor
    regions: Mapping[int, Tensor] = field(default_factory=dict)


def measure(
    network: Network,
    pictures: Tensor,
    *,
    normalize: bool = False,
    pre_relu: bool = False,
    regions: bool = False,
    precision: Precision = "float32",
    on_maps: Callable[[int, Tensor], None] | None = None,
) -> Measurement:
    """All channel strengths, and the logits, of `pictures` (B, 3, H, W) in one pass.

    A convolution's strengths are those of the in-place ReLU after it, as published; `pre_relu`
    measures it before. regions: also find where in the picture each ReLU's channels are driven.
    precision: as for `dream`. on_maps: is shown each ReLU's and pool's index and maps (b, C, h, w),
    not to be changed, a few pictures after the other; with `pre_relu` convolutions' too.
    Raises InvalidInput, InvalidSpec, and PictureError for a side under 32 pixels.
    """
    check_sides(pictures)
    parts = [
        _measured(walk, regions, on_maps)
        for walk in walks(network, pictures, normalize=normalize, raw=pre_relu, precision=precision)
    ]
    strengths, places, last_maps = zip(*parts, strict=True)
    found = _to_cpu(
        {layer: torch.cat([rows[layer] for rows in strengths]) for layer in strengths[0]}
    )
    # A convolution that was not read itself is what its ReLU made of it.
    last = [layer.index if layer.index in found else layer.index + 1 for layer in LAYERS]
    logits = logits_of(network, torch.cat(last_maps))
    driven = {layer: torch.cat([rows[layer] for rows in places]).cpu() for layer in places[0]}
    return Measurement(tuple(found[layer] for layer in last), logits.cpu(), driven)


def walks(
    network: Network,
    pictures: Tensor,
    *,
    normalize: bool = False,
    raw: bool = False,
    precision: Precision = "float32",
) -> Iterator[Iterator[tuple[int, Tensor]]]:
    """The pictures' ways through the network's layers, a few pictures at a time.

    Each is (layer index, maps (B, C, h, w)) layer after layer, as of `Prefix.walk`. Go through one
    before taking the next. Without `raw`, convolutions are left out.
    """
    ready = input_step(normalize, network.device)(pictures.to(network.device))
    prefix = prefix_of(network.module, network.device, precision)
    if prefix is None:
        yield _through_modules(network, ready, raw=raw)
    else:
        for piece in prefix.pieces(ready):
            yield prefix.walk(piece, raw=raw)


def walks_onward(
    network: Network, layer: int, maps: Tensor, *, precision: Precision = "float32"
) -> Iterator[Iterator[tuple[int, Tensor]]]:
    """The rest of `walks`, from the maps (B, C, h, w) that they gave of `layer`, a pool."""
    ready = maps.to(network.device)
    prefix = prefix_of(network.module, network.device, precision)
    if prefix is None:
        yield _through_modules(network, ready, raw=False, behind=layer)
    else:
        for piece in prefix.pieces_onward(ready):
            yield prefix.onward(layer, piece)


def logits_of(network: Network, maps: Tensor) -> Tensor:
    """What the classifier makes of the last layer's maps (B, C, h, w): (B, classes).

    Best asked for many pictures at once: VGG19's has 494 MB of weights to read for any number.
    """
    with torch.no_grad(), at_rest(network.module):
        pooled = network.module.avgpool(maps.float())
        logits: Tensor = network.module.classifier(pooled.flatten(1))
        return logits


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


def _through_modules(
    network: Network, maps: Tensor, *, raw: bool, behind: int = -1
) -> Iterator[tuple[int, Tensor]]:
    """What `Prefix.walk` gives, through the modules and their hooks."""
    for layer in LAYERS[behind + 1 :]:
        module = network.module.features[layer.index]
        with torch.no_grad(), at_rest(module):
            maps = module(maps)
        if layer.kind != "conv" or raw:
            yield layer.index, maps


def _measured(
    walk: Iterable[tuple[int, Tensor]],
    regions: bool,
    on_maps: Callable[[int, Tensor], None] | None,
) -> tuple[dict[int, Tensor], dict[int, Tensor], Tensor]:
    """The strengths (B, C) and regions of each layer that a walk reads, and the last's maps."""
    strengths: dict[int, Tensor] = {}
    places: dict[int, Tensor] = {}
    for layer, maps in walk:
        strengths[layer] = _strengths(maps)
        if on_maps is not None:
            on_maps(layer, maps)
        if regions and LAYERS[layer].kind == "relu":
            places[layer] = _regions(maps)
    return strengths, places, maps


def _regions(maps: Tensor) -> Tensor:
    """(B, C, h, w) to (B, C, 4) uint8: the smallest box around what is half as high as the peak."""
    rows, columns = maps.amax(dim=3), maps.amax(dim=2)  # (B, C, h), (B, C, w)
    half = rows.amax(dim=2, keepdim=True) / 2
    driven = half > 0
    (top, bottom), (left, right) = (
        _extent((profile >= half) & driven) for profile in (rows, columns)
    )
    return torch.stack([left, top, right, bottom], dim=2).to(torch.uint8)


def _extent(among: Tensor) -> tuple[Tensor, Tensor]:
    """Of (B, C, n) bool, the units (B, C) at which the first begins and the last ends."""
    count = among.shape[2]
    units = among.to(torch.uint8)
    first = units.argmax(dim=2)
    last = count - units.flip(2).argmax(dim=2)
    low = first * REGION_UNITS // count
    high = -(-last * REGION_UNITS // count)
    return low, torch.where(among.any(dim=2), high, low)


def _strengths(maps: Tensor) -> Tensor:
    """(B, C, h, w) to (B, C), in float32."""
    if maps.is_cuda:
        return _norms(maps)
    # On a CPU several times as fast as a norm, in parts whose squares stay in its caches.
    rows = maps.float().permute(0, 2, 3, 1).flatten(1, 2)  # (B, places, C), as they lie in memory
    _, places, channels = rows.shape
    most = max(1, _CACHED // channels)
    squares = [
        torch.stack([part.square().sum(dim=1) for part in torch.split(some, most, dim=1)]).sum(
            dim=0
        )
        for some in torch.split(rows, max(1, most // places))
    ]
    return torch.cat(squares).sqrt()


def _norms(maps: Tensor) -> Tensor:
    """As `_strengths`, for a GPU. A norm may widen its maps, and refuses to narrow them."""
    kind = torch.promote_types(maps.dtype, torch.float32)
    norms: Tensor = torch.linalg.vector_norm(maps, dim=(2, 3), dtype=kind)
    return norms.float()


def _to_cpu(found: dict[int, Tensor]) -> dict[int, Tensor]:
    """Every layer's strengths on the CPU, in one transfer."""
    moved = torch.cat(list(found.values()), dim=1).cpu()  # (B, all C)
    parts = torch.split(moved, [rows.shape[1] for rows in found.values()], dim=1)
    return {layer: part.clone() for layer, part in zip(found, parts, strict=True)}

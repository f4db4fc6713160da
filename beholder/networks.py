"""Which networks there are, by name, without loading one (that is `beholder.science.networks`).

A name is `vgg19`, `specimens`, `random:SEED`, or the path of a VGG19 state dict.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from beholder.errors import InvalidSpec
from beholder.layers import Layer, check_channels

WEIGHT_SUFFIXES = (".pth", ".pt", ".safetensors")
VGG19_FILE = "vgg19-dcbb9e9d.pth"  # torchvision's name for IMAGENET1K_V1


@dataclass(frozen=True)
class NetworkEntry:
    """A row of `beholder networks`. `width_divisor`: 1 for VGG19's channels, 4 for a quarter."""

    name: str
    summary: str
    width_divisor: int | None


NETWORKS: tuple[NetworkEntry, ...] = (
    NetworkEntry("vgg19", "ImageNet-1k weights (IMAGENET1K_V1, 548 MB), downloaded once", 1),
    NetworkEntry("specimens", "built in: a quarter-width VGG19 trained on drawn patterns", 4),
    NetworkEntry("random:SEED", "VGG19 initialised after torch.manual_seed(SEED), untrained", 1),
    NetworkEntry("PATH", "a VGG19 state dict: .pth (weights only) or .safetensors", None),
)


def check_network(name: str) -> str:
    """`name`, if it can name a network. Raises InvalidSpec otherwise; opens no file."""
    if name in ("vgg19", "specimens") or name.lower().endswith(WEIGHT_SUFFIXES):
        return name
    seed = name.removeprefix("random:")
    if seed != name and seed.isdecimal() and len(seed) < 20 and int(seed) < 2**63:
        return name
    raise InvalidSpec(
        f"no network {name[:80]!r}: write vgg19, specimens, random:SEED (random:0), or the path "
        "of a .pth or .safetensors state dict."
    )


def check_channels_of(network: str | None, layer: Layer, channels: Sequence[int]) -> None:
    """Raise InvalidChannel if the layer lacks one there, or anywhere, if no network is named.

    A file's own width nobody knows yet.
    """
    divisor = width_divisor(network) if network else None
    check_channels(
        layer, channels, width_divisor=divisor or 1, network=network if divisor else None
    )


def width_divisor(name: str) -> int | None:
    """By what VGG19's channel counts are divided in this network; None if only its file knows."""
    if name.startswith("random:"):
        return 1
    return next((entry.width_divisor for entry in NETWORKS if entry.name == name), None)

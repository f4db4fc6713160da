"""What there is to choose from, a row each: `layer_rows`, `network_rows` and `recipe_rows`."""

from pathlib import Path
from typing import Any

from beholder.layers import LAYERS
from beholder.networks import NETWORKS, VGG19_FILE
from beholder.recipes import RECIPES
from beholder.settings import Settings


def layer_rows(divisor: int = 1) -> list[dict[str, Any]]:
    """A row a layer of a network whose widths are VGG19's divided by `divisor`."""
    return [
        {
            "layer": layer.index,
            "name": layer.name,
            "kind": layer.kind,
            "channels": layer.channels // divisor,
            "stride": layer.stride,
            "receptive_field": layer.receptive_field,
        }
        for layer in LAYERS
    ]


def network_rows(settings: Settings) -> list[dict[str, Any]]:
    """A row a network. here: whether it can be loaded offline; None if that depends on its name."""
    return [
        {
            "name": entry.name,
            "summary": entry.summary,
            "here": _here(entry.name, settings),
            "default": entry.name == settings.network,
        }
        for entry in NETWORKS
    ]


def recipe_rows() -> list[dict[str, Any]]:
    """A row a recipe. defaults: the fields that differ from the article's."""
    return [
        {
            "name": row.name,
            "summary": row.summary,
            "source": row.source,
            "defaults": dict(row.defaults),
        }
        for row in RECIPES.values()
    ]


def _here(name: str, settings: Settings) -> bool | None:
    if name == "vgg19":
        return (settings.networks_dir / VGG19_FILE).is_file()
    if name == "specimens":
        import beholder.specimens

        folder = Path(beholder.specimens.__file__).parent
        return (folder / "specimens.safetensors").is_file()
    return True if name.startswith("random:") else None

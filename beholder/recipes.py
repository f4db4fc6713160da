"""The recipes of dreams: each a name for defaults of `DreamSpec`'s fields.

What a job sets itself goes before its recipe; the spec that is stored is complete. docs/dreams.md
has each recipe's formula and source.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

DreamRecipe = Literal["article", "deepdream", "feature", "maco", "caricature", "guide"]
NoiseRecipe = Literal["feature", "maco", "deepdream", "article"]  # those that need no picture
Parameters = Literal["pixels", "fourier", "phase"]
Transforms = Literal["none", "lucid", "crops"]
Optimiser = Literal["ascent", "adam", "nadam"]
Gradient = Literal["plain", "scaled"]
Schedule = Literal["constant", "linear", "cosine"]

DEFAULT_RECIPE: DreamRecipe = "article"
DEFAULT_CHANNEL_RECIPE: NoiseRecipe = "feature"


@dataclass(frozen=True)
class Recipe:
    """A row of `beholder recipes`. defaults: fields of `DreamSpec` that differ from the article's.

    source: of the method.
    """

    name: DreamRecipe
    summary: str
    source: str
    defaults: Mapping[str, Any]


def _recipe(name: DreamRecipe, summary: str, source: str, **defaults: Any) -> Recipe:
    return Recipe(name, summary, source, MappingProxyType(defaults))


_OCTAVES: dict[str, Any] = {
    "steps": 40,
    "learning_rate": 0.02,
    "octaves": 4,
    "octave_scale": 1.4,
    "jitter": 32,
    "gradient": "scaled",
    "smoothing": 1.0,
    "normalize": True,
}
_FOURIER: dict[str, Any] = {
    "parameters": "fourier",
    "transforms": "lucid",
    "optimiser": "adam",
    "learning_rate": 0.05,
    "steps": 256,
    "size": 128,
    "normalize": True,
}

RECIPES: Mapping[DreamRecipe, Recipe] = MappingProxyType(
    {
        row.name: row
        for row in (
            _recipe(
                "article",
                "bare gradient ascent on a layer's norm, as published",
                "Deepdream and Mechanistic Interpretability (peluche, 2023)",
            ),
            _recipe(
                "deepdream",
                "octaves from small to large, jitter, even steps: the well-known look",
                "Mordvintsev, Olah, Tyka: Inceptionism (2015)",
                **_OCTAVES,
                measure="squared",
            ),
            _recipe(
                "feature",
                "what a channel looks for, from noise: Fourier parameters and transforms",
                "Olah, Mordvintsev, Schubert: Feature Visualization (2017)",
                **_FOURIER,
                measure="mean",
                noise=1,
            ),
            _recipe(
                "maco",
                "the same with the frequencies of natural pictures: only phases are free",
                "Fel et al.: Unlocking Feature Visualization with MACO (2023)",
                parameters="phase",
                transforms="crops",
                optimiser="nadam",
                learning_rate=0.3,
                steps=256,
                size=512,
                normalize=True,
                measure="mean",
                noise=1,
            ),
            _recipe(
                "caricature",
                "a picture's own activations, or another's, overdrawn",
                "Olah et al.: The Building Blocks of Interpretability (2018), and lucid",
                **_FOURIER,
                measure="caricature",
            ),
            _recipe(
                "guide",
                "octaves toward what another picture shows",
                "Mordvintsev, Olah, Tyka: Inceptionism (2015), controlling dreams",
                **_OCTAVES,
                measure="guide",
            ),
        )
    }
)


def beside_pictures(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a dream of pictures: a recipe's own noise is for where there are none."""
    return {"noise": 0, **fields}


def recipe_defaults(name: object, network: object = None) -> dict[str, Any]:
    """The defaults of a recipe on a network; none for a name that there isn't.

    The built-in network was trained on raw pixels, the others on ImageNet-normalised ones.
    """
    row = next((row for row in RECIPES.values() if row.name == name), None)
    if row is None:
        return {}
    raw = {"normalize": False} if network == "specimens" and "normalize" in row.defaults else {}
    return {**row.defaults, **raw}

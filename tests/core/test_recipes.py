from typing import Any

import pytest

from beholder.errors import InvalidInput
from beholder.recipes import RECIPES, DreamRecipe, recipe_defaults
from beholder.specs import DreamSpec, spec_of

GUIDE = "9" * 64


def spec(recipe: DreamRecipe, **fields: Any) -> DreamSpec:
    guide = {"guide": GUIDE} if recipe == "guide" else {}
    return DreamSpec.build(recipe=recipe, **{**guide, **fields})


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_gives_defaults_and_the_stored_spec_is_complete(recipe: DreamRecipe) -> None:
    found = spec(recipe)
    for name, value in RECIPES[recipe].defaults.items():
        assert getattr(found, name) == value
    stored = found.model_dump(mode="json")
    assert set(stored) == set(DreamSpec.model_fields)
    assert spec_of("dream", stored) == found
    assert spec(recipe, steps=77).steps == 77
    assert found.plain == (recipe == "article")


def test_the_article_is_the_default_and_adds_nothing() -> None:
    assert DreamSpec() == DreamSpec(recipe="article")
    assert not RECIPES["article"].defaults
    assert DreamSpec(objective="conv5_1:3").plain
    assert not DreamSpec(octaves=2).plain


def test_the_built_in_network_takes_raw_pixels() -> None:
    assert spec("deepdream").normalize
    assert not spec("deepdream", network="specimens").normalize
    assert spec("deepdream", network="specimens", normalize=True).normalize
    assert recipe_defaults("no such recipe") == {}


def test_what_is_refused_only_now_can_still_be_read() -> None:
    stored = spec("caricature").model_dump(mode="json") | {"noise": 2, "octave_scale": 2}
    found = spec_of("dream", stored)
    assert isinstance(found, DreamSpec)
    assert (found.noise, found.octave_scale) == (2, 2)
    assert spec("caricature", noise=2, guide=GUIDE).noise == 2
    with pytest.raises(InvalidInput, match="steps: "):
        spec_of("dream", {**stored, "steps": 0})


def test_an_objective_names_its_layer() -> None:
    found = DreamSpec.build(objective=" 21:17*.5+ conv5_1")
    assert (found.layers, found.objective) == ((28,), "conv4_2:17*0.5 + conv5_1")
    assert str(found.objective_at(28)) == "norm(conv4_2:17)*0.5 + norm(conv5_1)"
    assert str(DreamSpec(layers=(3, 28), channels=(5,)).objective_at(3)) == "norm(relu1_2:5)"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"recipe": "lucid"}, "recipe: .*'deepdream'.*got 'lucid'"),
        ({"objective": "conv9"}, "objective: at character 1"),
        ({"objective": "conv5_1", "layers": (3,)}, "layers: the objective names its own"),
        ({"objective": "conv5_1", "layers": 3}, "layers: "),
        ({"objective": "conv5_1", "channels": (3,)}, "channels: the objective names its own"),
        ({"objective": "logit:kelpy"}, "objective: no class 'kelpy' of this network.* kelpie"),
        ({"objective": "logit:1000"}, "a number from 0 to 999"),
        ({"objective": "logit:20", "network": "specimens"}, "objective: no class '20'"),
        ({"objective": "conv5_1:512"}, "conv5_1 has channels 0-511; got 512"),
        ({"objective": "conv5_1@14,0"}, "conv5_1 has rows 0-13 and columns 0-13 of 224 x 224"),
        (
            {"recipe": "deepdream", "size": 64, "objective": "diversity(pool5)"},
            "pool5's maps, which takes 64 pixels a side; the smallest octave has 32 x 32",
        ),
        ({"recipe": "deepdream", "steps": 3}, "octaves: 4 of them need a step each"),
        ({"recipe": "guide"}, "guide: the dream goes toward a picture"),
        ({"objective": "guide(conv5_1)"}, "guide: the dream goes toward a picture"),
        ({"guide": GUIDE}, "guide: nothing goes toward it"),
        ({"mask": "mask.png"}, "mask: "),
        ({"blend": 1}, "blend: "),
        ({"recipe": "feature", "octaves": 3}, "octaves: a spectrum has none"),
        ({"recipe": "feature", "octave_scale": 2}, "octave_scale: a spectrum has none"),
        ({"recipe": "caricature", "noise": 2}, "noise: a caricature is of a picture"),
        ({"objective": "caricature(conv4_2)", "noise": 1}, "noise: a caricature is of a picture"),
        ({"recipe": "feature", "blend": 0.5}, "blend: a spectrum has none"),
        ({"recipe": "caricature", "transforms": "crops"}, "transforms: a caricature compares"),
        ({"recipe": "guide", "guide": GUIDE, "layers": (1,)}, "relu1_1 has 50,176 places"),
        ({"recipe": "feature", "optimiser": "ascent"}, "optimiser: a spectrum takes adam"),
        ({"recipe": "caricature", "size": "keep"}, "size: a spectrum needs a number"),
        ({"transforms": "lucid"}, "transforms: they are for a spectrum"),
        (
            {"measure": "mean", "size": 4096},
            "size: 2048 x 2048 pixels at most.*tile by tile; got 4096 x 4096",
        ),
    ],
)
def test_what_does_not_go_together_is_named(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as raised:
        DreamSpec.build(**fields)
    assert "\n" not in str(raised.value)


def test_a_guide_of_its_own_size_is_made_as_small_as_it_has_to_be() -> None:
    found = DreamSpec.build(size="keep", guide=GUIDE, objective="guide(conv3_1) + guide(pool4)")
    assert found.guide_size(10, 448, 448) == (448, 448)
    assert found.guide_size(10, 6000, 4000) == (548, 365)
    assert found.guide_size(10, 32, 90_000) == (32, 6272)
    for width, height in ((6000, 4000), (32, 90_000), (449, 448)):
        assert found.unfit(*found.guide_size(10, width, height)) is None
    assert spec("guide", size="keep").guide_size(35, 6000, 4000) == (2194, 1463)


def test_a_picture_of_its_own_size_is_held_against_the_objective() -> None:
    places = DreamSpec.build(size="keep", objective="conv5_1:3@20,25")
    assert places.unfit(416, 336) is None
    assert "conv5_1 has rows 0-20 and columns 0-24" in str(places.unfit(415, 336))
    assert "conv5_1 has rows 0-19 and columns 0-25" in str(places.unfit(416, 335))
    quarters = spec("deepdream", size="keep", objective="diversity(pool5)", octaves=2)
    assert quarters.unfit(89, 200) is None
    assert "the smallest octave has 63 x 143" in str(quarters.unfit(88, 200))
    assert spec("maco", size=32, objective="diversity(pool5)")  # its crops have 224 pixels

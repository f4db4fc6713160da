from typing import Any

import pytest
from pydantic import ValidationError

from beholder.errors import InvalidChannel, InvalidInput, InvalidSpec
from beholder.specs import DreamSpec, StudySpec, spec_of


def test_defaults_are_the_articles() -> None:
    dream, study = DreamSpec.build(), StudySpec.build()
    assert (dream.layers, dream.steps, dream.learning_rate, dream.size) == ((35,), 30, 0.01, 224)
    assert (dream.normalize, dream.pre_relu, dream.channels) == (False, False, None)
    assert (study.top, study.norm_threshold, study.min_layer) == (10, 0.0, 20)
    assert (study.most_common, study.threshold) == (5, 4)


def test_a_spec_survives_json_and_is_frozen() -> None:
    spec = DreamSpec.build(layers=(1, 2), channels=(3,), snapshots=(5,), size="keep")
    assert spec_of("dream", spec.model_dump(mode="json")) == spec
    assert spec_of("study", StudySpec.build(top=3).model_dump(mode="json")) == StudySpec(top=3)
    with pytest.raises(ValidationError):
        spec.steps = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"steps": 0}, "steps: .* greater than or equal to 1; got 0"),
        ({"learning_rate": -0.1}, "learning_rate: .* greater than 0; got -0.1"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"learning_rate": float("inf")}, "learning_rate"),
        ({"layers": ()}, "layers: "),
        ({"layers": (37,)}, "layers: .*36"),
        ({"layers": (3, 3)}, "each layer once"),
        ({"size": 16}, "size: 32 to 8192 pixels.*got 16"),
        ({"size": "huge"}, "size: .*; got 'huge'"),
        ({"snapshots": (31,)}, "step 31 is past the last of 30 steps; ask for 31 steps"),
        (
            {"size": 2048, "steps": 65, "snapshots": tuple(range(1, 65))},
            "snapshots: 65 steps of 2048 x 2048 pixels are too much .* keep 64 with the last",
        ),
        ({"zoom": 1.1}, "frames: a zoom needs 2 at least"),
        ({"zoom": 1.0, "frames": 2}, "zoom: .* greater than 1"),
        ({"frames": 9}, "frames: they are a zoom's"),
        ({"carry": 0.5, "noise": 1}, "carry: it is for pictures that are a film already"),
        ({"noise": 2, "size": "keep"}, "noise has no size of its own"),
        ({"channels": ()}, "channels: name one at least"),
        ({"channels": (-1,), "network": "weights.pth"}, "channels: they count from 0; got -1"),
        ({"seed": -1}, "seed: "),
        ({"network": "vgg16"}, "no network 'vgg16': write vgg19, specimens, random:SEED"),
        ({"network": "random:x"}, "no network 'random:x'"),
        ({"colour": "red"}, "colour: "),
    ],
)
def test_what_is_outside_its_limits_is_named(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidSpec, match=words) as raised:
        DreamSpec.build(**fields)
    assert "\n" not in str(raised.value)


def test_a_study_measures_no_larger_maps_than_memory_holds() -> None:
    assert StudySpec.build(size=2048).unfit(2048, 2048) is None
    with pytest.raises(InvalidSpec, match="whole maps, of 2048 x 2048 pixels at most; got 2049 x"):
        StudySpec.build(size=2049)
    assert StudySpec.build(size="keep").unfit(8192, 8192) is not None
    assert spec_of("study", {"size": 4096}).size == 4096, "of a study that was made before"


def test_a_short_spec_asks_for_no_more_items_than_a_job_may_have() -> None:
    most = {"layers": tuple(range(20)), "zoom": 1.05, "frames": 100_000}
    assert DreamSpec.build(**most, noise=5).passes == 2_000_000
    with pytest.raises(InvalidSpec, match="noise: 12,000,000 items are more than 10,000,000; name"):
        DreamSpec.build(**most, noise=6)


def test_a_wrong_layer_is_one_mistake() -> None:
    with pytest.raises(InvalidSpec) as raised:
        DreamSpec.build(layers=(99,))
    assert str(raised.value) == "layers: input should be less than or equal to 36; got 99"


def test_what_was_meant_is_named_where_it_is_near() -> None:
    for wrong, words in (
        ({"leyers": (30,)}, "leyers: there is no such field; did you mean layers?"),
        ({"pictures": "/srv"}, "pictures: there is no such field"),
        ({"steps": "many"}, "steps: input should be a valid integer; got 'many'"),
    ):
        with pytest.raises(InvalidSpec) as raised:
            DreamSpec.build(**wrong)
        assert str(raised.value) == words


def test_what_is_far_too_long_is_not_repeated() -> None:
    for wrong in (
        {"steps": "9" * 5_000},
        {"size": 10**5_000},
        {"network": "random:" + "9" * 5_000},
    ):
        with pytest.raises(InvalidSpec) as raised:
            DreamSpec.build(**wrong)
        assert len(str(raised.value)) < 250


def test_channels_are_checked_against_the_networks_width() -> None:
    DreamSpec.build(layers=(28,), channels=(511,))
    with pytest.raises(
        InvalidChannel, match=r"0-127; got 300. `beholder layers --network specimens`"
    ):
        DreamSpec.build(layers=(28,), channels=(300,), network="specimens")
    with pytest.raises(InvalidInput):
        DreamSpec.build(layers=(28,), channels=(512,))
    DreamSpec.build(layers=(0,), channels=(300,), network="weights.pth")  # only its file knows


def test_the_last_step_is_always_kept() -> None:
    assert DreamSpec.build(steps=30, snapshots=(20, 10)).steps_kept == (10, 20, 30)
    assert DreamSpec.build(steps=30, snapshots=(30,)).steps_kept == (30,)


def test_so_many_steps_are_kept_as_memory_holds() -> None:
    for size, most in ((8192, 4), (2048, 64), (1024, 250)):
        spec = DreamSpec.build(size=size, steps=most, snapshots=tuple(range(1, most)))
        assert len(spec.steps_kept) == most
    kept = DreamSpec.build(size="keep", steps=5, snapshots=(1, 2, 3, 4))
    assert kept.too_many_kept(8192, 6_000) is None
    assert "5 steps of 8192 x 8192 pixels" in str(kept.too_many_kept(8192, 8192))
    assert DreamSpec.build(size="keep").too_many_kept(40_000, 40_000) is None  # one has to be

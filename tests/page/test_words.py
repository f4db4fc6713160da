"""What pages say, without a browser: commands that ask for the same, durations, curves, strips."""

import shlex

import pytest

from api.page_charts import curve, strip
from api.page_facts import facts
from api.page_new import spec_of_form
from api.page_words import (
    ask_words,
    bytes_words,
    climb_words,
    command,
    duration,
    number_words,
    short,
)
from beholder.errors import InvalidInput
from beholder.layers import numbers_text
from beholder.specs import DreamSpec, StudySpec


@pytest.mark.parametrize(
    "spec",
    [
        DreamSpec(network="specimens"),
        DreamSpec(layers=(0, 1, 2, 7), steps=110, snapshots=(10, 60), channels=(3, 17)),
        DreamSpec(layers=tuple(range(37)), size="keep", normalize=True, pre_relu=True),
        DreamSpec(layers=(30, 12), learning_rate=0.5, noise=2, seed=7, size=96, precision="bf16"),
        DreamSpec(
            network="specimens",
            recipe="deepdream",
            objective="conv5_1:3 - tv*0.1",
            steps=12,
            octaves=2,
            keep_colour=True,
            blend=0.25,
            seed=3,
            smoothing=0,
            schedule="cosine",
        ),
        DreamSpec(recipe="feature", channels=(3,), noise=0, normalize=False, transforms="none"),
        DreamSpec(recipe="maco", layers=(28,), size=224, optimiser="adam"),
        DreamSpec(jitter=8, optimiser="adam", gradient="scaled", measure="squared", octave_scale=2),
        DreamSpec(zoom=1.05, frames=12),
        DreamSpec(carry=0.5, size="keep"),
        DreamSpec(carry=0.0123456789, learning_rate=0.0123456789, smoothing=1.23456789),
        DreamSpec(zoom=1.23456789, frames=2, blend=0.123456789, octaves=2, octave_scale=1.23456789),
        StudySpec(),
        StudySpec(
            recipe="sound",
            target="kelpie",
            methods=("count", "effect"),
            modes=("scale", "mean"),
            alpha=0.25,
            doses=(2, 4),
            dose=4,
            per_layer=True,
            draws=19,
            matrix=True,
            seed=3,
        ),
        StudySpec(top=20, min_layer=26, most_common=3, threshold=2, size=64),
    ],
)
def test_the_command_asks_for_the_same(spec, monkeypatch):
    from typer.testing import CliRunner

    from cli import studies, submit
    from cli.main import app

    asked = []

    def note(desk, spec, sources, *, name, priority, device):
        asked.append((spec, name, priority, device))
        raise InvalidInput("noted")

    for module in (submit, studies):
        monkeypatch.setattr(module, "queue_job", note)
    monkeypatch.setenv("BEHOLDER_NETWORK", "vgg19")
    words = shlex.split(command(spec, "it's named", "low", device="gpu"))
    CliRunner().invoke(app, words[1:])
    assert asked == [(spec, "it's named", "low", "gpu")]


def test_pictures_beside_noise_are_in_the_command():
    spec = DreamSpec(noise=2, seed=7)
    assert command(spec).startswith("beholder submit --noise 2 --seed 7 ")
    words = command(spec, pictures=True)
    assert words.startswith("beholder submit --dir DIR --noise 2 --seed 7 ")


@pytest.mark.parametrize("others", [(), ("sibling",), ("control",), ("sibling", "control")])
def test_a_studys_command_names_the_pictures_that_it_has(others):
    words = shlex.split(command(StudySpec(), others=others))
    assert words[:4] == ["beholder", "study", "--dir", "TARGETS"]
    named = [word for word in words if word in ("--sibling", "--control")]
    assert named == [f"--{role}" for role in others]


def test_a_command_names_the_files_that_a_spec_names():
    words = command(DreamSpec(recipe="guide", guide="0" * 64, mask="1" * 64))
    assert " --mask MASK --guide GUIDE " in words


def test_a_recipes_form_is_its_spec():
    text = {"recipe": "deepdream", "octaves": "2", "smoothing": "0.5", "keep_colour": "yes"}
    found = spec_of_form("dream", {**text, "normalize": "yes", "objective": "28:3"}, ["25"])
    assert found == DreamSpec(
        recipe="deepdream", octaves=2, smoothing=0.5, keep_colour=True, objective="conv5_1:3"
    )
    assert ask_words(found) == "deepdream · conv5_1:3 · 40 steps"


def test_what_only_the_api_can_ask_for_has_no_command():
    assert command(StudySpec(norm_threshold=1.5)) == ""


def test_a_forms_fields_are_read_as_people_write_them():
    text = {"network": "specimens", "size": "keep", "snapshots": "20, 5 10", "channels": "3, 17-19"}
    spec = spec_of_form("dream", {**text, "steps": "30", "noise": ""}, ["25", "30"])
    assert spec == DreamSpec(
        network="specimens", size="keep", snapshots=(5, 10, 20), channels=(3, 17, 18, 19),
        layers=(25, 30),
    )  # fmt: skip
    for fields, layers, words in (
        ({}, [], "choose at least one"),
        ({"size": "big"}, ["1"], "size: a whole number; got 'big'"),
        ({"snapshots": "soon"}, ["1"], "steps to keep: a whole number"),
        ({"steps": "none"}, ["1"], "steps: "),
    ):
        with pytest.raises(InvalidInput, match=words):
            spec_of_form("dream", fields, layers)


def test_a_pages_facts_are_those_that_count():
    sound = dict(facts(StudySpec(recipe="sound", methods=("iterative", "count"), modes=("mean",))))
    assert sound["Methods"] == "iterative, count"
    assert sound["Modes"] == "mean"
    assert sound["Dose"] == "tuning pictures decide"
    assert sound["Doses"] == "1, 2, 5, 8, 12, 16, 20, 40, 80"
    assert sound["Top"] == "10"  # which counting has
    without = {"Alpha", "Most common", "Threshold", "Pre relu"}
    assert not without & set(sound)
    bare = dict(facts(StudySpec(recipe="sound", doses=(), dose=3)))
    assert [bare[name] for name in ("Methods", "Modes", "Dose", "Doses")] == [
        "iterative", "zero", "3", "the dose alone",
    ]  # fmt: skip
    assert not {"Top", "Norm threshold", *without} & set(bare)
    article = dict(facts(StudySpec()))
    assert article["Min layer"] == "20 (relu4_1)"
    assert not {"Target", "Methods", "Modes", "Dose", "Doses", "Draws"} & set(article)

    dream = dict(facts(DreamSpec(learning_rate=0.0123456789)))
    assert dream["Channels"] == "the whole layer"
    assert dream["Snapshots"] == "the last"
    assert dream["Learning rate"] == "0.0123456789"
    assert not {"Zoom", "Frames", "Carry", "Objective"} & set(dream)
    film = dict(facts(DreamSpec(zoom=1.05, frames=12, objective="conv5_1:3")))
    assert [film[name] for name in ("Zoom", "Frames", "Objective")] == ["1.05", "12", "conv5_1:3"]
    assert not {"Layers", "Channels", "Carry"} & set(film)


def test_numbers_in_words():
    assert [duration(each) for each in (0, 4.26, 42.4, 200, 8000, 200_000)] == [
        "0.1 s", "4.3 s", "42 s", "3 min", "2 h 13 min", "2 days",
    ]  # fmt: skip
    assert [bytes_words(each) for each in (999, 12_345, 2e6, 3e9)] == [
        "999 B", "12.3 kB", "2.0 MB", "3.0 GB",
    ]  # fmt: skip
    assert [number_words(each) for each in (0, -4773.1, 1510, 9.999, 0.01234, 3.14e-9, 2)] == [
        "0", "-4,770", "1,510", "10", "0.0123", "3.14e-09", "2",
    ]  # fmt: skip
    assert numbers_text([3, 1, 2, 9]) == "1-3,9"
    assert short("a" * 30, 11) == "aaaaa…aaaaa"
    assert "channel 17" in ask_words(DreamSpec(channels=(17,)))


def test_a_curve_fills_its_box():
    drawn = curve([1.0, 2.0, 4.0])
    assert drawn.line == "0.0,112.5 240.0,75.0 480.0,0.0"
    assert drawn.ticks == ((0.0, "4"), (150.0, "0"))
    assert drawn.words == "From 1 to 4, 4.0 times."
    assert curve([1.0]) is None
    assert curve([0.0, 0.0]).words == "From 0 to 0."
    assert len(curve(list(range(100_000))).line.split()) < 1_000


def test_a_curve_holds_what_is_below_0_and_says_that_it_fell():
    drawn = curve([-276.04, -2000.0, -4773.1])
    assert drawn.line == "0.0,8.7 240.0,62.9 480.0,150.0"
    assert drawn.area.startswith("0,0 ")
    assert [(round(at), text) for at, text in drawn.ticks] == [(0, "0"), (150, "-4,770")]
    assert drawn.words == "From -276 to -4,770: it fell."
    both = curve([-50.0, 100.0])
    assert both.line == "0.0,150.0 480.0,0.0"
    assert both.ticks == ((0.0, "100"), (100.0, "0"), (150.0, "-50"))
    assert both.words == "From -50 to 100."
    assert [tick[1] for tick in curve([-1.0, 100.0]).ticks] == ["100", "0"]  # they would touch


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (DreamSpec(), "the L2 norm of conv5_1"),
        (DreamSpec(recipe="feature", channels=(3, 4)), "the mean of conv5_1:3-4"),
        (DreamSpec(objective="mean(28:3) - tv*0.1"), "mean(conv5_1:3) - tv*0.1"),
        (
            DreamSpec(objective="28:3 - tv*0.1"),
            "conv5_1:3 - tv*0.1, with the L2 norm of layers that name no measure",
        ),
    ],
)
def test_a_page_says_what_steps_climb(spec, words):
    assert climb_words(spec, 28) == words


def test_a_strip_marks_where_one_is():
    marks = strip([1.0, 4.0, 0.0], 1)
    assert [(mark.height, mark.here) for mark in marks] == [
        (0.25, False),
        (1.0, True),
        (0.0, False),
    ]
    assert strip([], 0) == []

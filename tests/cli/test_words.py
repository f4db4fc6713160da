"""What a job asks for is said in the words of its recipe."""

from beholder.specs import DreamSpec, StudySpec
from cli.words import sheet_words, spec_words


def test_a_sound_study_says_what_it_compares():
    spec = StudySpec.build(
        recipe="sound", target="kelpie", methods=("iterative", "count"), modes=("zero", "mean")
    )
    assert spec_words(spec) == (
        "sound: target kelpie, channels by iterative + count, ablated by zero + mean, a tuned "
        "dose, from 20 relu4_1 on, 199 random sets"
    )
    dosed = StudySpec.build(recipe="sound", dose=3, per_layer=True, matrix=True)
    assert "3 channels of each layer" in spec_words(dosed)
    assert spec_words(dosed).endswith("a matrix of all folders")


def test_the_published_study_says_how_it_blinds():
    assert "that at least 4 pictures share" in spec_words(StudySpec.build())


def test_a_sheet_says_how_its_dreams_were_made():
    goal = "conv5_1:0-3*2 - conv4_2:1*0.5"
    spec = DreamSpec.build(
        recipe="deepdream", network="specimens", objective=goal, mask="a1" * 32, steps=12
    )
    expected = f"deepdream · 12 steps · learning rate 0.02 · {goal} · mask a1a1a1a1a1a1"
    assert sheet_words(spec) == expected
    assert sheet_words(DreamSpec.build(layers=(28,), channels=(17,))) == (
        "30 steps · learning rate 0.01 · channel 17"
    )
    many = " + ".join(f"conv5_1:{number}" for number in range(20))
    *_, last = sheet_words(DreamSpec.build(objective=many)).split(" · ")
    assert last.endswith("…")
    assert (len(last), last[:20]) == (80, many[:20])


def test_a_film_is_said_once():
    zoom = spec_words(DreamSpec.build(size=64, zoom=1.05, frames=10))
    assert (zoom.count("zoom"), zoom.count("frames"), zoom.count("1.05")) == (0, 1, 1)
    assert spec_words(DreamSpec.build(size=64, carry=0.5)).count("0.5") == 1

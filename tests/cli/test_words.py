"""What a job asks for is said in the words of its recipe."""

from beholder.specs import StudySpec
from cli.words import spec_words


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

"""File names of results: safe on any file system, and never the same for two pictures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beholder.names import (
    MAX_CHANNELS_LENGTH,
    MAX_STEM_BYTES,
    Names,
    channels_text,
    noise_stem,
    result_name,
    safe_stem,
)


def test_a_name_says_picture_layer_channels_and_step() -> None:
    plain = result_name("kelpie1", layer=35, channels=None, step=30, last_step=30)
    assert plain == "kelpie1--35-relu5_4--step030.png"
    one = result_name("kelpie1", layer=4, channels=[17], step=5, last_step=1000)
    assert one == "kelpie1--04-pool1--ch17--step0005.png"
    two = result_name(noise_stem(7), layer=30, channels=[17, 3], step=1, last_step=1)
    assert two == "noise-0007--30-conv5_2--ch3+17--step001.png"


def test_a_name_says_an_objective_in_short() -> None:
    def named(objective: str) -> str:
        return result_name(
            "sky", layer=28, channels=None, step=1, last_step=1, objective=objective
        ).split("--")[2]

    assert named("conv5_1:100 + conv4_2:17*0.5 - tv*0.1") == "conv5_1_100+conv4_2_17x0.5-tvx0.1"
    assert named('logit:"ice cream"') == "logit_icecream"
    long = [
        named(f"conv5_1:100 + conv5_2:3*0.25 + mean(conv4_2:17)*0.5 - conv3_3:{n}") for n in (1, 2)
    ]
    assert long[0] != long[1]
    assert all(len(one) <= MAX_CHANNELS_LENGTH for one in long)


def test_sources_become_safe_stems() -> None:
    assert safe_stem("kelpies/kelpie1.jpg") == "kelpie1"
    assert safe_stem("../../etc/passwd") == "passwd"
    assert safe_stem("kelpies/a\\b c?.png") == "a_b_c_"
    assert safe_stem(".hidden") == "hidden"
    assert safe_stem("-rf.png") == "rf"
    assert safe_stem("café\n\x1b[31m.jpg") == "café___31m"
    assert safe_stem("...") == "picture"
    assert safe_stem("") == "picture"


@pytest.mark.slow
@given(st.text())
def test_any_source_gives_one_safe_part(source: str) -> None:
    stem = safe_stem(source)
    assert stem
    assert len(stem.encode()) <= MAX_STEM_BYTES
    assert not stem.startswith((".", "-"))
    assert not set(stem) & set('/\\~:*?"<>|\0\n\r\t ')


def test_namesakes_are_told_apart() -> None:
    names = Names(["kelpie1", "Kelpie1", "skunk"])
    assert names.picture("kelpie1", 0) == "kelpie1~0001"
    assert names.picture("Kelpie1", 1) == "Kelpie1~0002"
    assert names.picture("skunk", 2) == "skunk"


@pytest.mark.slow
@given(st.lists(st.text(alphabet="aA~1./", max_size=6), max_size=12))
def test_no_two_pictures_get_one_name(sources: list[str]) -> None:
    stems = [safe_stem(source) for source in sources]
    names = Names(stems)
    made = [names.picture(stem, number).casefold() for number, stem in enumerate(stems)]
    assert len(set(made)) == len(made)


def test_channels_are_written_short() -> None:
    assert channels_text([5]) == "5"
    assert channels_text([4, 3]) == "3+4"
    assert channels_text(range(8)) == "0-7"
    assert channels_text([*range(8), 12]) == "0-7+12"
    many = channels_text(range(0, 512, 2))
    assert many.startswith("0+2+4+")
    assert many.endswith("-more")
    assert len(many) < 80

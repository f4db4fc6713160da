from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beholder.errors import InvalidChannel, InvalidObjective
from beholder.layers import LAYERS
from beholder.objective import MAX_TERMS, parse_objective
from beholder.specs import DreamSpec
from beholder.terms import MEASURES, Objective, Term, objective_of

CANONICAL = [
    "conv5_1",
    "conv5_1:100 + conv4_2:17*0.5",
    "conv4_2:17@7,7",
    "conv4_2:0-7,17@center*0.5 - relu5_4",
    "-logit:kelpie",
    'logit:"ice cream, lolly"*2 - tv*0.1 - l2*1e-05',
    "logit:207",
    "norm(pool5) + squared(conv3_1:3) - mean(conv2_1@1,2)",
    "direction(conv5_1:100*0.6,17*-0.8@center)",
    "diversity(conv4_2:3-5) + caricature(conv4_2) + guide(conv4_1)*0.25",
]


@pytest.mark.parametrize("text", CANONICAL)
def test_a_canonical_text_is_what_its_objective_writes(text: str) -> None:
    found = parse_objective(text)
    assert str(found) == text
    if '"' not in text:
        assert parse_objective(text.replace(" ", "")) == found
        assert parse_objective(text.replace("conv", "Conv").replace("center", "CENTER")) == found


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("28:100+21:17*.50", "conv5_1:100 + conv4_2:17*0.5"),
        ("0.5*conv5_1:7,3,4 * 3", "conv5_1:3-4,7*1.5"),
        ("class: kelpie", "logit:kelpie"),
        ("conv5_1:3-7", "conv5_1:3-7"),
        ("conv5_1:3 - 7", "conv5_1:3 - conv2_2"),
        ("28:9-7:2", "conv5_1:9 - conv2_2:2"),
        ("conv5_1:9-2*conv4_2:17", "conv5_1:9 - conv4_2:17*2"),
        ("conv5_1:3-conv4_1", "conv5_1:3 - conv4_1"),
        ("conv5_1:9-2*21:17", "conv5_1:9 - conv4_2:17*2"),
        ("conv5_1:3-7.5*28", "conv5_1:3 - conv5_1*7.5"),
        ("conv5_1:0-7*2", "conv5_1:0-7*2"),
        ("2*conv5_1:0-7-tv", "conv5_1:0-7*2 - tv"),
        ("conv5_1:3,4 *2", "conv5_1:3-4*2"),
        ("conv5_1:9,0-7*.5", "conv5_1:0-7,9*0.5"),
        ("conv5_1:0-7*1e-05", "conv5_1:0-7*1e-05"),
        ("28*0.5", "conv5_1*0.5"),
        ("0.5*28", "conv5_1*0.5"),
        ("28*50 + 50*28", "conv5_1*50 + conv5_1*50"),
        ("28*2:3", "conv1_2:3*28"),
    ],
)
def test_what_people_write_has_one_canonical_form(written: str, canonical: str) -> None:
    found = parse_objective(written)
    assert str(found) == canonical
    assert parse_objective(canonical) == found


def of_layer(measure: str | None) -> st.SearchStrategy[Term]:
    channels = st.lists(st.integers(0, 511), min_size=1, max_size=5, unique=True).map(sorted)
    places = st.just("center") | st.tuples(st.integers(0, 99), st.integers(0, 99))
    term = st.builds(
        Term,
        measure=st.just(measure),
        layer=st.sampled_from([layer.index for layer in LAYERS]),
        channels=st.none() | channels.map(tuple),
        place=st.none() if measure in ("diversity", "caricature", "guide") else st.none() | places,
    )
    if measure != "direction":
        return term
    shares = st.dictionaries(st.integers(0, 511), weights(), min_size=1, max_size=4)
    return st.builds(
        lambda one, of: replace(one, channels=tuple(of), shares=tuple(of.values())), term, shares
    )


def weights() -> st.SearchStrategy[float]:
    return st.integers(-30, 30).filter(bool).map(float) | st.floats(
        allow_nan=False, allow_infinity=False
    ).filter(bool)


def terms() -> st.SearchStrategy[Term]:
    letters = st.characters(exclude_characters='"', exclude_categories=["Cs"])
    labels = st.text(letters, max_size=12).map(str.strip).filter(bool)
    return st.one_of(
        *map(of_layer, (None, *MEASURES)),
        st.builds(Term, label=labels),
        st.builds(Term, picture=st.sampled_from(["tv", "l2"])),
    )


def weighted() -> st.SearchStrategy[Term]:
    return st.builds(lambda term, by: replace(term, weight=by), terms(), weights())


@pytest.mark.slow
@given(st.lists(weighted(), min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_every_objective_is_read_back_from_its_text(found: list[Term]) -> None:
    objective = Objective((Term(layer=28, channels=(0, 1, 2), weight=2.0), *found))
    assert parse_objective(str(objective)) == objective


def test_a_stored_spec_keeps_its_objective() -> None:
    spec = DreamSpec.build(objective="2*conv5_1:0-7 - conv4_1:3,4*0.5")
    assert DreamSpec.build(**spec.model_dump()) == spec
    assert str(spec.objective_at(28)) == "norm(conv5_1:0-7)*2 - norm(conv4_1:3-4)*0.5"


@pytest.mark.parametrize(
    ("text", "at", "words"),
    [
        ("", 1, "expected a layer, a measure or logit:CLASS; got the end"),
        ("conv5_1:100 + conv6_2", 15, "no layer 'conv6_2'.*Did you mean conv5_2"),
        ("meen(conv5_1)", 1, "did you mean mean; got 'meen"),
        ("conv5_1:", 9, "expected channels such as 17, 3,17 or 0-7; got the end"),
        ("conv5_1:9-2", 9, "the range '9-2' runs backwards: write 2-9"),
        ("conv5_1:100 conv4_2", 13, r"expected \+, - or \*WEIGHT; got 'conv4_2'"),
        ("conv5_1*", 9, "expected a weight such as 0.5; got the end"),
        ("28*2", 1, r"28\*2 may mean two things: write conv5_1\*2 or conv1_2\*28\."),
        ("conv5_1 - 2 * 28 * 0.5", 11, r"2\*28 may mean two things: write conv1_2\*28 or conv5_1"),
        ("conv5_1 + conv4_1*0", 11, "expected a weight other than 0"),
        ("conv5_1*1e999", 9, "expected a smaller number"),
        ("conv5_1@7", 9, "expected ROW,COLUMN of the layer's map, or center; got '7'"),
        ("norm(conv5_1", 13, r"expected \); got the end"),
        ("diversity(conv4_2@3,3)", 18, r"expected \); got '@3,3\)'"),
        ("direction(conv5_1:3)", 19, r"expected CHANNEL\*SHARE such as 17\*-0.8"),
        ("direction(conv5_1:3*1,3*2)", 23, "expected each channel once"),
        ("logit:golden retriever", 14, "with a name of several words in quotes"),
        ("conv5_1^2", 8, r"expected :CHANNELS, @ROW,COLUMN, \+, - or \*WEIGHT; got '\^2'"),
    ],
)
def test_an_error_says_where_and_what_was_expected(text: str, at: int, words: str) -> None:
    with pytest.raises(InvalidObjective, match=rf"objective: at character {at}: .*{words}") as got:
        parse_objective(text)
    assert "\n" not in str(got.value)


def test_what_is_no_objective_is_refused_as_a_whole() -> None:
    with pytest.raises(InvalidObjective, match="name a layer or a class too"):
        parse_objective("tv - l2")
    with pytest.raises(InvalidObjective, match="4,000 characters at most"):
        parse_objective("conv5_1+" * 501)
    with pytest.raises(InvalidObjective, match=f"the end, after {MAX_TERMS} terms"):
        parse_objective("+".join(["0"] * (MAX_TERMS + 1)))


def test_what_an_objective_needs_of_network_and_picture() -> None:
    found = parse_objective("conv3_1:3@27,27 + conv4_2:200*2 - tv")
    assert (found.layer, found.tiles, found.is_norm) == (21, False, False)
    assert parse_objective("logit:3 + conv1_1").layer == 36
    found.check_channels("vgg19")
    with pytest.raises(InvalidChannel, match="conv4_2 has channels 0-127; got 200"):
        found.check_channels("specimens")
    assert found.misplaced(112, 112) is None
    for width, height in ((111, 112), (112, 111)):
        reason = str(found.misplaced(width, height))
        assert f"of {width} x {height} pixels; got 27,27" in reason
    assert "conv3_1 has rows 0-26 and columns 0-27" in reason
    quarters = parse_objective("conv5_1 + diversity(pool4)")
    assert quarters.too_few_places(32, 40) is None
    assert "takes 32 pixels a side" in str(quarters.too_few_places(40, 31))


def test_a_layer_and_its_channels_are_their_objective() -> None:
    assert objective_of(28, (100,)) == parse_objective("conv5_1:100")
    assert objective_of(28, None) == Objective((Term(layer=28),))
    plain = parse_objective("conv5_1 + mean(conv4_2)").measured("squared")
    assert str(plain) == "squared(conv5_1) + mean(conv4_2)"
    assert (plain.tiles, plain.measures) == (False, {"squared", "mean"})
    assert parse_objective("conv5_1:3").measured("norm").is_norm
    assert parse_objective("conv5_1*2 + squared(28) - tv").measured("norm").tiles

"""Ablating: what each mode puts in, by hand as well, and a network that is as before afterwards."""

import pytest
import torch

from beholder.errors import InvalidChannel, InvalidInput, InvalidLayer
from beholder.science.ablation import Ablation, ablated
from beholder.science.blind import blinded, classify
from beholder.science.dream import dream
from beholder.science.fills import Fills, find_fills
from beholder.science.measure import measure

CUT = {22: (1, 3), 29: (0, 5, 7), 36: (2,)}
MODES = [
    Ablation(CUT),
    Ablation(CUT, mode="mean"),
    Ablation(CUT, mode="resample"),
    Ablation(CUT, mode="scale", alpha=0.3),
    Ablation({29: (0, 5, 7)}, keep=True, candidates=(29, 36)),
    Ablation({29: (0, 5, 7)}, mode="mean", keep=True, candidates=(29, 36)),
]


@pytest.fixture(scope="module")
def controls(starts):
    return starts(9, 32)[4:]


@pytest.fixture(scope="module")
def fills(narrow, controls):
    return find_fills(narrow, controls, means=CUT, donors=CUT, most_donors=3, seed=2)


def maps_of(network, pictures):
    """Every layer's maps, module by module."""
    found, maps = [], pictures
    with torch.no_grad():
        for module in network.module.features:
            maps = module(maps.clone())
            found.append(maps)
    return found


def by_hand(network, pictures, cut, values):
    """Logits with values(layer, channel, maps of it (B, h, w)) in the place of each channel."""
    maps = pictures
    with torch.no_grad():
        for layer, module in enumerate(network.module.features):
            maps = module(maps.clone())
            for channel in cut.get(layer, ()):
                maps[:, channel] = values(layer, channel, maps[:, channel])
        return network.module.classifier(network.module.avgpool(maps).flatten(1))


def hooks(network):
    return sum(len(part._forward_hooks) for part in network.module.modules())


def through(network, pictures, ablation, fills):
    with ablated(network, ablation, fills):
        return classify(network, pictures)


def test_zero_is_blinding(narrow, starts):
    with blinded(narrow, CUT):
        expected = classify(narrow, starts(3, 32))
    assert torch.equal(through(narrow, starts(3, 32), Ablation(CUT), None), expected)


def test_mean(narrow, starts, controls, fills):
    control = maps_of(narrow, controls)
    expected = by_hand(
        narrow, starts(3, 32), CUT, lambda layer, channel, _: control[layer][:, channel].mean()
    )
    found = through(narrow, starts(3, 32), Ablation(CUT, mode="mean"), fills)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_scale(narrow, starts):
    expected = by_hand(narrow, starts(3, 32), CUT, lambda layer, channel, maps: maps * 0.3)
    found = through(narrow, starts(3, 32), Ablation(CUT, mode="scale", alpha=0.3), None)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)
    same = through(narrow, starts(3, 32), Ablation(CUT, mode="scale", alpha=1.0), None)
    assert torch.allclose(same, classify(narrow, starts(3, 32)), rtol=1e-4, atol=1e-5)


def test_resample_takes_one_donor_a_picture_at_every_layer(narrow, starts, fills):
    places = [fills.donor(position) for position in range(6)]
    assert set(places) == {0, 1, 2}, "the seed shows all donors in few pictures"
    expected = by_hand(
        narrow, starts(6, 32), CUT, lambda layer, channel, _: fills.donors[layer][places, channel]
    )
    found = through(narrow, starts(6, 32), Ablation(CUT, mode="resample"), fills)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_donors_are_intact_controls(narrow, controls, fills):
    control = maps_of(narrow, controls)
    for layer in CUT:
        for donor in fills.donors[layer]:
            assert any(torch.allclose(donor, maps, atol=1e-5) for maps in control[layer])


def test_a_donor_depends_on_the_position_alone(narrow, starts, fills):
    ablation = Ablation(CUT, mode="resample")
    pictures = starts(4, 32)
    with ablated(narrow, ablation, fills, positions=[10, 11, 12, 13]):
        whole = classify(narrow, pictures)
    for place, position in ((3, 13), (0, 10)):
        with ablated(narrow, ablation, fills, positions=[position]):
            alone = classify(narrow, pictures[place : place + 1])
        assert torch.allclose(alone[0], whole[place], rtol=1e-4, atol=1e-5)


def test_keep_leaves_those_channels_of_the_candidates_alone(narrow, starts):
    rest = {
        29: tuple(channel for channel in range(narrow.widths[29]) if channel not in (0, 5, 7)),
        36: tuple(range(narrow.widths[36])),
    }
    keep = Ablation({28: (0, 5, 7)}, keep=True, candidates=(28, 36))
    expected = by_hand(narrow, starts(2, 32), rest, lambda layer, channel, maps: 0.0)
    assert torch.allclose(through(narrow, starts(2, 32), keep, None), expected, atol=1e-5)


@pytest.mark.parametrize("ablation", MODES[1:4], ids=lambda ablation: ablation.mode)
def test_a_convolutions_channel_is_its_relus(narrow, starts, fills, ablation):
    of_convolutions = {layer - (layer != 36): channels for layer, channels in CUT.items()}
    other = Ablation(of_convolutions, mode=ablation.mode, alpha=ablation.alpha)
    pictures = starts(2, 32)
    expected = through(narrow, pictures, ablation, fills)
    assert torch.equal(through(narrow, pictures, other, fills), expected)
    assert not torch.allclose(expected, classify(narrow, pictures), atol=1e-6)


def test_other_channels_of_the_layer_are_untouched(narrow, starts, fills):
    intact = measure(narrow, starts(2, 32)).strengths
    with ablated(narrow, Ablation({22: (1, 3)}, mode="mean"), fills):
        found = measure(narrow, starts(2, 32)).strengths
    others = [channel for channel in range(narrow.widths[22]) if channel not in (1, 3)]
    assert torch.allclose(found[22][:, others], intact[22][:, others], rtol=1e-5)
    assert not torch.allclose(found[22][:, [1, 3]], intact[22][:, [1, 3]], rtol=1e-2)


@pytest.mark.parametrize("ablation", MODES, ids=lambda ablation: f"{ablation.mode}{ablation.keep}")
@pytest.mark.parametrize("fails", [False, True])
def test_everything_is_as_before_afterwards(narrow, starts, ablation, fails):
    fills = find_fills(narrow, starts(3, 32), means=(29, 36, 22), donors=CUT)
    weights = {name: value.clone() for name, value in narrow.module.state_dict().items()}
    pictures = starts(2, 32)
    before = classify(narrow, pictures)
    try:
        with ablated(narrow, ablation, fills) as same:
            assert same is narrow
            assert hooks(narrow) > 0
            assert not torch.equal(classify(narrow, pictures), before)
            if fails:
                raise RuntimeError("inside")
    except RuntimeError:
        assert fails
    assert hooks(narrow) == 0
    for name, value in narrow.module.state_dict().items():
        assert torch.equal(value, weights[name])
    assert torch.equal(classify(narrow, pictures), before)


def test_gone_after_an_error_while_registering(narrow, monkeypatch):
    def refuse(hook):
        raise RuntimeError("no room for a hook")

    monkeypatch.setattr(narrow.module.features[29], "register_forward_hook", refuse)
    with pytest.raises(RuntimeError, match="no room"), ablated(narrow, Ablation(CUT)):
        pass
    assert hooks(narrow) == 0


def test_dreams_inside(narrow, starts, fills):
    with ablated(narrow, Ablation({22: (1, 3)}, mode="mean"), fills):
        found = dream(narrow, starts(1, 32), layer=22, channels=[1, 3], steps=1)
        other = dream(narrow, starts(1, 32), layer=29, steps=1)
    assert torch.equal(found.pictures, starts(1, 32).clamp(0, 1)), "a constant has no gradient"
    assert not torch.equal(other.pictures, dream(narrow, starts(1, 32), layer=29, steps=1).pictures)


@pytest.mark.parametrize(
    ("ablation", "error", "words"),
    [
        (Ablation({20: (1,), 37: (0,)}), InvalidLayer, "no layer '37'"),
        (Ablation({22: (64,)}, mode="scale"), InvalidChannel, "relu4_2 has channels 0-63 .*got 64"),
        (Ablation({22: (1,)}, mode="mean"), InvalidInput, "needs fills"),
        (Ablation({22: (1,)}, keep=True), InvalidInput, "candidates"),
        (Ablation({22: (64,)}, keep=True, candidates=(22,)), InvalidChannel, "got 64"),
        (Ablation({22: (1,)}, keep=True, candidates=(29,)), InvalidInput, "got relu4_2"),
    ],
)
def test_mistakes_are_named(narrow, ablation, error, words):
    with pytest.raises(error, match=words), ablated(narrow, ablation):
        pass
    assert hooks(narrow) == 0


def test_fills_that_lack_something(narrow, fills):
    for mode in ("mean", "resample"):
        ablation = Ablation({31: (1,)}, mode=mode)
        with pytest.raises(InvalidInput, match="lack relu5_2"), ablated(narrow, ablation, fills):
            pass


def test_known_means(narrow, starts, fills):
    table = {layer: {c: fills.means[layer][c].item() for c in cut} for layer, cut in CUT.items()}
    known = Fills.known(narrow, table)
    ablation = Ablation(CUT, mode="mean")
    expected = through(narrow, starts(2, 32), ablation, fills)
    assert torch.equal(through(narrow, starts(2, 32), ablation, known), expected)
    lacking = Ablation({22: (1, 4)}, mode="mean")
    with pytest.raises(InvalidInput, match="lack relu4_2"), ablated(narrow, lacking, known):
        pass


def test_pictures_that_do_not_fit(narrow, starts, fills):
    ablation = Ablation(CUT, mode="resample")
    one, words = ablated(narrow, ablation, fills, positions=[0]), "1 positions, but 2 pictures"
    with one, pytest.raises(InvalidInput, match=words):
        classify(narrow, starts(2, 32))
    with ablated(narrow, ablation, fills), pytest.raises(InvalidInput, match="pictures' size"):
        classify(narrow, starts(1, 64))


def test_means_do_not_depend_on_how_controls_are_batched(narrow, starts, monkeypatch):
    whole = find_fills(narrow, starts(5, 32), means=[29]).means[29]
    monkeypatch.setattr("beholder.science.fills._PICTURES", 2)
    assert torch.allclose(find_fills(narrow, starts(5, 32), means=[28]).means[29], whole, rtol=1e-6)


def test_no_controls(narrow):
    with pytest.raises(InvalidInput, match="one at least"):
        find_fills(narrow, torch.zeros(0, 3, 32, 32), means=[29])

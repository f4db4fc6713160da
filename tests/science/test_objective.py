"""Objectives: true gradients, the same alone and in a batch, and layers as the article has them."""

import pytest
import torch

from beholder.errors import InvalidInput, InvalidObjective, InvalidSpec
from beholder.objective import parse_objective
from beholder.science.ascent import Ascent
from beholder.science.blind import blinded
from beholder.science.inputs import noise
from beholder.science.measures import along, measured
from beholder.science.objective import Aim, ask_each
from beholder.science.response import Response, channel, strength
from beholder.terms import Term

TERMS = [
    "conv3_1",
    "conv3_1:3,5",
    "squared(pool2:1-4)",
    "mean(relu3_2:1-7)",
    "conv3_1:0-9@3,4",
    "mean(pool3@center)",
    "direction(conv3_1:3*0.6,5*-0.8)",
    "diversity(conv2_1)",
    "caricature(conv2_2)",
    "guide(conv3_1)",
    "logit:cat",
    "conv3_1 + tv*0.5 - l2*0.25",
    "conv2_1:4*0.5 - conv3_1:3 + squared(conv2_1)*0.1 - logit:2*3",
]


def pictures(count, side=32):
    return torch.stack([noise(seed, size=side) + 0.5 for seed in range(count)])


def aim_of(network, text, **options):
    return Aim.of(network, parse_objective(text).measured("norm"), **options)


def asked(aim, batch, guides=None, **more):
    looks = aim.look(guides) if aim.guided else None
    return aim(batch, looks=looks, **more)


@pytest.mark.parametrize("pre_relu", [False, True])
@pytest.mark.parametrize("text", TERMS)
def test_a_gradient_is_that_of_finite_differences(narrow, text, pre_relu):
    aim = aim_of(narrow, text, precision="float64", pre_relu=pre_relu, normalize=pre_relu)
    picture, guide = pictures(1).double(), pictures(2)[1:].double()
    value, gradient = asked(aim, picture, guide)
    assert gradient.abs().max() > 0
    generator = torch.Generator().manual_seed(1)
    for _ in range(2):
        way = torch.randn(picture.shape, generator=generator, dtype=torch.float64)
        way /= way.norm()
        step = 1e-6
        ahead, _ = asked(aim, picture + step * way, guide)
        behind, _ = asked(aim, picture - step * way, guide)
        slope = (ahead - behind).item() / (2 * step)
        assert slope == pytest.approx((gradient * way).sum().item(), rel=2e-4, abs=1e-6), value


@pytest.mark.parametrize("text", TERMS)
def test_a_batch_is_each_alone(narrow, text):
    aim = aim_of(narrow, text)
    batch, guides = pictures(3), pictures(5)[2:]
    values, gradients = asked(aim, batch, guides)
    for row in range(3):
        value, gradient = asked(aim, batch[row : row + 1], guides[row : row + 1])
        assert torch.equal(value[0], values[row])
        assert torch.equal(gradient[0], gradients[row])


@pytest.mark.parametrize("text", TERMS)
def test_the_modules_themselves_say_the_same(narrow, text):
    batch, guides = pictures(2), pictures(4)[2:]
    values, gradients = asked(aim_of(narrow, text), batch, guides)
    modules, back = asked(aim_of(narrow, text, precision="exact"), batch, guides)
    assert torch.allclose(values, modules, rtol=1e-4, atol=1e-6)
    assert (gradients - back).norm() < 1e-3 * back.norm()


def test_a_layer_is_its_objective_bit_for_bit(narrow):
    batch = pictures(2)
    settings = {"normalize": True, "pre_relu": False, "precision": "float32", "memory": 2**30}
    norms, gradient = Ascent.of(narrow, "conv4_2", [1, 3], **settings)(batch, None)
    values, same = aim_of(narrow, "conv4_2:1,3", normalize=True)(batch)
    assert torch.equal(values, norms)
    assert torch.equal(same, gradient)


@pytest.mark.parametrize("precision", ["float32", "bf16", "exact"])
@pytest.mark.parametrize("layer", ["conv3_1", "pool2"])
def test_an_objective_is_the_same_asked_as_a_function_bit_for_bit(narrow, layer, precision):
    batch = pictures(2, side=48)
    for text, objective in ((f"{layer}", strength), (f"mean({layer}:3)", channel(3))):
        options = {"precision": precision, "normalize": True}
        _, gradient = aim_of(narrow, text, wakes=True, **options)(batch)
        _, same = Response.of(narrow, layer, **options)(batch, [objective] * 2)
        assert gradient.any()
        assert torch.equal(same, gradient)


def test_nothing_climbs_what_is_zeroed_before_its_relu(narrow):
    with blinded(narrow, {10: [3]}):
        _, gradient = aim_of(narrow, "mean(conv3_1:3)", pre_relu=True)(pictures(1))
        assert not gradient.any()


def test_tiles_add_up_to_the_whole(narrow):
    text, batch = "conv3_1:3*2 - squared(conv2_1)*0.1 + tv", pictures(1, side=96)
    whole, gradient = aim_of(narrow, text)(batch)
    shares = []
    tiled, same = aim_of(narrow, text, memory=2**17)(batch, on_share=shares.append)
    assert torch.allclose(tiled, whole, rtol=1e-5)
    assert (same - gradient).abs().max() < 1e-5 * gradient.abs().max()
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_pictures_may_have_an_aim_each_whole_or_in_tiles(narrow):
    batch = pictures(2, side=96)
    for memory, text in ((2**30, "mean"), (2**17, "norm")):
        aims = [aim_of(narrow, f"{text}(conv3_1:{n})", memory=memory, wakes=True) for n in (3, 5)]
        values, gradient = ask_each(aims, batch)
        for row, aim in enumerate(aims):
            value, same = aim(batch[[row]])
            assert torch.equal(values[[row]], value)
            assert torch.equal(gradient[[row]], same)


def test_a_place_is_meant_in_the_full_picture(narrow):
    batch = pictures(1, side=64)
    at_full, _ = aim_of(narrow, "conv3_1:2@8,4")(batch)
    halved, _ = aim_of(narrow, "conv3_1:2@17,9")(batch, full=(128, 128))
    assert torch.equal(at_full, halved)
    with pytest.raises(InvalidObjective, match="conv3_1 has rows 0-15 and columns 0-15 of 64 x 64"):
        aim_of(narrow, "conv3_1:2@16,0")(batch)


def test_a_silent_channel_wakes_only_where_it_is_to(narrow):
    aim = aim_of(narrow, "mean(relu3_1:0)")
    module = narrow.module.features[10]
    before = module.bias.detach().clone()
    try:
        module.bias.data[0] = -100.0
        asleep, gradient = aim_of(narrow, "mean(relu3_1:0)")(pictures(2))
        _, waking = aim_of(narrow, "mean(relu3_1:0)", wakes=True)(pictures(2))
        away, lower = aim_of(narrow, "-mean(relu3_1:0)", wakes=True)(pictures(2))
        _, alone = aim_of(narrow, "mean(relu3_2:3)", wakes=True)(pictures(2))
        _, beside = aim_of(narrow, "mean(relu3_2:3) - mean(relu3_1:0)", wakes=True)(pictures(2))
    finally:
        module.bias.data.copy_(before)
    assert not asleep.any()
    assert not gradient.any()
    assert waking.any()
    assert not away.any()
    assert not lower.any()
    assert alone.any()
    assert torch.equal(beside, alone)
    assert aim(pictures(2))[0].any()


def test_what_a_network_lacks_is_named(narrow):
    for text, words in {
        "logit:kat": "no class 'kat' of this network; .* such as cat",
        "logit:6": "a number from 0 to 5",
        "conv1_1:8": "conv1_1 has channels 0-7",
    }.items():
        with pytest.raises(InvalidInput, match=words):
            aim_of(narrow, text)
    with pytest.raises(InvalidSpec, match="goes toward a picture; give one"):
        aim_of(narrow, "guide(conv2_1)")(pictures(1))
    broken = pictures(2)
    broken[1, 0, 0, 0] = torch.nan
    values, _ = aim_of(narrow, "conv2_1 + mean(conv3_1)")(broken)
    assert values.isnan().tolist() == [False, True]


def test_channels_and_shares_of_the_same_numbers_are_told_apart():
    maps = torch.rand((8, 3, 3), generator=torch.Generator().manual_seed(0))
    channels = Term(measure="mean", layer=10, channels=(1, 2))
    direction = Term(measure="direction", layer=10, channels=(1, 2), shares=(1.0, 2.0))
    chosen = maps[[1, 2]]
    assert torch.equal(measured(channels, maps, None, (32, 32)), chosen.mean())
    expected = along(chosen, torch.tensor([1.0, 2.0]))
    assert torch.equal(measured(direction, maps, None, (32, 32)), expected)

"""Feature pictures, MACO and caricatures: alone as in a batch, resumed, and better than ascent."""

from functools import partial

import pytest
import torch

from beholder.errors import InvalidChannel, InvalidInput, InvalidSpec
from beholder.science.blind import blinded
from beholder.science.caricature import caricature
from beholder.science.checkpoint import Checkpoint
from beholder.science.dream import dream
from beholder.science.feature import feature
from beholder.science.inputs import noise
from beholder.science.likeness import alike, guided_by
from beholder.science.maco import maco
from beholder.science.optimisers import Adam, NAdam, momentum_product
from beholder.science.response import Response, channel, neuron, strength
from beholder.science.transforms import Crop, Jitter, Rotate, Scale, Views

SMALL_CROPS = Views((Crop(0.5, 0.8),), count=2, size=(32, 32), noise=0.05)
WAYS = {
    "feature": partial(feature, objective=channel(3), layer="conv3_1", size=(32, 48)),
    "maco": partial(maco, objective=channel(3), layer="conv3_1", size=(32, 48), views=SMALL_CROPS),
}


@pytest.fixture(scope="module")
def ways(starts):
    def sketched(network, *, seeds, **rest):
        sources = starts(3, 32)[list(seeds)]
        return caricature(network, sources, layer="conv3_1", seeds=seeds, **rest)

    return WAYS | {"caricature": sketched}


@pytest.mark.parametrize("way", ["feature", "maco", "caricature"])
def test_a_batch_is_its_pictures_alone(narrow, ways, way):
    together = ways[way](narrow, seeds=(0, 1, 2), steps=4, snapshots=[2])
    assert len(together.pictures.unique(dim=0)) == 3
    for seed in range(3):
        alone = ways[way](narrow, seeds=(seed,), steps=4, snapshots=[2])
        assert torch.equal(alone.pictures[0], together.pictures[seed])
        assert torch.equal(alone.snapshots[2][0], together.snapshots[2][seed])
        assert torch.equal(alone.opacity[0], together.opacity[seed])
        assert torch.equal(alone.objective[:, 0], together.objective[:, seed])


@pytest.mark.parametrize("way", ["feature", "maco", "caricature"])
def test_a_checkpoint_goes_on_to_the_same_bits(narrow, ways, way):
    kept = {}
    whole = ways[way](
        narrow,
        seeds=(0, 1),
        steps=5,
        snapshots=[1, 4],
        on_checkpoint=lambda step, take: kept.setdefault(step, take()),
    )
    for step in (3, 5):
        rows = Checkpoint.together([kept[step].row(0), kept[step].row(1)])
        again = ways[way](narrow, seeds=(0, 1), starts=rows, steps=5, snapshots=[1, 4])
        assert torch.equal(again.pictures, whole.pictures)
        assert torch.equal(again.opacity, whole.opacity)
        assert torch.equal(again.objective, whole.objective)
        assert again.snapshots.keys() == whole.snapshots.keys() == {1, 4, 5}
    assert torch.equal(kept[4].pictures, whole.snapshots[4])


def test_pictures_stay_in_range_and_the_network_as_it_was(narrow):
    narrow.module.features[3].train()
    narrow.module.features[5].weight.requires_grad_(True)
    try:
        found = feature(
            narrow, neuron(1), layer=12, size=32, steps=5, optimiser=Adam(5.0), normalize=True
        )
        assert narrow.module.features[3].training
        assert narrow.module.features[5].weight.requires_grad
        assert narrow.module.features[5].weight.grad is None
    finally:
        narrow.module.eval().requires_grad_(False)
    assert 0 <= found.pictures.min() < 0.2 < 0.8 < found.pictures.max() <= 1
    assert found.opacity.min() >= 0
    assert found.opacity.max() == 1


def test_steps_begin_with_a_given_picture(narrow):
    start = noise(3, size=32)[None] * 0.5 + 0.5
    found = feature(
        narrow, channel(0), layer=12, starts=start, seeds=(0,), steps=1, optimiser=Adam(1e-6)
    )
    assert (found.pictures - start).abs().max() < 1e-3


@pytest.mark.parametrize("pre_relu", [False, True])
@pytest.mark.parametrize("layer", ["conv2_1", "pool2"])
def test_gradients_are_those_of_finite_differences(narrow, layer, pre_relu):
    objectives = [channel(1), strength, guided_by(torch.rand(16, 3, 3, dtype=torch.float64))]
    pictures = torch.rand((3, 3, 32, 32), generator=torch.Generator().manual_seed(0)).double()
    way = {"normalize": True, "pre_relu": pre_relu}
    response = Response.of(narrow, layer, precision="float64", **way)
    values, gradient = response(pictures, objectives)
    direction = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(1)).double()
    ahead, _ = response(pictures + 1e-6 * direction, objectives)
    behind, _ = response(pictures - 1e-6 * direction, objectives)
    slope = (gradient * direction).sum(dim=(1, 2, 3))
    assert torch.allclose((ahead - behind) / 2e-6, slope, rtol=1e-4)
    maps = response.maps(pictures)
    assert values[0] == pytest.approx(maps[0, 1].mean().item())
    exact, by_autograd = Response.of(narrow, layer, precision="exact", **way)(
        pictures.float(), objectives
    )
    assert torch.allclose(values.float(), exact, rtol=1e-4)
    assert torch.allclose(gradient.float(), by_autograd, atol=1e-5 * gradient.abs().max().item())


def test_what_is_alike_has_the_gradient_of_finite_differences():
    maps, other = torch.rand((2, 5, 3, 4), dtype=torch.float64)
    maps.requires_grad_()
    for power in (0.0, 2.0):
        assert torch.autograd.gradcheck(partial(alike, other=other, power=power), maps)
    assert alike(other, other, power=4) == pytest.approx(alike(other, other, power=0).item())


@pytest.mark.parametrize("ours", [Adam(0.05), NAdam(0.3)], ids=["Adam", "NAdam"])
def test_optimisers_are_torchs(ours):
    start = torch.linspace(-2, 2, 12).view(2, 6).double()
    theirs = start.clone().requires_grad_()
    optimiser = getattr(torch.optim, type(ours).__name__)([theirs], lr=ours.rate)
    parameters, memory = start, ours.start(start)
    for number in range(1, 30):
        gradient = parameters**3 - torch.cos(parameters)
        parameters = ours.step(parameters, gradient, memory, number)
        theirs.grad = theirs.detach() ** 3 - torch.cos(theirs.detach())
        optimiser.step()
    assert torch.allclose(parameters, theirs.detach(), rtol=1e-12)


def test_nadams_momentum_is_multiplied_step_by_step_however_far_it_is():
    product, wanted = 1.0, {}
    for number in range(1, 100_001):
        product *= 0.9 * (1 - 0.5 * 0.96 ** (number * 0.004))
        wanted[number] = product
    for number in (100_000, 1, 2, 256, 257, 1025):  # the last step first: as from a checkpoint
        momentum_product.cache_clear()
        assert momentum_product(0.9, 0.004, number) == wanted[number]
    assert [momentum_product(0.9, 0.004, number) for number in range(1, 600)] == [
        wanted[number] for number in range(1, 600)
    ]
    begun = momentum_product.cache_info().misses
    momentum_product(0.9, 0.004, 600)
    assert momentum_product.cache_info().misses == begun + 1


def test_a_silent_channel_is_woken(specimens):
    asleep = feature(specimens, channel(5), layer="conv5_1", size=64, steps=1)
    assert asleep.objective[0] == 0
    assert feature(specimens, channel(5), layer="conv5_1", size=64, steps=12).objective[-1] > 0


def test_a_blinded_channel_is_not_woken(narrow):
    with blinded(narrow, {10: range(32)}):
        found = feature(narrow, channel(3), layer="conv3_1", size=32, steps=2)
        assert torch.equal(found.opacity, torch.zeros_like(found.opacity))


HELD_OUT = Views((Jitter(9), Scale(0.85, 1.2), Rotate(14)), count=16, beyond="mirror")


@pytest.mark.slow
def test_a_feature_picture_stands_transforms_better_than_plain_ascent(specimens):
    """At 0.1, the rate from 0.1 to 32 that serves ascent best here."""
    response = Response.of(specimens, "conv4_1")
    steps, numbers = 30, (5, 17)

    def held_out(pictures):
        views = HELD_OUT.drawn([100 + row for row in range(len(pictures))], 1, (64, 64))
        maps = response.maps(views.of(pictures))
        return torch.stack([maps[row, numbers[own]].mean() for row, own in enumerate(views.rows)])

    start = torch.full((2, 3, 64, 64), 0.5) + 0.05 * torch.stack(
        [noise(i, size=64) for i in (0, 1)]
    )
    ascent = partial(dream, specimens, layer="conv4_1", steps=steps, learning_rate=0.1)
    ascended = [ascent(start[[row]], channels=[one]).pictures for row, one in enumerate(numbers)]
    found = feature(
        specimens,
        [channel(n) for n in numbers],
        layer="conv4_1",
        seeds=(0, 1),
        size=64,
        steps=steps,
    )
    reached = held_out(found.pictures).mean()
    assert reached > 10 * held_out(start).mean()
    assert reached > 1.2 * held_out(torch.cat(ascended)).mean()


@pytest.mark.slow
def test_a_caricature_is_more_like_its_source_than_the_source_itself(specimens):
    source = torch.zeros((1, 3, 64, 64)) + 0.2
    source[:, 0, 16:40, 20:50] = 0.9
    response = Response.of(specimens, "conv3_1")
    maps = response.maps(source)[0]
    found = caricature(specimens, source, layer="conv3_1", steps=60)
    reached = alike(response.maps(found.pictures)[0], maps, power=2)
    assert reached > 1.1 * alike(maps, maps, power=2)


@pytest.mark.parametrize(
    ("error", "message", "asked"),
    [
        (InvalidChannel, "channels 0-31; got 32", {"objective": channel(32)}),
        (InvalidSpec, "objectives: one, or one a seed, 1; got 2", {"objective": [strength] * 2}),
        (InvalidSpec, "each 0 or more", {"seeds": (-1,)}),
        (InvalidSpec, "at least 32; got 31", {"size": 31}),
        (InvalidInput, "shape (3,)", {"objective": lambda maps: maps[:3, 0, 0]}),
        (InvalidSpec, "seeds: one a picture, 2; got 1", {"starts": torch.rand(2, 3, 32, 32)}),
    ],
)
def test_what_cannot_be_is_said_in_one_line(narrow, error, message, asked):
    given = {"objective": strength, "layer": "conv3_1", "size": 32, "steps": 1} | asked
    with pytest.raises(error) as raised:
        feature(narrow, **given)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)

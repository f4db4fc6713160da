"""Dreams: the same numbers as the plain reference, alone or in a batch, and nothing left behind."""

import weakref

import numpy as np
import pytest
import torch

from beholder.errors import InvalidChannel, InvalidInput, InvalidLayer, InvalidSpec
from beholder.layers import LAYERS
from beholder.science import dream as dreaming
from beholder.science.ascent import MEMORY, Ascent
from beholder.science.blind import blinded
from beholder.science.dream import dream, dream_layers
from beholder.science.inputs import noise
from beholder.science.networks import depth_of

CASES = [
    pytest.param("conv5_1", None, id="conv, read after its in-place ReLU"),
    pytest.param(35, None, id="relu"),
    pytest.param("pool4", [3], id="one channel of a pool"),
    pytest.param(21, [5, 0, 17], id="several channels of a conv"),
    pytest.param(0, None, id="first conv"),
]


def assert_parity(reference, network, picture, layer, channels, steps=30, learning_rate=0.02):
    found = dream(
        network,
        picture[None],
        layer=layer,
        channels=channels,
        steps=steps,
        learning_rate=learning_rate,
        snapshots=[steps // 3],
        precision="exact",
    )
    names = {"conv5_1": 28, "pool4": 27}
    expected = reference.dream(
        network.module,
        picture,
        layer=names.get(layer, layer),
        channels=channels,
        steps=steps,
        learning_rate=learning_rate,
    )
    assert (found.pictures[0] - expected[-1]).abs().max() < 1e-4
    assert (found.snapshots[steps // 3][0] - expected[steps // 3 - 1]).abs().max() < 1e-4
    assert (found.pictures[0] - picture).abs().max() > 1e-3, "nothing was dreamt"


@pytest.mark.parametrize(("layer", "channels"), CASES)
def test_narrow_parity(reference, narrow, starts, layer, channels):
    assert_parity(reference, narrow, starts(1, 32)[0], layer, channels)


@pytest.mark.slow
@pytest.mark.parametrize(("layer", "channels"), [CASES[0], CASES[3]])
def test_random_parity(reference, random0, starts, layer, channels):
    assert_parity(reference, random0, starts(1, 64)[0], layer, channels, steps=10)


@pytest.mark.slow
@pytest.mark.parametrize(("layer", "channels"), CASES)
def test_specimens_parity(reference, specimens, starts, layer, channels):
    assert_parity(reference, specimens, starts(1, 96)[0], layer, channels)


@pytest.mark.slow
def test_specimens_parity_at_full_size_from_the_void(reference, specimens):
    assert_parity(reference, specimens, noise(7, size=224), 35, None, steps=10)


@pytest.mark.slow
def test_photograph_parity(reference, random0, photographs):
    assert_parity(reference, random0, photographs("kelpies", 64)[2], "conv5_1", None, steps=10)


def test_conv_is_its_relu_unless_pre_relu(narrow, starts):
    pictures = starts(2, 32)
    relu = dream(narrow, pictures, layer=29, steps=5).pictures
    assert torch.equal(dream(narrow, pictures, layer=28, steps=5).pictures, relu)
    raw = dream(narrow, pictures, layer=28, steps=5, pre_relu=True).pictures
    assert (raw - relu).abs().max() > 1e-4
    assert torch.equal(dream(narrow, pictures, layer=29, steps=5, pre_relu=True).pictures, relu)


def test_pre_relu_climbs_the_raw_convolution(narrow, starts):
    picture = starts(1, 32)
    found = dream(narrow, picture, layer="conv1_2", steps=1, pre_relu=True)
    raw = narrow.module.features[:3](picture.clone())
    assert found.objective[0, 0] == pytest.approx(raw.norm().item(), rel=1e-5)


@pytest.mark.parametrize("channels", [None, [4], [1, 2]])
def test_batched_equals_alone(narrow, starts, channels):
    pictures = starts(3, 32)
    together = dream(narrow, pictures, channels=channels, steps=12, snapshots=[3])
    for row, picture in enumerate(pictures):
        alone = dream(narrow, picture[None], channels=channels, steps=12, snapshots=[3])
        assert torch.allclose(together.pictures[row], alone.pictures[0], atol=1e-4, rtol=0)
        assert torch.allclose(together.snapshots[3][row], alone.snapshots[3][0], atol=1e-4, rtol=0)
        assert torch.allclose(together.objective[:, row], alone.objective[:, 0], rtol=1e-3)


@pytest.mark.slow
def test_batched_equals_alone_on_random(random0, starts):
    pictures = starts(2, 64)
    together = dream(random0, pictures, layer=28, steps=10).pictures
    for row, picture in enumerate(pictures):
        alone = dream(random0, picture[None], layer=28, steps=10).pictures[0]
        assert torch.allclose(together[row], alone, atol=1e-4, rtol=0)


def test_snapshots_are_shorter_dreams(narrow, starts):
    pictures = starts(2, 32)
    long = dream(narrow, pictures, steps=9, snapshots=[7, 2, 2])
    assert sorted(long.snapshots) == [2, 7, 9]
    for step, kept in long.snapshots.items():
        assert torch.equal(kept, dream(narrow, pictures, steps=step).pictures)
    assert torch.equal(long.pictures, long.snapshots[9])


def test_objective_is_the_norm_before_each_step(narrow, starts):
    pictures = starts(2, 32)
    found = dream(narrow, pictures, layer=17, steps=6)
    assert found.objective.shape == (6, 2)
    maps = narrow.module.features[:18](pictures.clone())
    assert torch.allclose(found.objective[0], maps.flatten(1).norm(dim=1), rtol=1e-5)
    assert (found.objective[-1] > found.objective[0]).all()


def test_layers_at_once(narrow, starts):
    pictures, seen = starts(2, 32), []
    found = dream_layers(narrow, pictures, layers=["relu5_4", 3, 35], steps=2, on_step=seen.append)
    assert list(found) == [35, 3]
    assert seen == [1, 2, 3, 4]
    for layer, result in found.items():
        assert torch.equal(result.pictures, dream(narrow, pictures, layer=layer, steps=2).pictures)


@pytest.mark.parametrize(
    ("at_once", "options"),
    [(21, {}), (4, {"channels": [1, 3], "normalize": True}), (21, {"precision": "float64"})],
    ids=["all", "some, of channels", "float64"],
)
def test_layers_side_by_side_become_what_each_becomes_alone(
    narrow, starts, monkeypatch, at_once, options
):
    """As on a GPU, which takes them so; on a CPU it makes no difference to the bits."""
    pictures = starts(2, 32)
    monkeypatch.setattr(dreaming, "_TOGETHER", at_once * pictures[:, 0].numel())
    alone = dream_layers(narrow, pictures, layers=range(37), steps=2, snapshots=[1], **options)
    how = {"channels": None, "normalize": False, "precision": "float32", **options}
    ascent = Ascent.of(narrow, 36, pre_relu=False, memory=MEMORY, **how)
    depths = {depth_of(layer, pre_relu=False) for layer in LAYERS}
    found = dreaming._side_by_side(ascent, pictures, depths, 2, frozenset({1, 2}), 0.01)
    assert len(found) == 21
    for layer in LAYERS:
        one, other = found[depth_of(layer, pre_relu=False)], alone[layer.index]
        assert one.snapshots.keys() == other.snapshots.keys()
        for step, shown in one.snapshots.items():
            assert torch.equal(shown, other.snapshots[step]), (layer.name, step)
        assert torch.equal(one.objective, other.objective)
        assert torch.equal(one.pictures, other.pictures)


def test_of_no_pictures_nothing_is_dreamt(narrow):
    none = torch.empty(0, 3, 32, 32)
    found = dream_layers(narrow, none, layers=[3, 35], steps=2)
    assert {(one.pictures.shape, one.objective.shape) for one in found.values()} == {
        (none.shape, (2, 0))
    }


def test_what_goes_tile_by_tile_does_not_go_side_by_side(narrow, starts):
    how = {"channels": None, "normalize": False, "pre_relu": False}
    tiled = Ascent.of(narrow, 36, precision="float32", memory=10_000, **how)
    exact = Ascent.of(narrow, 36, precision="exact", memory=MEMORY, **how)
    whole = Ascent.of(narrow, 36, precision="float32", memory=MEMORY, **how)
    for ascent, pictures in (
        (tiled, starts(1, 64)),
        (exact, starts(1, 64)),
        (whole, starts(1, 64)[:0]),
    ):
        assert dreaming._side_by_side(ascent, pictures, {37}, 1, frozenset({1}), 0.01) == {}


def test_start_stays_and_results_hold_no_graph(narrow, starts):
    pictures = starts(1, 32).requires_grad_()
    before = pictures.detach().clone()
    found = dream(narrow, pictures, steps=2)
    assert torch.equal(pictures, before)
    assert pictures.grad is None
    assert not found.pictures.requires_grad


def test_works_where_gradients_are_off(narrow, starts):
    with torch.no_grad():
        off = dream(narrow, starts(1, 32), steps=2).pictures
    assert torch.equal(off, dream(narrow, starts(1, 32), steps=2).pictures)


def test_normalize_climbs_from_normalised_pixels_and_clips_raw_ones(narrow, starts):
    pictures = starts(1, 32)
    found = dream(narrow, pictures, layer=1, steps=1, normalize=True)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    maps = narrow.module.features[:2]((pictures - mean) / deviation)
    assert found.objective[0, 0] == pytest.approx(maps.norm().item(), rel=1e-5)
    assert found.pictures.min() >= 0
    assert found.pictures.max() <= 1


def test_silent_layer_leaves_the_picture(narrow, starts):
    pictures = starts(1, 32).clamp(0, 1)
    with blinded(narrow, {35: range(narrow.widths[35])}):
        found = dream(narrow, pictures, steps=3)
    assert torch.equal(found.pictures, pictures)
    assert (found.objective == 0).all()


def test_dreaming_while_blinded_ignores_the_channels(narrow, starts):
    with blinded(narrow, {35: [1]}):
        found = dream(narrow, starts(1, 32), layer=35, channels=[1, 2], steps=2).pictures
    assert torch.equal(found, dream(narrow, starts(1, 32), channels=[2], steps=2).pictures)


def test_overflow_shows_in_the_objective(narrow, starts):
    pictures = starts(2, 32)
    pictures[1] = float("inf")
    objective = dream(narrow, pictures, steps=2).objective
    assert objective[:, 0].isfinite().all()
    assert not objective[:, 1].isfinite().all()


def test_abort_leaves_nothing_behind(narrow, starts):
    module = narrow.module
    module.train()
    module.features[0].weight.requires_grad_(True)

    def stop(step):
        assert not module.training
        if step == 2:
            raise KeyboardInterrupt

    try:
        with pytest.raises(KeyboardInterrupt):
            dream(narrow, starts(1, 32), on_step=stop)
        assert all(part.training for part in module.modules())
        assert [w.requires_grad for w in module.parameters()].count(True) == 1
        assert module.features[0].weight.grad is None
        assert not any(part._forward_hooks for part in module.modules())
    finally:
        module.eval().requires_grad_(False)


def test_only_the_prefix_runs(narrow, starts):
    seen = []
    handles = [
        layer.register_forward_hook(lambda *_, index=index: seen.append(index))
        for index, layer in enumerate(narrow.module.features)
    ]
    try:
        dream(narrow, starts(1, 32), layer="conv1_2", steps=1)
    finally:
        for handle in handles:
            handle.remove()
    assert seen == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"layer": "conv9_1"}, InvalidLayer, "no layer 'conv9_1'"),
        ({"layer": 37}, InvalidLayer, "no layer '37'"),
        ({"channels": [64]}, InvalidChannel, "relu5_4 has channels 0-63"),
        ({"channels": [-1]}, InvalidChannel, "got -1"),
        ({"channels": []}, InvalidChannel, "got none"),
        ({"steps": 0}, InvalidSpec, "at least 1"),
        ({"snapshots": [31]}, InvalidSpec, "from 1 to 30; got 31"),
        ({"snapshots": [0]}, InvalidSpec, "from 1 to 30; got 0"),
    ],
)
def test_mistakes_are_named(narrow, starts, options, error, words):
    with pytest.raises(error, match=words):
        dream(narrow, starts(1, 32), **options)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 32, 32)])
def test_wrong_shapes_are_named(narrow, shape):
    with pytest.raises(InvalidInput, match=r"\(B, 3, H, W\)"):
        dream(narrow, torch.zeros(shape))


def test_bytes_are_refused(narrow):
    with pytest.raises(InvalidInput, match="uint8"):
        dream(narrow, torch.zeros((1, 3, 32, 32), dtype=torch.uint8))


def test_a_large_picture_tells_of_parts_of_steps(narrow, starts):
    parts, small = [], 2**17
    picture = starts(1, 160)
    dream(narrow, picture, layer=11, steps=2, memory=small, on_part=parts.append)
    assert parts == sorted(parts)
    assert len(parts) > 20
    assert 0 < parts[0] < 0.5
    assert parts[-1] == 2
    dream(narrow, picture, layer=11, steps=2, on_part=lambda part: pytest.fail("it fits"))
    with pytest.raises(KeyboardInterrupt):
        dream(narrow, picture, layer=11, memory=small, on_part=interrupt)


def interrupt(part):
    raise KeyboardInterrupt


@pytest.mark.parametrize("keeps", [False, True])
def test_a_start_that_nobody_keeps_is_gone_behind_the_first_step(narrow, keeps):
    pixels = [np.full((1, 3, 40, 40), 0.5, dtype=np.float32)]
    alive, seen = weakref.ref(pixels[0]), []
    start = [torch.from_numpy(pixels.pop())]
    caller = start[:] if keeps else []

    def look(step):
        seen.append(alive() is not None)

    dream(narrow, start.pop(), layer=2, steps=2, on_step=look)
    assert seen == [keeps, keeps]
    assert all((kept == 0.5).all() for kept in caller)

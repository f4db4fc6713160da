"""Tiles: the whole picture's gradient at odd sizes and every layer, and what it costs, counted."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import vgg19

from beholder.layers import LAYERS, Span, seen_by, side_after
from beholder.science.blind import blinded
from beholder.science.inputs import input_step
from beholder.science.networks import depth_of
from beholder.science.tile_memory import halve, pack, zero_where_not
from beholder.science.tile_memory import whole as whole_of
from beholder.science.tile_plan import (
    kept_bytes,
    needs_tiles,
    operations,
    plan,
    steps_of,
    tile_side,
)
from beholder.science.tile_room import LEAST, TOTAL, tile_room
from beholder.science.tiles import tiled_gradient

VGG19 = 143_667_240 * 4  # bytes of its weights
SIZES = [(97, 75), (66, 67)]  # each pool meets odd sides; some last pixels decide on nothing


def whole(features, pictures, channels=None, prepare=lambda pixels: pixels):
    """Norms and gradients, plainly, by autograd."""
    pictures = pictures.detach().clone().requires_grad_()
    maps = torch.nn.Sequential(*features)(prepare(pictures))
    maps = maps if channels is None else maps[:, channels]
    norms = maps.flatten(1).norm(dim=1)
    return norms.detach(), torch.autograd.grad(norms.sum(), pictures)[0]


def tiled(features, pictures, tile, channels=None, prepare=lambda pixels: pixels, **options):
    chosen = None if channels is None else torch.tensor(channels)
    return tiled_gradient(
        features, pictures, channels=chosen, prepare=prepare, tile=tile, **options
    )


@pytest.fixture(scope="module")
def double(narrow):
    """The narrow network's features in float64, where no rounding turns a maximum round."""
    return copy.deepcopy(narrow.module.features).double()


@pytest.fixture(scope="module")
def features():
    """VGG19's at its full width, without the weights."""
    with torch.device("meta"):
        return vgg19(weights=None).features


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("depth", range(1, 38))
def test_equals_the_whole_behind_every_module(double, starts, depth, size):
    picture = starts(1, max(size)).double()[:, :, : size[0], : size[1]]
    side = max(1, picture.shape[2] // LAYERS[depth - 1].stride // 2)  # several tiles each way
    norms, gradient = tiled(double[:depth], picture, side)
    expected_norms, expected = whole(double[:depth], picture)
    assert len(list(plan(steps_of(double[:depth]), *size, side))) >= 4
    assert torch.allclose(norms, expected_norms, rtol=1e-12)
    assert (gradient - expected).abs().max() <= 1e-12 * expected.abs().max()


@pytest.mark.slow
@pytest.mark.parametrize("tile", [1, 3, 1000])
def test_equals_the_whole_however_it_is_cut(double, starts, tile):
    pictures = starts(2, 38).double()
    norms, gradient = tiled(double[:24], pictures, tile)
    expected_norms, expected = whole(double[:24], pictures)
    assert torch.allclose(norms, expected_norms, rtol=1e-12)
    assert (gradient - expected).abs().max() <= 1e-12 * expected.abs().max()


@pytest.mark.parametrize("depth", [6, 30, 29, 28])
def test_float32_is_as_near_to_the_truth_as_the_whole(narrow, double, starts, depth):
    picture = starts(1, 67)
    truth = whole(double[:depth], picture.double())[1]
    found = tiled(narrow.module.features[:depth], picture, 3)[1]
    plain = whole(narrow.module.features[:depth], picture)[1]
    # By the norm: a maximum that rounding decides may send one place's gradient to its neighbour.
    assert (found - truth).norm() <= 2 * (plain - truth).norm() + 1e-6 * truth.norm()


def test_channels_and_normalised_pixels(double, starts):
    picture, channels = starts(1, 67).double(), [5, 0]
    prepare = input_step(True, torch.device("cpu"))
    norms, gradient = tiled(double[:21], picture, 3, channels, prepare)
    expected_norms, expected = whole(double[:21], picture, channels, prepare)
    assert torch.allclose(norms, expected_norms, rtol=1e-12)
    assert (gradient - expected).abs().max() <= 1e-12 * expected.abs().max()


def test_of_equal_maxima_the_first_counts(double):
    exact = copy.deepcopy(double[:12])
    for weights in exact.parameters():  # no sum is rounded, so that equals are equal
        weights.copy_((weights * 64).round() / 64)
    picture = torch.full((1, 3, 64, 64), 0.5).double()
    _, gradient = tiled(exact, picture, 4)
    _, expected = whole(exact, picture)
    assert (gradient - expected).abs().max() <= 1e-12 * expected.abs().max()


def test_silence_has_no_gradient(narrow, starts):
    with blinded(narrow, {13: range(narrow.widths[13])}):
        norms, gradient = tiled(narrow.module.features[:14], starts(2, 64), 5)
    assert (norms == 0).all()
    assert (gradient == 0).all()


@pytest.mark.parametrize("count", [1, 8, 2**17 + 13])
def test_bits_and_half_bytes_are_what_was_packed(count):
    draw = torch.Generator().manual_seed(count)
    maps, gradient = torch.randn(2, count, generator=draw).unbind()
    bits = torch.empty(kept_bytes("relu", count), dtype=torch.uint8)
    expected = torch.where(maps > 0, gradient, 0)
    pack(maps, bits)
    zero_where_not(gradient, bits)
    assert torch.equal(gradient, expected)
    places = torch.randint(16, (count,), generator=draw, dtype=torch.uint8)
    halves = torch.empty(kept_bytes("pool", count), dtype=torch.uint8)
    halve(places, halves)
    assert torch.equal(whole_of(halves, count), places)


@pytest.mark.parametrize("layer", [2, 3, 9, 14])
def test_blinded_channels_are_left_out(narrow, starts, layer):
    picture = starts(1, 64)
    features = narrow.module.features[:16]
    with blinded(narrow, {layer: [0, 3]}):
        norms, gradient = tiled(features, picture, 5)
        with torch.enable_grad():
            expected_norms, expected = whole(features, picture)
    assert torch.allclose(norms, expected_norms)
    assert torch.allclose(gradient, expected, atol=1e-5 * expected.abs().max().item())
    assert not torch.allclose(tiled(features, picture, 5)[0], norms)


def test_overflow_shows(narrow, starts):
    pictures = starts(2, 64)
    pictures[1, 0, 40, 40] = float("inf")
    norms, gradient = tiled(narrow.module.features[:12], pictures, 4)
    assert norms[0].isfinite()
    assert gradient[0].isfinite().all()
    assert not norms[1].isfinite()


def test_progress_rises_to_the_end_and_may_end_it(narrow, starts):
    seen, picture = [], starts(2, 64)
    before = picture.clone()
    tiled(narrow.module.features[:30], picture, 2, on_progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1
    assert len(seen) > 100, "a stop is not noticed for long"
    assert torch.equal(picture, before)

    def stop(share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiled(narrow.module.features[:30], picture, 2, on_progress=stop)


@pytest.mark.parametrize("tile", [2, 4, 9])
def test_operations_are_those_that_run(narrow, starts, tile):
    features, picture = narrow.module.features[:30], starts(1, 101)
    with FlopCounterMode(display=False) as counter:
        tiled(features, picture, tile)
    assert counter.get_total_flops() == 2 * operations(steps_of(features), 101, 101, tile)


def test_a_whole_picture_takes_as_many_operations_back_as_forth(narrow, starts):
    features, picture = narrow.module.features[:30], starts(1, 101)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        features(picture)
    assert 2 * counter.get_total_flops() == 2 * operations(steps_of(features), 101, 101)


@pytest.mark.parametrize(
    ("layer", "most"), [(5, 1.05), (12, 1.05), (20, 1.1), (28, 1.25), (35, 1.5)]
)
def test_a_huge_picture_costs_little_more_than_whole(features, layer, most):
    front = features[: depth_of(LAYERS[layer], pre_relu=False)]
    steps = steps_of(front)
    tile = tile_side(steps, tile_room(8192, 8192, VGG19))
    ratio = operations(steps, 8192, 8192, tile) / operations(steps, 8192, 8192)
    assert 1 < ratio <= most


@pytest.mark.parametrize(("side", "layer", "most"), [(2048, 35, 1.01), (4096, 35, 1.1)])
def test_a_smaller_picture_has_larger_tiles(features, side, layer, most):
    steps = steps_of(features[: depth_of(LAYERS[layer], pre_relu=False)])
    tile = tile_side(steps, min(2**30, tile_room(side, side, VGG19)))
    assert 1 < operations(steps, side, side, tile) / operations(steps, side, side) <= most


def test_a_tile_has_what_the_total_leaves(features):
    sides = [1024, 2048, 4096, 6000, 8192]
    rooms = [tile_room(side, side, VGG19) for side in sides]
    assert rooms == sorted(rooms, reverse=True)
    for side, room in zip(sides, rooms, strict=True):
        start = 12 * side * side if room > LEAST else 0
        assert room + start + 24 * side * side + VGG19 < TOTAL - 700 * 2**20
    assert tile_room(1024, 4096, VGG19) == tile_room(2048, 2048, VGG19)
    assert tile_room(2048, 2048, 0) - tile_room(2048, 2048, VGG19) == VGG19
    assert rooms[-1] == tile_room(20_000, 20_000, VGG19) == LEAST


@pytest.mark.parametrize("depth", [1, 4, 12, 30, 37])
def test_the_largest_tile_that_fits(features, depth):
    steps = steps_of(features[:depth])
    tile = tile_side(steps, LEAST)
    far = (3 * tile + 64) * LAYERS[depth - 1].stride  # has a tile that touches no edge
    assert max(each.peak_bytes for each in plan(steps, far, far, tile)) <= LEAST
    assert tile_side(steps, LEAST // 4) < tile
    assert tile_side(steps, 1) == 1


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux tells of a peak")
def test_a_process_grows_by_what_was_planned():
    script = Path(__file__).with_name("tile_peak.py")
    # What is freed is gone at once then, and no hole between maps is counted.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    answer = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, check=True, timeout=300
    )
    found = json.loads(answer.stdout)
    convolving = 24 * 2**20  # what a convolution works in, here
    assert 0.8 * found["planned"] < found["grown"] < found["planned"] + convolving


def test_only_large_pictures_need_tiles(features):
    steps = steps_of(features[:30])
    assert not needs_tiles(steps, 224, 224, 2**30)
    assert needs_tiles(steps, 8192, 8192, 2**30)
    assert needs_tiles(steps, 64, 1_000_000, 2**30)


def test_a_place_sees_its_receptive_field():
    for layer in LAYERS:
        span, side = Span(50, 51), 100 * layer.stride
        sides = [side]
        for below in LAYERS[: layer.index + 1]:
            sides.append(side_after(below.kind, sides[-1]))
        for below, before in zip(LAYERS[layer.index :: -1], sides[-2::-1], strict=True):
            span = seen_by(below.kind, span, before)
        assert len(span) == layer.receptive_field

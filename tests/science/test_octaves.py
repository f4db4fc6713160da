"""Octaves: what stays untouched, what is the same alone and on going on, and what a step is."""

import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from beholder.errors import InvalidInput, InvalidSpec
from beholder.objective import parse_objective
from beholder.science.controls import (
    Controls,
    octaves,
    rate,
    resized,
    scaled,
    shift,
    shifted,
    smoothed,
)
from beholder.science.dream import dream
from beholder.science.inputs import noise
from beholder.science.objective import Aim
from beholder.science.octaves import dream_octaves
from beholder.science.optimisers import Adam, NAdam
from beholder.specs import DreamSpec

ALL = Controls(octaves=3, jitter=9, gradient="scaled", smoothing=0.5, schedule="cosine", blend=0.2)
LIGHT = torch.tensor([0.299, 0.587, 0.114])


def pictures(count, side=64, height=None):
    """Smooth ones, all their values well inside [0, 1]."""
    small = torch.stack([noise(seed, size=8) for seed in range(count)])
    return resized(0.5 + small, (height or side, side)).clamp(0.1, 0.9)


def aim_of(network, text="squared(conv3_1)", **options):
    return Aim.of(network, parse_objective(text).measured("norm"), **options)


def run(network, batch, *, seeds=None, text="squared(conv3_1)", memory=2**30, **options):
    settings = {"steps": 6, "learning_rate": 0.02, "controls": ALL, **options}
    aim = aim_of(network, text, memory=memory)
    return dream_octaves(aim, batch, seeds=seeds or range(7, 7 + len(batch)), **settings)


def edge():
    """A soft edge: 0 on the left, 1 on the right, half between."""
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 30:34] = 0.5
    mask[..., 34:] = 1.0
    return mask


WAYS = {
    "ascent": {},
    "adam": {"optimiser": Adam},
    "nadam, colour kept": {"optimiser": NAdam, "controls": replace(ALL, keep_colour=True)},
    "masked": {"mask": edge()},
    "toward a picture": {"text": "guide(conv3_1)", "guide": pictures(9)[8:]},
    "overdrawn": {"text": "caricature(conv2_2)"},
    "several terms": {"text": "conv3_1:1,4 - conv2_1*0.5 + logit:cat - tv*0.01"},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_batch_is_each_alone_and_going_on_is_not_stopping(narrow, way):
    batch, kept = pictures(3), {}
    whole = run(
        narrow,
        batch,
        snapshots=[2],
        **WAYS[way],
        on_checkpoint=lambda step, take: kept.update({step: take()}),
    )
    assert not torch.equal(whole.pictures, batch)
    alone = run(narrow, batch[1:2], seeds=[8], snapshots=[2], **WAYS[way])
    assert torch.equal(alone.pictures[0], whole.pictures[1])
    assert torch.equal(alone.snapshots[2][0], whole.snapshots[2][1])
    assert torch.equal(alone.objective[:, 0], whole.objective[:, 1])
    for step in (1, 2, 3, 5):  # in an octave, and at the ends of two
        on = run(narrow, batch[1:2], seeds=[8], snapshots=[2], begun=kept[step].row(1), **WAYS[way])
        assert torch.equal(on.pictures[0], whole.pictures[1])
        assert torch.equal(on.snapshots[2][0], whole.snapshots[2][1])
        assert torch.equal(on.objective[:, 0], whole.objective[:, 1])


def test_seeds_decide_and_nothing_else(narrow):
    batch = pictures(1).expand(2, -1, -1, -1)
    first, again = run(narrow, batch, seeds=[3, 4]), run(narrow, batch, seeds=[4, 3])
    assert torch.equal(first.pictures, again.pictures.flip(0))
    assert not torch.equal(first.pictures[0], first.pictures[1])


def test_one_octave_is_the_article_but_for_rounding(narrow):
    batch = pictures(2)
    settings = {"steps": 5, "learning_rate": 0.02}
    article = dream(narrow, batch, layer="conv3_1", precision="float64", **settings)
    aim = aim_of(narrow, "conv3_1", precision="float64")
    ours = dream_octaves(aim, batch, seeds=[0, 0], **settings)
    assert torch.allclose(ours.pictures, article.pictures, atol=1e-12)
    assert torch.allclose(ours.objective, article.objective)


@pytest.mark.parametrize("optimiser", [None, Adam])
def test_what_a_mask_keeps_stays_bit_for_bit(narrow, optimiser):
    batch = pictures(2)
    found = run(narrow, batch, mask=edge(), optimiser=optimiser, snapshots=[1, 3])
    for one in found.snapshots.values():
        assert torch.equal(one[..., :30], batch[..., :30])
    changes = (found.pictures - batch).abs().mean(dim=(0, 1, 2))
    assert changes[34:].mean() > 0.005
    assert changes[30:34].mean() < changes[34:].mean()


def test_jitter_pulls_no_opposite_edges_together(narrow):
    batch = torch.linspace(0.2, 0.8, 64).expand(1, 3, 64, 64).contiguous()
    text = "conv1_1*1e-12 - tv*0.1 - l2*0.01"
    still, moved = (
        run(narrow, batch, text=text, controls=Controls(jitter=jitter), learning_rate=0.01)
        for jitter in (0, 16)
    )
    assert torch.allclose(moved.pictures, still.pictures, atol=1e-6)
    assert torch.allclose(moved.objective, still.objective)
    assert (still.pictures - batch).abs().max() > 1e-3


def test_colours_are_kept_to_rounding(narrow):
    batch = pictures(2)
    strong = replace(ALL, keep_colour=True, blend=0.0)
    found = run(narrow, batch, controls=strong, learning_rate=0.5).pictures
    assert (found - batch).abs().max() > 0.1
    for other in (1, 2):  # differences of colours are a picture's chrominance
        kept = batch[:, 0] - batch[:, other]
        assert torch.allclose(found[:, 0] - found[:, other], kept, atol=2e-7)
    assert found.min() >= 0
    assert found.max() <= 1
    brighter = torch.einsum("c,bchw->bhw", LIGHT, found - batch)
    assert brighter.abs().max() > 0.1


@pytest.mark.slow
def test_no_seam_shows_where_tiles_meet(narrow):
    """Octaves, jitter and smoothing on gradients that are computed tile by tile."""
    batch = pictures(1, side=80, height=64)
    settings = {"learning_rate": 0.01, "steps": 3, "text": "conv3_1*2 + squared(conv2_1)*0.1"}
    shares = []
    whole = run(narrow, batch, **settings)
    tiled = run(narrow, batch, memory=2**17, on_part=shares.append, **settings)
    assert shares
    assert torch.allclose(tiled.pictures, whole.pictures, atol=2e-5)
    assert (whole.pictures - batch).abs().max() > 1e-3


@pytest.mark.slow
def test_the_deepdream_recipe_goes_tile_by_tile_to_the_same_values(narrow):
    spec = DreamSpec.build(recipe="deepdream", layers=(10,))
    controls = Controls(
        octaves=3, jitter=spec.jitter, gradient=spec.gradient, smoothing=spec.smoothing
    )
    found = []
    for memory in (2**30, 2**17):
        aim = Aim.of(
            narrow, spec.objective_at(10), normalize=True, precision="float64", memory=memory
        )
        shares = []
        found.append(
            dream_octaves(
                aim, pictures(1, 96), seeds=[1], steps=3, learning_rate=0.02, controls=controls,
                on_part=shares.append,
            )
        )  # fmt: skip
        assert bool(shares) == (memory < 2**30)
    whole, tiled = found
    assert torch.allclose(tiled.pictures, whole.pictures, atol=1e-9)
    assert torch.allclose(tiled.objective, whole.objective, rtol=1e-9)


class Peak(TorchDispatchMode):
    """The most bytes that what it has seen made held at once."""

    def __init__(self):
        super().__init__()
        self.held, self.most = {}, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for one in made if isinstance(made, tuple | list) else [made]:
            storage = one.untyped_storage() if isinstance(one, torch.Tensor) else None
            if storage is not None and storage._cdata not in self.held:
                self.held[storage._cdata] = storage.nbytes()
                weakref.finalize(storage, self.held.pop, storage._cdata)
                self.most = max(self.most, sum(self.held.values()))
        return made


@pytest.mark.slow
def test_a_large_picture_is_held_seven_times_and_not_its_maps(narrow):
    batch, settled = pictures(1, side=320), replace(ALL, octaves=2, blend=0.0)
    with Peak() as peak:
        run(narrow, batch, text="squared(conv2_1)", steps=2, controls=settled, memory=2**20)
    assert peak.most < 7.5 * batch.nbytes


def test_the_blend_is_of_start_and_dream(narrow):
    batch = pictures(1)
    found = {
        blend: run(narrow, batch, controls=replace(ALL, blend=blend)).pictures
        for blend in (0.0, 0.25)
    }
    assert torch.allclose(found[0.25], found[0.0] * 0.75 + batch * 0.25, atol=1e-6)


def test_octaves_end_in_full_size_and_share_the_steps():
    sizes = octaves(96, 224, Controls(octaves=4, octave_scale=1.4), 10)
    assert [one.size for one in sizes] == [(35, 82), (49, 114), (69, 160), (96, 224)]
    assert [(one.first, one.last) for one in sizes] == [(1, 2), (3, 5), (6, 7), (8, 10)]
    small = octaves(40, 40, Controls(octaves=4, octave_scale=1.4), 4)
    assert [one.height for one in small] == [32, 32, 32, 40]
    with pytest.raises(InvalidSpec, match="octaves: 1 to the number of steps, 3; got 4"):
        octaves(64, 64, Controls(octaves=4), 3)


def test_jitter_is_unbiased_and_comes_back():
    found = np.array([shift(5, step, 3) for step in range(1, 4001)])
    assert set(found.flatten()) == set(range(-3, 4))
    # The mean of 4,000 draws whose deviation is 2: five deviations of it.
    assert np.abs(found.mean(axis=0)).max() < 5 * 2 / np.sqrt(4000)
    assert abs(np.corrcoef(found.T)[0, 1]) < 5 / np.sqrt(4000)
    assert shift(5, 9, 0) == (0, 0)
    batch, moves = pictures(2), [(3, -2), (0, 5)]
    moved = shifted(batch, moves)
    assert torch.equal(moved[0, :, 3, 0], batch[0, :, 0, 2])
    assert torch.equal(shifted(moved, moves, back=True), batch)


def test_schedules_fall_from_one_toward_zero():
    assert [rate("constant", step, 4) for step in (1, 4)] == [1, 1]
    assert [rate("linear", step, 4) for step in (1, 2, 3, 4)] == [1, 0.75, 0.5, 0.25]
    assert [rate("cosine", step, 4) for step in (1, 3)] == pytest.approx([1, 0.5])


def test_the_schedule_is_what_a_step_is_multiplied_by(narrow):
    batch = pictures(1)
    bare = Controls(gradient="scaled")
    settings = {"steps": 2, "learning_rate": 1e-3, "snapshots": [1]}
    constant = run(narrow, batch, controls=bare, **settings)
    linear = run(narrow, batch, controls=replace(bare, schedule="linear"), **settings)
    first, second = (run.snapshots[2] - run.snapshots[1] for run in (constant, linear))
    assert torch.equal(constant.snapshots[1], linear.snapshots[1])
    assert torch.allclose(second, first / 2, atol=2e-7)
    assert (constant.snapshots[1] - batch).abs().mean().item() == pytest.approx(1e-3, rel=1e-3)


def test_gradients_are_scaled_and_smoothed_one_by_one():
    gradient = torch.stack([noise(0, size=32), noise(1, size=32) * 100, torch.zeros(3, 32, 32)])
    assert scaled(gradient).abs().mean(dim=(1, 2, 3)).tolist() == pytest.approx([1, 1, 0])
    soft = smoothed(gradient, 1.5)
    assert torch.equal(soft[1:2], smoothed(gradient[1:2], 1.5))
    assert soft[0].std() < 0.5 * gradient[0].std()
    flat = torch.full((1, 3, 16, 16), 2.0)
    assert torch.allclose(smoothed(flat, 20.0), flat)  # further than the picture's sides
    assert smoothed(gradient, 0.0) is gradient


def test_what_does_not_fit_is_named(narrow):
    with pytest.raises(InvalidInput, match=r"the mask is \(1, 1, 64, 64\) as the pictures"):
        run(narrow, pictures(1), mask=torch.ones(1, 1, 32, 64))
    with pytest.raises(InvalidSpec, match="seeds: one a picture, 2; got 1"):
        run(narrow, pictures(2), seeds=[1])

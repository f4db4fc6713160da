"""Sweeps: the same logits as ablating one by one, and readings as they are defined."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp, softmax

from beholder.errors import InvalidChannel, InvalidInput, PictureError
from beholder.science import descent
from beholder.science.ablation import Ablation, ablated
from beholder.science.blind import blinded, classify, verdicts
from beholder.science.draws import layer_matched
from beholder.science.fills import find_fills
from beholder.science.readings import read
from beholder.science.sweep import sweep

SET = {20: (1, 3), 22: (0,), 26: (2, 5), 31: (0, 7), 35: (1, 2), 36: (3,)}
CANDIDATES = (20, 22, 24, 26, 29, 31, 33, 35)
ABLATIONS = [
    Ablation(SET),
    Ablation(SET, mode="mean"),
    Ablation(SET, mode="resample"),
    Ablation(SET, mode="scale", alpha=0.4),
    Ablation({20: (1, 3)}),
    Ablation({20: (1, 3), 29: (4,)}),
    Ablation({26: (2, 5)}),
    Ablation({28: (0, 1, 2)}),
    Ablation({36: (3, 4)}),
    Ablation({0: (1,), 4: (0, 2)}),
    Ablation({24: tuple(range(40))}),
    Ablation({24: tuple(range(40))}, mode="mean"),
    Ablation({29: (1, 2), 35: (3,)}, keep=True, candidates=(29, 35)),
    Ablation(SET, mode="mean", keep=True, candidates=(*CANDIDATES, 36)),
    Ablation({}),
    Ablation({20: (3, 1)}),
]


@pytest.fixture(scope="module")
def fills_of(starts):
    """fills_of(network, size): of four controls, for all that ABLATIONS cut."""

    def make(network, size):
        controls = starts(9, size)[5:]
        layers = {*CANDIDATES, *SET}
        return find_fills(network, controls, means=layers, donors=SET, most_donors=3)

    return make


def one_by_one(network, pictures, ablations, fills, positions=None, **options):
    """(1 + A, B, classes), the intact network's first."""
    found = [classify(network, pictures, **options)]
    for ablation in ablations:
        with ablated(network, ablation, fills, positions=positions):
            found.append(classify(network, pictures, **options))
    return torch.stack(found).numpy()


def assert_same(network, pictures, fills, ablations=tuple(ABLATIONS), **options):
    found = sweep(
        network,
        pictures,
        ablations,
        target=2,
        fills=fills,
        kept=range(len(ablations) + 1),
        **options,
    )
    expected = one_by_one(network, pictures, ablations, fills, **options)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found.logits, expected, rtol=2e-5, atol=2e-5 * scale)
    np.testing.assert_allclose(found.logits[0], expected[0], rtol=1e-5, atol=1e-6 * scale)
    return found, expected


@pytest.mark.parametrize("pictures", [1, 3])
@pytest.mark.parametrize("most", [1, 20_000, 2**23])
def test_as_one_by_one(narrow, starts, fills_of, monkeypatch, pictures, most):
    """most: bytes that decide how many conditions go together, from one to all."""
    monkeypatch.setattr(descent, "_CPU_BYTES", most)
    found, expected = assert_same(narrow, starts(pictures, 32), fills_of(narrow, 32))
    changed = np.abs(expected - expected[0]).max(axis=(1, 2)) > 1e-4
    assert changed.sum() == len(ABLATIONS) - 1, "all but the empty one do something"
    assert np.array_equal(found.logits[15], found.logits[0])
    assert np.array_equal(found.logits[16], found.logits[5])


@pytest.mark.parametrize("share", [0, 1])
def test_off_the_sums_or_in_the_maps(narrow, starts, fills_of, monkeypatch, share):
    """Every cut before a convolution goes one way, or the other."""
    monkeypatch.setattr(descent, "_FEW", share)
    assert_same(narrow, starts(2, 32), fills_of(narrow, 32))


def test_memory_does_not_grow_with_the_ablations(narrow, starts, monkeypatch):
    monkeypatch.setattr(descent, "_CPU_BYTES", 2**20)
    rows = []
    forward = descent.Prefix.through

    def through(self, stage, maps):
        rows.append(maps.numel() * 4)
        return forward(self, stage, maps)

    monkeypatch.setattr(descent.Prefix, "through", through)
    sets = layer_matched({20: (0, 1), 29: (0,)}, narrow.widths, count=600, seed=0)
    sweep(narrow, starts(4, 32), list(map(Ablation, sets)), target=0)
    assert max(rows) <= 2**20, "600 of 4 pictures' maps at relu4_1 would take 9 MiB"
    assert len(rows) > 50


def test_odd_sides(narrow, starts, fills_of):
    pictures = starts(2, 61)[:, :, :, :44]
    controls = starts(4, 61)[:, :, :, :44]
    fills = find_fills(narrow, controls, means=[*CANDIDATES, 36], donors=SET)
    assert_same(narrow, pictures, fills, normalize=True)


def test_many_random_sets_in_pieces(narrow, starts, monkeypatch):
    monkeypatch.setattr("beholder.science.prefix._REUSED_BYTES", 100_000)  # 3 pictures a piece
    monkeypatch.setattr("beholder.science.sweep._ROWS", 7)
    sets = layer_matched(SET, narrow.widths, count=9, seed=0)
    found, _ = assert_same(narrow, starts(7, 32), None, [Ablation(drawn) for drawn in sets])
    assert len(np.unique(found.margin[:, 0])) == 10


@pytest.mark.parametrize("precision", ["exact", "float64"])
def test_precisions(narrow, starts, fills_of, precision):
    assert_same(narrow, starts(2, 32), fills_of(narrow, 32), precision=precision)


def test_bf16_is_near(narrow, starts, fills_of):
    options = {"target": 0, "fills": fills_of(narrow, 32), "kept": range(len(ABLATIONS) + 1)}
    exact = sweep(narrow, starts(2, 32), ABLATIONS, **options)
    coarse = sweep(narrow, starts(2, 32), ABLATIONS, precision="bf16", **options)
    scale = np.abs(exact.logits).max()
    assert 0 < np.abs(coarse.logits - exact.logits).max() < 0.05 * scale


@pytest.mark.slow
def test_random0(random0, starts, fills_of):
    ablations = [ABLATIONS[place] for place in (0, 1, 2, 3, 6, 13)]
    assert_same(random0, starts(2, 32), fills_of(random0, 32), ablations)


@pytest.mark.slow
def test_specimens(specimens, starts, fills_of):
    assert_same(specimens, starts(3, 64), fills_of(specimens, 64))


def test_inside_another_blinding(narrow, starts, fills_of):
    with blinded(narrow, {24: [1, 7], 29: [2], 25: [9]}):
        assert_same(narrow, starts(2, 32), fills_of(narrow, 32))


def test_inside_another_ablation(narrow, starts, fills_of):
    with ablated(narrow, Ablation({24: (1,)}, mode="scale", alpha=0.5)):
        assert_same(narrow, starts(2, 32), fills_of(narrow, 32))


def test_no_hook_and_no_weight_changes(narrow, starts, fills_of):
    fills = fills_of(narrow, 32)
    weights = {name: value.clone() for name, value in narrow.module.state_dict().items()}
    sweep(narrow, starts(2, 32), ABLATIONS, target=0, fills=fills)
    assert not any(part._forward_hooks for part in narrow.module.modules())
    assert all(torch.equal(value, weights[n]) for n, value in narrow.module.state_dict().items())


def test_donors_go_by_position(narrow, starts, fills_of):
    fills, ablation = fills_of(narrow, 32), Ablation(SET, mode="resample")
    pictures, positions = starts(4, 32), [30, 4, 17, 9]
    options = {"target": 0, "fills": fills, "kept": (0, 1)}
    whole = sweep(narrow, pictures, [ablation], positions=positions, **options)
    expected = one_by_one(narrow, pictures, [ablation], fills, positions)
    np.testing.assert_allclose(whole.logits, expected, rtol=1e-4, atol=1e-5)
    for place, position in enumerate(positions):
        alone = sweep(
            narrow, pictures[place : place + 1], [ablation], positions=[position], **options
        )
        np.testing.assert_allclose(alone.logits[:, 0], whole.logits[:, place], rtol=1e-5, atol=1e-5)


def test_readings_of_a_sweep(narrow, starts):
    pictures, own = starts(3, 32), [5, 0, 2]
    found = sweep(narrow, pictures, ABLATIONS[4:8], target=2, own=own, kept=range(5))
    logits = found.logits.astype(np.float64)
    chances = softmax(logits, axis=2)
    others = np.delete(logits, 2, axis=2)
    assert found.label.tolist() == logits.argmax(axis=2).tolist()
    assert np.allclose(found.p_target, chances[:, :, 2], rtol=1e-12)
    assert np.allclose(found.margin, logits[:, :, 2] - logsumexp(others, axis=2), rtol=1e-12)
    assert np.allclose(found.p_own, chances[:, range(3), own], rtol=1e-12)
    assert found.rank.tolist() == (1 + (others > logits[:, :, 2:3]).sum(axis=2)).tolist()
    assert found.top5.tolist() == (found.rank <= 5).astype(int).tolist()
    kl = (chances[0] * np.log(chances[0] / chances)).sum(axis=2)
    assert np.allclose(found.kl, kl, atol=1e-12)
    assert (found.kl[1:] > 0).all()
    assert np.allclose(found.kl[0], 0)


def test_own_label_is_the_intact_networks_where_none_is_given(narrow, starts):
    found = sweep(narrow, starts(3, 32), ABLATIONS[:1], target=0, kept=(0, 1))
    labels = found.logits[0].argmax(axis=1)
    assert found.label[0].tolist() == labels.tolist()
    assert np.allclose(
        found.p_own[1], softmax(found.logits[1].astype(float), axis=1)[range(3), labels]
    )


def test_equal_logits_are_ranked_as_verdicts_are(narrow):
    logits = torch.tensor([[[1.0, 3.0, 1.0, 3.0, 0.0, 1.0]]])
    top = [label for label, _ in verdicts(narrow, logits[0])[0].top5]
    for target, label in enumerate(narrow.labels):
        reading = read(logits, logits[0], target=target, own=torch.tensor([0]))
        place = top.index(label) + 1 if label in top else 6
        assert (reading.rank.item(), reading.top5.item()) == (place, int(place <= 5))
        assert narrow.labels[reading.label.item()] == top[0]


def test_features_are_means_of_the_last_maps(narrow, starts):
    found = sweep(narrow, starts(2, 64), ABLATIONS[:1], target=0, kept=(1, 0))
    for number, ablation in enumerate((ABLATIONS[0], Ablation({}))):
        with ablated(narrow, ablation), torch.no_grad():
            maps = narrow.module.features(starts(2, 64))
        np.testing.assert_allclose(found.features[number], maps.mean((2, 3)), rtol=1e-4, atol=1e-6)
    assert (found.features[0, :, 3] == 0).all()


def test_among_the_conditions_of_a_plan(narrow, starts):
    found = sweep(narrow, starts(2, 32), ABLATIONS[:1], target=0, kept=(0, 1))
    spread = found.among(4, [0, 3])
    assert np.array_equal(spread.p_target[[0, 3]], found.p_target)
    assert np.isnan(spread.kl[1:3]).all()
    assert (spread.rank[1:3] == -1).all()
    assert np.array_equal(spread.logits, found.logits)


def test_progress_and_an_end_from_outside(narrow, starts, monkeypatch):
    monkeypatch.setattr(descent, "_CPU_BYTES", 1)
    seen = []
    sweep(narrow, starts(2, 32), ABLATIONS[4:9], target=0, on_part=seen.append)
    assert seen == sorted(seen)
    assert len(seen) > 2
    assert seen[-1] == 1

    def stop(done):
        raise RuntimeError("cancelled")

    with pytest.raises(RuntimeError, match="cancelled"):
        sweep(narrow, starts(2, 32), ABLATIONS[4:9], target=0, on_part=stop)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"target": 6}, InvalidInput, "classes 0-5; got 6"),
        ({"own": [0, -1]}, InvalidInput, "got -1"),
        ({"own": [0]}, InvalidInput, "own: one a picture; got 1 for 2"),
        ({"positions": [0, 1, 2]}, InvalidInput, "positions: one a picture; got 3 for 2"),
        ({"kept": [2]}, InvalidInput, "conditions are 0-1; got 2"),
        ({"pictures": torch.zeros(1, 3, 16, 32)}, PictureError, "too small"),
        ({"pictures": torch.zeros(0, 3, 32, 32)}, InvalidInput, "one at least"),
        ({"ablations": [Ablation({20: (1,)}, mode="mean")]}, InvalidInput, "needs fills"),
        ({"ablations": [Ablation({20: (64,)})]}, InvalidChannel, "got 64"),
    ],
)
def test_mistakes_are_named(narrow, starts, options, error, words):
    given = {"pictures": starts(2, 32), "ablations": ABLATIONS[:1], "target": 0, **options}
    with pytest.raises(error, match=words):
        sweep(narrow, **given)

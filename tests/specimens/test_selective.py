"""The second phase of training: the masks are the published choice, and the loss falls."""

import numpy as np
import pytest
import torch
from torch import Tensor

from beholder.science.blind import blinded
from beholder.science.measure import measure
from beholder.science.networks import load_network
from beholder.science.statistics import ChannelStatistics, chosen_channels
from beholder.specimens.architecture import build
from beholder.specimens.blinding import choose
from beholder.specimens.draw import CLASSES
from beholder.specimens.pool import Pool
from beholder.specimens.selective import (
    CHOOSING,
    FROZEN,
    THRESHOLD,
    Refinement,
    Size,
    fill,
    refine,
    run,
    shared,
)

SIZE = Size(side=32, views=64, share=1, classes=3, pictures=6)


def published(strength: Tensor) -> set[int]:
    """What `beholder.science` chooses at one layer, from strengths (N, C)."""
    blank = torch.zeros(len(strength), 1)
    statistics = ChannelStatistics.empty((1,) * 20 + (strength.shape[1],))
    statistics.update([blank] * 20 + [strength], range(len(strength)))
    return set(chosen_channels(statistics, threshold=THRESHOLD).get(20, ()))


@pytest.mark.parametrize("seed", range(5))
def test_masks_are_the_published_choice(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    # Few distinct values, many of them nought: ties within pictures and among counts.
    draws = torch.randint(0, 3 + 3 * seed, (4, 7, 40), generator=generator) - 2
    leaning = (torch.arange(40) % 4 == torch.arange(4)[:, None])[:, None] * 2
    strengths = (draws + leaning).clamp(min=0).float()  # (classes, pictures, C)
    (masks,) = shared([strengths.flatten(0, 1)], classes=4)
    for mask, strength in zip(masks, strengths, strict=True):
        assert set((mask == 0).nonzero()[:, 0].tolist()) == published(strength[:CHOOSING])


def test_a_masked_run_is_a_blinded_network() -> None:
    network = load_network("specimens")
    pictures = torch.rand(CHOOSING, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        first, strengths, intact = run(network.module, network.module.features[:FROZEN](pictures))
        masks = [mask.expand(len(pictures), -1) for mask in shared(strengths, classes=1)]
        masked = run(network.module, first, masks)[2]
        with blinded(network, choose(network, pictures, THRESHOLD)):
            expected = network.module(pictures)
    assert torch.allclose(masked, expected, atol=1e-3)
    assert not torch.allclose(masked, intact, atol=1e-1)
    read = measure(network, pictures).strengths
    cut_layers = [20, 22, 24, 26, 27, 29, 31, 33, 35, 36]
    assert all(
        torch.allclose(strength, read[layer], rtol=1e-3, atol=1e-3)
        for strength, layer in zip(strengths, cut_layers, strict=True)
    )


def test_refining_moves_the_late_layers_only() -> None:
    torch.manual_seed(0)
    network = build(len(CLASSES), batch_norm=False).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random = np.random.default_rng(0)
    pictures = torch.randint(0, 256, (40, 3, 32, 32), dtype=torch.uint8)
    pool = Pool(pictures, torch.arange(40) % len(CLASSES))
    losses: list[float] = []
    refine(
        network,
        [fill(network, pool, SIZE, random)],
        Refinement(refine_steps=2, refine_learning_rate=1e-3, lost=1.0, kept=1.0),
        random,
        lambda step, loss, right, count: losses.append(loss),
    )
    moved = {name for name, value in network.state_dict().items() if not value.equal(before[name])}
    late = [name for name, _ in network.features[FROZEN:].named_parameters()]
    assert len(moved) == len(late) + 2
    assert "features.19.weight" in moved
    assert not any(name.startswith("features.16.") for name in moved)
    assert len(losses) == 2
    assert all(parameter.requires_grad for parameter in network.parameters())

"""A sweep is timed against ablating one set after another, and against the machine's products."""

import pytest
import torch

from beholder.science.ablation import Ablation
from beholder.science.networks import load_network
from beholder.science.sweep import sweep
from benchmarks.harness import Options
from benchmarks.operations import forward_operations
from benchmarks.sweeps import CHANNELS, SETS, _operations, _sets, rows_of


@pytest.mark.slow
def test_sets_are_of_the_size_that_is_told() -> None:
    sets = _sets(load_network("specimens"))
    assert len(sets) == SETS
    assert {sum(map(len, one.values())) for one in sets} == {CHANNELS}


@pytest.mark.slow
def test_a_sweep_is_faster_than_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.sweeps.SIDE", 64)
    monkeypatch.setattr("benchmarks.sweeps.SETS", 24)
    monkeypatch.setattr("benchmarks.rates.CPU_SIZES", (128,))
    rows = {row.name: row for row in rows_of(Options("cpu", 0.1), 4)}
    assert rows["sweep, share of the matrix-product rate"].value > 0
    assert rows["sweep, times one by one"].value > 1
    assert rows["seconds of all random sets"].goal is None


def test_operations_are_those_of_the_convolutions() -> None:
    network = load_network("specimens")
    pictures = torch.zeros(2, 3, 64, 64)
    asked = forward_operations(network.widths, layer=36, size=64)
    assert _operations(lambda: network.module.features(pictures)) == 2 * asked
    one = Ablation({0: (0,)})
    counted = _operations(lambda: sweep(network, pictures, [one], target=0, kept=()))
    assert 2 * asked < counted < 4 * asked, "intact, and ablated from the second layer on"

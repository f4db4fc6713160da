import pytest

from beholder.science.networks import load_network
from benchmarks.harness import Options
from benchmarks.sweeps import CHANNELS, SETS, _sets, rows_of


@pytest.mark.slow
def test_sets_are_of_the_size_that_is_told() -> None:
    sets = _sets(load_network("specimens"))
    assert len(sets) == SETS
    assert {sum(map(len, one.values())) for one in sets} == {CHANNELS}


@pytest.mark.slow
def test_a_sweep_is_faster_than_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.sweeps.SIDE", 64)
    monkeypatch.setattr("benchmarks.sweeps.SETS", 24)
    rows = {row.name: row for row in rows_of(Options("cpu", 0.1), 4)}
    assert rows["sweep, times one by one"].value > 1
    assert rows["seconds of all random sets"].goal is None

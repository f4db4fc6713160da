"""A tiny run of the science's benchmark: every row of the goals' table is measured."""

import pytest
import torch

from benchmarks import harness, rates, science
from benchmarks.comparison import Compared, Work, product_work
from benchmarks.harness import Options, Timing
from benchmarks.rates import Product


@pytest.mark.slow
def test_every_goal_has_its_row(monkeypatch):
    monkeypatch.setitem(science.PLANS, "cpu", science.Plan((1, 2), (1, 2), 1, 1, 1, 10, 1))
    monkeypatch.setattr(rates, "CPU_SIZES", (128,))
    monkeypatch.setattr(harness, "LEAST_ROUNDS", 1)
    rows = {row.name: row for row in science.rows_of(Options("cpu", 0.01), size=32)}
    assert set(science.GOALS["cpu"]) <= set(rows)
    assert {name: row.goal for name, row in rows.items() if row.goal} == science.GOALS["cpu"]
    assert all(row.value > 0 for row in rows.values())
    assert "2.619 by count" in rows["snapshots, one run for five"].detail
    assert sum(name.endswith(science.OF_PRODUCTS) for name in rows) == 6


@pytest.mark.slow
def test_a_faster_precision_has_rows_for_its_agreement():
    pictures = torch.zeros(1, 3, 32, 32)
    work = Work(lambda: None, 1, 1)
    bench = science.Bench("cpu", science.PLANS["cpu"], None, None, pictures, "bf16", work, 1.0, 1.0)
    rows = science.agreement_rows(bench)
    assert [row.name.split(", ")[1] for row in rows] == [f"layer {i}" for i in (5, 12, 20, 28, 35)]
    assert all(0 < row.value < 1 for row in rows)
    assert all(row.detail.endswith(("admitted", "refused: float32 is taken")) for row in rows)


def test_on_a_gpu_the_precision_of_its_goals_comes_first():
    first = rates.PRECISIONS["cuda"][0]
    assert all(first in name for name in science.GOALS["cuda"] if "snapshots" not in name)


def test_the_gpus_goals_are_named_like_the_rows():
    names = {name.replace("bf16", "float32") for name in science.GOALS["cuda"]}
    assert names <= set(science.GOALS["cpu"])


def compared():
    works = {
        "ours": Work(lambda: None, units=8, operations=80),
        "theirs": Work(lambda: None, units=2),
        "product": Work(lambda: None, units=1, operations=100),
    }
    timings = {
        "ours": Timing((2.0, 4.0)),
        "theirs": Timing((1.5, 3.0)),
        "product": Timing((2.0, 1.0)),
    }
    return Compared(works, timings)


def test_units_and_operations_a_second():
    found = compared()
    assert found.times("ours", "theirs") == 3.0  # 4 a second against 4/3
    assert (found.rate("ours"), found.rate("product")) == (40.0, 100.0)
    assert found.unit_s("ours") == 0.375
    assert (found.rounds, found.spread) == (2, 2 / 3)


def test_a_product_is_repeated_until_it_can_be_timed():
    calls = []
    product = Product("any", 100, lambda: calls.append(1))
    work = product_work(product, rate=20e6)  # ten a second
    work.call()
    assert len(calls) == work.units == 2
    assert work.operations == 2 * product.operations

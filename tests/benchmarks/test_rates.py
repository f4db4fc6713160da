"""The matrix-product rate: every way gives the product, and the best of them is the rate."""

import pytest
import torch

from benchmarks import rates


@pytest.mark.parametrize("product", list(rates.products("float32", "cpu", (64,))), ids=str)
def test_every_way_multiplies(product):
    before = torch.get_float32_matmul_precision()
    product.call()
    assert torch.get_float32_matmul_precision() == before
    assert product.operations == 2 * 64**3


def test_the_ways_of_the_cpu_are_mkl_and_onednn():
    ways = [product.way for product in rates.products("float32", "cpu", (64,))]
    assert ways == ["torch.mm", "oneDNN linear", "oneDNN 1x1 convolution"]


def test_onednns_ways_compute_the_product():
    generator = torch.Generator().manual_seed(64)
    left, right = (torch.randn(64, 64, generator=generator) for _ in range(2))
    linear, pointwise = (
        product.call for product in list(rates.products("float32", "cpu", (64,)))[1:]
    )
    expected = left @ right.T
    torch.testing.assert_close(linear(), expected)
    found = pointwise().permute(0, 2, 3, 1).reshape(64, 64)
    torch.testing.assert_close(found, expected)


def test_the_best_product_has_the_best_rate():
    product, rate = rates.best_product("float32", "cpu", sizes=(64, 256), rounds=2)
    assert product.size in (64, 256)
    assert 1e8 < rate < 1e14


@pytest.mark.slow
def test_the_rows(capsys, monkeypatch):
    monkeypatch.setattr(rates, "CPU_SIZES", (128,))
    monkeypatch.setattr("sys.argv", ["rates"])
    (row,) = rates.rows_of(rates.Options("cpu", 1.0))
    assert row.unit == "TFLOP/s"
    assert row.value > 0

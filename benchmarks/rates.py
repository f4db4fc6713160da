"""The machine's matrix-product rate: the best of the library's own products, in the same run.

`products` lists them and `best_product` picks. A benchmark then times the winner in turn with its
own sides, so that a share compares what the machine gave both at that moment.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from benchmarks.harness import Options, Row, run

Precision = Literal["float32", "tf32", "bf16"]

CPU_SIZES = (1024, 2048, 4096)
GPU_SIZES = (4096, 8192)
PRECISIONS: dict[str, tuple[Precision, ...]] = {
    "cpu": ("float32",),
    "cuda": ("bf16", "tf32", "float32"),  # the goals' first
}


@dataclass(frozen=True)
class Product:
    """A product of two `size` x `size` matrices of random numbers, by one way of the library."""

    way: str
    size: int
    call: Callable[[], object]

    @property
    def operations(self) -> int:
        """Of one call."""
        return 2 * self.size**3

    def __str__(self) -> str:
        return f"{self.way}, {self.size}"


def products(precision: Precision, device: str, sizes: tuple[int, ...]) -> Iterator[Product]:
    """Every way and size to try, made one at a time; random data, since zeros run faster."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    for size in sizes:
        generator = torch.Generator().manual_seed(size)
        left, right = (torch.randn(size, size, generator=generator) for _ in range(2))
        left, right = (matrix.to(device, dtype) for matrix in (left, right))
        yield Product("torch.mm", size, _mm(left, right, precision))
        if device == "cpu":
            # torch.mm is MKL's, which is slow on some CPUs; oneDNN does the convolutions.
            yield Product("oneDNN linear", size, _linear(left, right))
            yield Product("oneDNN 1x1 convolution", size, _pointwise(left, right))


def _mm(left: Tensor, right: Tensor, precision: Precision) -> Callable[[], object]:
    out = torch.empty_like(left)

    def call() -> None:
        with _tf32(precision == "tf32"):
            torch.mm(left, right, out=out)

    return call


def _linear(left: Tensor, right: Tensor) -> Callable[[], object]:
    # The operator that torch.compile calls for a linear layer; no public function reaches it. As
    # our convolutions' weights, its own are laid in blocks before: that is no part of a product.
    onednn = torch.ops.mkldnn
    blocks = onednn._reorder_linear_weight(right, len(left))
    return lambda: onednn._linear_pointwise(left, blocks, None, "none", [], "")


def _pointwise(left: Tensor, right: Tensor) -> Callable[[], object]:
    """A 1x1 convolution: the rows of `left` are its pixels, 32 a line."""
    rows = left.view(1, -1, 32, left.shape[1])
    image = rows.permute(0, 3, 1, 2)  # (1, C, H, 32), channels last
    kernel = right[:, :, None, None].contiguous(memory_format=torch.channels_last)
    return lambda: conv2d(image, kernel)


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def best_product(
    precision: Precision, device: str, *, sizes: tuple[int, ...] | None = None, rounds: int = 3
) -> tuple[Product, float]:
    """The fastest product, and its best rate of `rounds`, in operations a second.

    The best, since a yardstick that something else slowed down would flatter what it measures.
    """
    tried = list(
        products(precision, device, sizes or (CPU_SIZES if device == "cpu" else GPU_SIZES))
    )
    best = [0.0] * len(tried)
    for done in range(rounds + 1):
        for place, product in enumerate(tried):
            rate = _rate(product, device)
            best[place] = max(best[place], rate) if done else 0.0  # the first warms up
    place = best.index(max(best))
    return tried[place], best[place]


def _rate(product: Product, device: str) -> float:
    _wait(device)
    begun = time.perf_counter()
    product.call()
    _wait(device)
    return product.operations / (time.perf_counter() - begun)


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)


def rows_of(given: Options) -> list[Row]:
    """The best rate of each precision that the device is asked for."""
    rows = []
    for precision in PRECISIONS[torch.device(given.device).type]:
        product, rate = best_product(precision, given.device)
        rows.append(
            Row(f"matrix product, {precision}", rate / 1e12, "TFLOP/s", detail=str(product))
        )
    return rows


if __name__ == "__main__":
    run("rates", rows_of, about=__doc__ or "", seconds=20)

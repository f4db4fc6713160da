"""Ours, theirs and a matrix product, timed in turn: `compare` gives a `Compared`.

Ratios are of units a second, by round; rates are of operations a second, of the best round.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil

from benchmarks.harness import Timing, alternate, times_faster
from benchmarks.rates import Product

PRODUCT_S = 0.2  # seconds of matrix products, the least that is timed at once
ROUNDS = 5


@dataclass(frozen=True)
class Work:
    """One side: a call, how many units it does (picture-steps, say), and its useful operations."""

    call: Callable[[], object]
    units: int
    operations: int = 0


@dataclass(frozen=True)
class Compared:
    """What was timed, by side."""

    works: Mapping[str, Work]
    timings: Mapping[str, Timing]

    @property
    def rounds(self) -> int:
        """How many there was time for."""
        return min(len(timing.seconds) for timing in self.timings.values())

    @property
    def spread(self) -> float:
        """The greatest of the sides'."""
        return max(timing.spread for timing in self.timings.values())

    def times(self, fast: str, slow: str) -> float:
        """How many times as many units a second."""
        units = self.works[fast].units / self.works[slow].units
        return times_faster(self.timings, fast, slow) * units

    def rate(self, side: str) -> float:
        """Operations a second, of the fastest round."""
        return self.works[side].operations / self.timings[side].best

    def unit_s(self, side: str) -> float:
        """Seconds a unit."""
        return self.timings[side].median / self.works[side].units


def compare(works: Mapping[str, Work], *, device: str, seconds_max: float) -> Compared:
    """Time `works` in turn, each warmed up once."""
    calls = {side: work.call for side, work in works.items()}
    timings = alternate(calls, rounds=ROUNDS, seconds_max=seconds_max, device=device)
    return Compared(works, timings)


def product_work(product: Product, rate: float) -> Work:
    """`product` as often as takes `PRODUCT_S` at its `rate` in operations a second."""
    times = ceil(PRODUCT_S * rate / product.operations)

    def call() -> None:
        for _ in range(times):
            product.call()

    return Work(call, times, times * product.operations)

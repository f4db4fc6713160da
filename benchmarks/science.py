"""The science against the article's way and against the machine, for each precision of the device.

Dreams, strengths, every layer from one start, and snapshots. Speeds are of one picture and one
step, on the network `random:0`, whose work is VGG19's own.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from beholder.layers import LAST_LAYER, LAYERS
from beholder.science.dream import Dream, dream, dream_layers
from beholder.science.measure import measure
from beholder.science.networks import Network, load_network
from beholder.science.precision import agreement
from beholder.science.statistics import ChannelStatistics
from benchmarks.article import Article
from benchmarks.comparison import Compared, Work, compare, product_work
from benchmarks.harness import Options, Row, alternate, run
from benchmarks.operations import forward_operations, step_operations
from benchmarks.rates import PRECISIONS, Precision, best_product

SIZE = 224  # pixels a side
DREAM_LAYERS = (5, 12, 20, 28, 35)
BATCH_LAYER = 20  # where the best batch is looked for
DEPTHS = (10, 60, 110, 160, 210)
DEPTHS_LAYER = 12
COMPARISONS = 8  # of a precision: five layers, strengths, all layers, depths


@dataclass(frozen=True)
class Plan:
    """How much one call does: long enough to time, and no longer.

    batches, measured: how many pictures are dreamt and measured at once; the best is tried out.
    steps: of a dream. layer_steps: of each layer's, where there are 37. article_pictures: measured
    its way. depth_divisor: of the depths, whose ratio it leaves as it is. layers_divisor: of the
    pixels a side of the start of every layer's dream, whose 37 runs take the article's way longest.
    """

    batches: tuple[int, ...]
    measured: tuple[int, ...]
    steps: int
    layer_steps: int
    article_pictures: int
    depth_divisor: int
    layers_divisor: int


PLANS = {
    "cpu": Plan((2, 8), (4, 16), 1, 1, 2, 10, 2),
    # The article's sort waits for a GPU at each of 180,000 comparisons: seconds a picture.
    "cuda": Plan((16, 64, 128), (64, 256), 10, 10, 1, 1, 1),
}

OF_PRODUCTS = "of the matrix products"
# By the row's name: times the article's way, and shares in per cent.
GOALS: dict[str, dict[str, float]] = {
    "cpu": {
        "dream, layer 5, float32": 2.8,
        "dream, layer 12, float32": 2.8,
        "dream, layer 20, float32": 1.8,
        "dream, layer 28, float32": 1.8,
        "dream, layer 35, float32": 1.8,
        f"dream, layer 12, float32, {OF_PRODUCTS}": 85,
        f"dream, layer 20, float32, {OF_PRODUCTS}": 85,
        f"dream, layer 28, float32, {OF_PRODUCTS}": 85,
        f"dream, layer 35, float32, {OF_PRODUCTS}": 85,
        "strengths, float32": 3.5,
        f"strengths, float32, {OF_PRODUCTS}": 85,
        "dream, all layers from one start, float32": 3,
        "snapshots, one run for five": 2.6,
    },
    "cuda": {
        **{f"dream, layer {layer}, bf16": 25 for layer in DREAM_LAYERS},
        f"dream, layer 28, bf16, {OF_PRODUCTS}": 55,
        f"dream, layer 35, bf16, {OF_PRODUCTS}": 55,
        "strengths, bf16": 40,
        f"strengths, bf16, {OF_PRODUCTS}": 50,
        "dream, all layers from one start, bf16": 30,
        "snapshots, one run for five": 2.6,
    },
}


@dataclass(frozen=True)
class Bench:
    """A network, the article's copy of it, and pictures (B, 3, size, size), all on the device.

    product: the fastest matrix product in `precision`, the yardstick of the shares.
    """

    device: str
    plan: Plan
    network: Network
    article: Article
    pictures: Tensor
    precision: Precision
    product: Work
    rate: float  # of the product when the machine was let alone most, operations a second
    seconds_max: float  # of one comparison

    @property
    def size(self) -> int:
        """Pixels a side."""
        return self.pictures.shape[-1]

    def row(self, name: str, value: float, unit: str, detail: str) -> Row:
        """With the goal that this device has for it."""
        return Row(name, value, unit, GOALS[kind_of(self.device)].get(name), detail=detail)

    def compare(self, **works: Work) -> Compared:
        """`works` in turn with the matrix product."""
        return compare(
            {**works, "product": self.product}, device=self.device, seconds_max=self.seconds_max
        )

    def best(self, counts: tuple[int, ...], call: Callable[[Tensor], object]) -> Tensor:
        """As many pictures as make `call` fastest by picture, of `counts`."""
        sides = {str(count): partial(call, self.pictures[:count]) for count in counts}
        timings = alternate(sides, rounds=1, device=self.device)
        best = min(counts, key=lambda count: timings[str(count)].median / count)
        return self.pictures[:best]


def dream_rows(bench: Bench) -> Iterator[Row]:
    """Dreams of the best batch against dreams of one picture at a time, for each layer."""
    batch = bench.best(bench.plan.batches, partial(_dream, bench, layer=BATCH_LAYER, steps=1))
    for layer in DREAM_LAYERS:
        steps, done = bench.plan.steps, len(batch) * bench.plan.steps
        operations = step_operations(bench.network.widths, layer=layer, size=bench.size)
        ours = partial(_dream, bench, batch, layer=layer, steps=steps)
        theirs = partial(bench.article.dream, bench.pictures[0], layer=layer, steps=steps)
        found = bench.compare(ours=Work(ours, done, done * operations), theirs=Work(theirs, steps))
        name = f"dream, layer {layer}, {bench.precision}"
        yield from _times_and_share(bench, name, found, f"{len(batch)} pictures at once")


def _dream(bench: Bench, pictures: Tensor, *, layer: int, steps: int) -> Dream:
    return dream(bench.network, pictures, layer=layer, steps=steps, precision=bench.precision)


def strengths_rows(bench: Bench) -> list[Row]:
    """Counting top channels in all 37 layers; the share is of the measuring alone."""
    operations = forward_operations(bench.network.widths, layer=LAST_LAYER, size=bench.size)

    def ours(pictures: Tensor) -> tuple[Tensor, ...]:
        return measure(bench.network, pictures, precision=bench.precision).strengths

    def counted(pictures: Tensor) -> None:
        statistics = ChannelStatistics.empty(bench.network.widths)
        statistics.update(ours(pictures), positions=range(len(pictures)))

    batch = bench.best(bench.plan.measured, ours)
    few = bench.pictures[: bench.plan.article_pictures]
    found = bench.compare(
        ours=Work(lambda: ours(batch), len(batch), len(batch) * operations),
        counted=Work(lambda: counted(batch), len(batch)),
        theirs=Work(lambda: bench.article.counts(few), len(few)),
    )
    name = f"strengths, {bench.precision}"
    return _times_and_share(bench, name, found, f"{len(batch)} pictures at once", fast="counted")


def layers_row(bench: Bench) -> Row:
    """One start, a dream on each of the 37 layers."""
    steps, side = bench.plan.layer_steps, bench.size // bench.plan.layers_divisor
    start = bench.pictures[0, :, :side, :side].clone()
    layers = range(len(LAYERS))

    def ours() -> object:
        return dream_layers(
            bench.network, start[None], layers=layers, steps=steps, precision=bench.precision
        )

    found = bench.compare(
        ours=Work(ours, steps),
        theirs=Work(lambda: bench.article.dream_layers(start, steps=steps), steps),
    )
    name = f"dream, all layers from one start, {bench.precision}"
    each = found.unit_s("ours")
    detail = f"times the article's way; {side} x {side}; {each:.3g} s a step of all"
    return bench.row(name, found.times("ours", "theirs"), "x", detail)


def snapshots_row(bench: Bench) -> Row:
    """One run that keeps five depths against five runs; both are ours."""
    depths = [depth // bench.plan.depth_divisor for depth in DEPTHS]
    start = bench.pictures[:1]

    def ours(steps: int, snapshots: list[int]) -> object:
        return dream(bench.network, start, layer=DEPTHS_LAYER, steps=steps, snapshots=snapshots)

    found = bench.compare(
        one=Work(lambda: ours(max(depths), depths), 1),
        five=Work(lambda: [ours(depth, []) for depth in depths], 1),
    )
    listed = ", ".join(map(str, depths))
    detail = f"layer {DEPTHS_LAYER}, at {listed} steps; {sum(depths) / max(depths):.3f} by count"
    return bench.row("snapshots, one run for five", found.times("one", "five"), "x", detail)


def agreement_rows(bench: Bench) -> list[Row]:
    """How far dreams in this precision are from float32's, on a network that has learned."""
    specimens, rows = load_network("specimens", device=bench.device), []
    for layer in DREAM_LAYERS:
        found = agreement(
            specimens, bench.precision, layer=layer, learning_rate=0.02, size=bench.size
        )
        verdict = "admitted" if found.admitted else "refused: float32 is taken"
        detail = f"specimens; objective differs by {found.objective_error:.2%}; {verdict}"
        name = f"similarity to float32, layer {layer}, {bench.precision}"
        rows.append(Row(name, found.similarity, "SSIM", detail=detail))
    return rows


def _times_and_share(
    bench: Bench, name: str, found: Compared, detail: str, fast: str = "ours"
) -> list[Row]:
    times = found.times(fast, "theirs")
    detail = f"times the article's way; {detail}; {found.rounds} rounds, spread {found.spread:.0%}"
    # Best against best: a yardstick that something else slowed down would flatter.
    done, whole = found.rate("ours"), max(bench.rate, found.rate("product"))
    rates = f"{done / 1e12:.3g} of {whole / 1e12:.3g} TFLOP/s"
    return [
        bench.row(name, times, "x", detail),
        bench.row(f"{name}, {OF_PRODUCTS}", 100 * done / whole, "%", rates),
    ]


def kind_of(device: str) -> str:
    """ "cpu" or "cuda"."""
    return torch.device(device).type


def rows_of(given: Options, *, size: int = SIZE) -> Iterator[Row]:
    """All rows of the device: each precision's, then the snapshots'."""
    plan, precisions = PLANS[kind_of(given.device)], PRECISIONS[kind_of(given.device)]
    network = load_network("random:0", device=given.device)
    article = Article(network.module)
    most = max(*plan.batches, *plan.measured)
    pictures = torch.rand((most, 3, size, size), generator=torch.Generator().manual_seed(0))
    pictures = pictures.to(network.device)
    for precision in precisions:
        product, rate = best_product(precision, given.device)
        yield Row(f"matrix product, {precision}", rate / 1e12, "TFLOP/s", detail=str(product))
        bench = Bench(
            given.device,
            plan,
            network,
            article,
            pictures,
            precision,
            product_work(product, rate),
            rate,
            given.seconds / COMPARISONS / len(precisions),
        )
        yield from dream_rows(bench)
        yield from strengths_rows(bench)
        yield layers_row(bench)
        if precision == "float32":
            yield snapshots_row(bench)
        else:
            yield from agreement_rows(bench)


if __name__ == "__main__":
    run("science", rows_of, about=__doc__ or "", seconds=85)

"""Random sets over test pictures: how long a sweep takes, against ablating one set after another.

`--full` runs 199 sets on 1,000 pictures of `specimens`; without it there are 40. How long that is
depends on the machine: the share of its matrix-product rate says what a sweep makes of it.
"""

import sys
import time
from collections.abc import Callable, Iterator

import torch
from torch import Size, Tensor
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from beholder.science.ablation import Ablation, ablated
from beholder.science.blind import classify
from beholder.science.draws import layer_matched
from beholder.science.networks import Network, load_network
from beholder.science.scores import candidates
from beholder.science.sweep import sweep
from beholder.specimens.draw import CLASSES
from beholder.specimens.pool import draw_pool, preprocess
from benchmarks.comparison import Work, compare, product_work
from benchmarks.harness import Options, Row, run
from benchmarks.rates import best_product

SETS, SIDE, SEED = 199, 224, 12_000_000
FEW, FULL = 40, 1_000
COMPARED = (8, 24)  # pictures and sets of the comparison
GOAL_S = 300.0
CHANNELS = 20  # of a set, spread as sets on `specimens` are: most in the last block


def rows_of(given: Options, pictures_tested: int) -> Iterator[Row]:
    """The comparison, then all sets on all pictures."""
    network = load_network("specimens", device=given.device)
    sets = [Ablation(one) for one in _sets(network)]
    shown = _pictures(pictures_tested)
    pictures, few = COMPARED

    def together() -> None:
        sweep(network, shown[:pictures], sets[:few], target=0, kept=())

    def one_by_one() -> None:
        for one in sets[:few]:
            with ablated(network, one):
                classify(network, shown[:pictures])

    product, rate = best_product("float32", given.device)
    units = pictures * few
    found = compare(
        {
            "sweep": Work(together, units, _operations(together)),
            "one by one": Work(one_by_one, units),
            "product": product_work(product, rate),
        },
        device=given.device,
        seconds_max=given.seconds,
    )
    how = f"{few} sets of {CHANNELS} channels, {pictures} pictures of {SIDE} px"
    times = found.times("sweep", "one by one")
    yield Row("sweep, times one by one", times, "x", detail=how)
    share = 100 * found.rate("sweep") / found.rate("product")
    detail = f"{found.rate('product') / 1e9:.0f} GFLOP/s: {product}"
    yield Row("sweep, share of the matrix-product rate", share, "%", detail=detail)
    begun = time.perf_counter()
    sweep(network, shown, sets, target=0, kept=())
    seconds = time.perf_counter() - begun
    yield Row(
        "seconds of all random sets",
        seconds,
        "s",
        goal=GOAL_S if len(shown) == FULL else None,
        better="lower",
        detail=f"{SETS} sets, {len(shown):,} pictures: "
        f"{1000 * seconds / SETS / len(shown):.2f} ms a set and picture",
    )


def _operations(call: Callable[[], object]) -> int:
    """Multiplications and additions of the convolutions that a call makes."""

    def of_fused(maps: Size, weights: Size, *_: object, out_shape: Size, **__: object) -> int:
        return int(conv_flop_count(list(maps), list(weights), list(out_shape)))

    fused = {torch.ops.mkldnn._convolution_pointwise: of_fused}
    with FlopCounterMode(display=False, custom_mapping=fused) as counter:
        call()
    return int(counter.get_total_flops())


def _sets(network: Network) -> tuple[dict[int, tuple[int, ...]], ...]:
    """Sets with as many channels a layer as iterative choosing takes there."""
    layers = candidates()
    sizes = dict(zip(layers, (1, 1, 1, 1, 2, 4, 5, 5), strict=True))
    like = {layer: range(size) for layer, size in sizes.items()}
    return layer_matched(like, network.widths, count=SETS, seed=0)


def _pictures(count: int) -> Tensor:
    pool = draw_pool(per_class=-(-count // len(CLASSES)), size=256, seed=SEED, workers=2)
    return torch.cat([preprocess(some, SIDE) for some in torch.split(pool.pictures, 64)])[:count]


def main() -> None:
    """Random channel sets over pictures: a sweep, against ablating one set after another."""
    full = "--full" in sys.argv
    if full:
        sys.argv.remove("--full")

    def figures(given: Options) -> Iterator[Row]:
        return rows_of(given, FULL if full else FEW)

    run("sweeps", figures, about=main.__doc__ or "", seconds=30.0)


if __name__ == "__main__":
    main()

"""Random sets over test pictures: how long a sweep takes, against ablating one set after another.

`--full` runs 199 sets on 1,000 pictures of `specimens`; without it there are 40.
"""

import sys
import time
from collections.abc import Iterator

import torch
from torch import Tensor

from beholder.science.ablation import Ablation, ablated
from beholder.science.blind import classify
from beholder.science.draws import layer_matched
from beholder.science.networks import Network, load_network
from beholder.science.scores import candidates
from beholder.science.sweep import sweep
from beholder.specimens.draw import CLASSES
from beholder.specimens.pool import draw_pool, preprocess
from benchmarks.harness import Options, Row, alternate, run, times_faster

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

    timings = alternate(
        {"sweep": together, "one by one": one_by_one},
        seconds_max=given.seconds,
        device=given.device,
    )
    yield Row(
        "sweep, times one by one",
        times_faster(timings, "sweep", "one by one"),
        "x",
        detail=f"{few} sets of {CHANNELS} channels, {pictures} pictures of {SIDE} px",
    )
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

"""Sound studies of every class of `specimens`: `python -m benchmarks.studies` prints the tables.

Each class in turn is the target, its relatives are siblings, all others controls; pictures are
drawn with seeds that neither training nor any other choice has seen. Every method and mode is tried
at the dose that tuning picked, beside random sets and the article's recipe. `--write
docs/studies.md` brings that page's tables up to date.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from beholder.evidence.answers import Answers
from beholder.evidence.document import Evidence, Outcome
from beholder.evidence.in_memory import cast, measured, studied
from beholder.evidence.names import Mode, Role
from beholder.evidence.plan import METHODS, MODES, Plan
from beholder.layers import relu_of
from beholder.science.ablation import Ablation
from beholder.science.measure import measure
from beholder.science.networks import Network, load_network
from beholder.science.statistics import ChannelStatistics, chosen_channels
from beholder.science.sweep import sweep
from beholder.specimens.blinding import update
from beholder.specimens.draw import CLASSES
from beholder.specimens.pool import draw_pool, preprocess
from beholder.specs import StudySpec

SEED = 11_000_000
FAMILIES = (
    ("stripes", "waves", "zigzags"),
    ("rings", "spiral", "scales"),
    ("star", "burst", "flower"),
    ("grid", "bricks", "checks"),
    ("honeycomb", "dots"),
    ("rays", "burst"),
)
DOSES = (4, 8, 12, 16, 20, 24)
ARTICLE = "the article's recipe, zero"
HEADLINE = "iterative, zero"
RANDOM = "random, same layers"
BESIDE = "random, beside another way"
OF_ARTICLE = 5  # pictures that choose, as published


@dataclass(frozen=True)
class Given:
    """What is drawn: pictures of each class, 40% to choose by, 20% to tune by, 40% to test on."""

    per_class: int
    side: int
    draws: int


@dataclass(frozen=True)
class Line:
    """One way to blind to one class, over test pictures; losses are shares.

    others: siblings and controls together, as the goal has it.
    """

    name: str
    target: str
    channels: float
    intact: float
    recall: float
    siblings: float | None
    controls: float
    others: float
    like: str = ""  # of a random set, the way that it stands beside


def roles_for(target: str) -> list[Role]:
    """Of each class, when `target` is the one to blind to."""
    kin = {name for family in FAMILIES if target in family for name in family}
    return [
        "target" if name == target else "sibling" if name in kin else "control" for name in CLASSES
    ]


def lines_of(target: str, given: Given) -> list[Line]:
    """All ways to blind to one class."""
    network, pictures, answers = _drawn(given)
    by_class = roles_for(target)
    roles = [role for role in by_class for _ in range(given.per_class)]
    spec = StudySpec.build(
        network="specimens",
        recipe="sound",
        size=given.side,
        target="folder",
        methods=("iterative", *(one for one in METHODS if one != "iterative")),
        modes=MODES,
        doses=DOSES,
        draws=given.draws,
    )
    plan, evidence = studied(network, spec, cast(answers, roles), pictures)
    return [
        *_chosen(target, evidence),
        *_random(target, evidence),
        _article(target, network, plan, pictures),
    ]


@cache
def _drawn(given: Given) -> tuple[Network, Tensor, Answers]:
    """The network, pictures (N, 3, side, side) class after class, and what it says of them."""
    torch.set_num_threads(1)  # each process has a core
    network = load_network("specimens")
    pool = draw_pool(per_class=given.per_class, size=256, seed=SEED, workers=1, labels=CLASSES)
    pictures = torch.cat([preprocess(some, given.side) for some in torch.split(pool.pictures, 64)])
    groups = [name for name in CLASSES for _ in range(given.per_class)]
    roles: list[Role] = ["control"] * len(groups)
    return network, pictures, measured(network, pictures, roles=roles, groups=groups)


def _chosen(target: str, evidence: Evidence) -> Iterator[Line]:
    """The headline, other methods and modes at its dose, and keeping its set alone."""
    for one in evidence.outcomes:
        if one.dose != evidence.main.dose:
            continue
        if one.kind == "chosen":
            yield _line(f"{one.method}, {_mode(one.mode, one.alpha)}", target, one, evidence)
        elif one.kind == "keep":
            yield _line(f"{one.method}, only these kept", target, one, evidence)


def _random(target: str, evidence: Evidence) -> Iterator[Line]:
    """Each draw at the headline's dose, and what it stands beside."""
    main = evidence.main
    for one in evidence.outcomes:
        if one.kind not in ("random", "matched") or one.dose != main.dose:
            continue
        beside = f"{one.of or main.method}, {_mode(one.mode, one.alpha)}"
        name = RANDOM if one.kind == "random" else "random, as strong"
        shown = name if beside == HEADLINE else BESIDE
        yield replace(_line(shown, target, one, evidence), like=beside)


def _line(name: str, target: str, one: Outcome, evidence: Evidence) -> Line:
    groups = {group.role: group for group in one.roles}
    kept, lost = groups["target"], groups.get("sibling")
    rest = [group for role, group in groups.items() if role != "target"]
    return Line(
        name,
        target,
        one.channels,
        kept.kept.value + kept.drop,
        kept.kept.value,
        lost.drop if lost else None,
        groups["control"].drop,
        sum(group.drop * group.n for group in rest) / sum(group.n for group in rest),
    )


def _article(target: str, network: Network, plan: Plan, pictures: Tensor) -> Line:
    """Five pictures that choose, by the published recipe, tested on the same test pictures."""
    chose = [one.position for one in plan.subjects if (one.role, one.split) == ("target", "choose")]
    shared = ChannelStatistics.empty(network.widths)
    shared.update(measure(network, pictures[chose[:OF_ARTICLE]]).strengths, range(OF_ARTICLE))
    channels = chosen_channels(shared)
    tested = [one for one in plan.subjects if one.split == "test"]
    seen = sweep(
        network,
        pictures[[one.position for one in tested]],
        [Ablation(channels)],
        target=plan.target,
        kept=(),
    ).label
    kept = seen == np.array([one.label for one in tested])  # (2, N): intact, blinded
    roles = np.array([one.role for one in tested])

    def shares(own: NDArray[np.bool_]) -> tuple[float, float]:
        intact, blinded = kept[:, own].mean(axis=1).tolist()
        return intact, blinded

    def lost(own: NDArray[np.bool_]) -> float:
        intact, blinded = shares(own)
        return intact - blinded

    intact, recall = shares(roles == "target")
    kin = roles == "sibling"
    siblings = lost(kin) if kin.any() else None
    controls, others = lost(roles == "control"), lost(roles != "target")
    size = len({(relu_of(layer), one) for layer, picked in channels.items() for one in picked})
    return Line(ARTICLE, target, size, intact, recall, siblings, controls, others)


def _mode(mode: Mode, alpha: float) -> str:
    return f"scale by {alpha:g}" if mode == "scale" else mode


def summary(lines: Sequence[Line]) -> str:
    """A row for each way: means over classes, the worst class, and the band of its random sets."""
    head = (
        "| chosen by, ablated by | channels | targets still seen | worst class "
        "| random sets: still seen | siblings lost | controls lost | others lost | worst class |\n"
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    )
    ways = dict.fromkeys(line.name for line in lines if line.name != BESIDE)
    rows = [_summary(way, lines) for way in ways]
    return "\n".join([head, *rows])


def _summary(way: str, every: Sequence[Line]) -> str:
    """The worst target is the one that is seen most; of random sets, the one they harm most."""
    lines = [one for one in every if one.name == way]
    lots = _lots(way, every)
    siblings = [one.siblings for one in lines if one.siblings is not None]
    worst = min if way.startswith("random") else max
    worst_recall = worst(lines, key=lambda one: one.recall)
    worst_others = max(lines, key=lambda one: one.others)
    cells = [
        way,
        f"{statistics.mean(one.channels for one in lines):.1f}",
        _percent(statistics.mean(one.recall for one in lines)),
        f"{_percent(worst_recall.recall)} {worst_recall.target}",
        _band(lots, _percent) if lots else "",
        _points(statistics.mean(siblings)) if siblings else "",
        _points(statistics.mean(one.controls for one in lines)),
        _points(statistics.mean(one.others for one in lines)),
        f"{_points(worst_others.others)} {worst_others.target}",
    ]
    return f"| {' | '.join(cells)} |"


def _lots(way: str, every: Sequence[Line]) -> list[float]:
    """Of each draw beside a way, the mean over classes, which is what the way itself is."""
    beside = [one for one in every if one.like == way and one.name in (RANDOM, BESIDE)]
    drawn = [
        [one.recall for one in beside if one.target == target]
        for target in dict.fromkeys(one.target for one in beside)
    ]
    return [statistics.mean(draw) for draw in zip(*drawn, strict=True)]


def by_class(lines: Sequence[Line], way: str) -> str:
    """A row for each class, of one way."""
    head = (
        "| target | channels | seen, intact | seen, ablated | siblings lost | others lost "
        "| random sets: still seen | random sets: others lost |\n|---|--:|--:|--:|--:|--:|--:|--:|"
    )
    rows = [head]
    for one in lines:
        if one.name != way:
            continue
        lots = [lot for lot in lines if lot.name == RANDOM and lot.target == one.target]
        cells = [
            one.target,
            f"{one.channels:.0f}",
            _percent(one.intact),
            _percent(one.recall),
            "" if one.siblings is None else _points(one.siblings),
            _points(one.others),
            _band([lot.recall for lot in lots], _percent),
            _band([lot.others for lot in lots], _points),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _band(values: Sequence[float], word: Callable[[float], str]) -> str:
    """Median, and the central 95% of all draws."""
    low, middle, high = np.quantile(values, [0.025, 0.5, 0.975]).tolist()
    return f"{word(middle)} ({word(low)} to {word(high)})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _points(share: float) -> str:
    return f"{100 * share:+.2f}".replace("+0.00", "0.00").replace("-0.00", "0.00").replace("-", "−")


def main(argv: Sequence[str]) -> int:
    """Study every class that is named, print the tables, and write them where asked."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("classes", nargs="*", metavar="CLASS", help="these only")
    parser.add_argument("--pictures", type=int, default=50, help="of each class")
    parser.add_argument("--side", type=int, default=112, help="pixels")
    parser.add_argument("--draws", type=int, default=19, help="random sets of each class")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--write", type=Path, help="the page whose tables are to be updated")
    asked = parser.parse_args(argv)
    if unknown := [name for name in asked.classes if name not in CLASSES]:
        parser.error(f"no class {unknown[0]!r}: there are {', '.join(CLASSES)}.")
    given = Given(asked.pictures, asked.side, asked.draws)
    lines = _study(asked.classes or CLASSES, given, asked.workers)
    tables = f"{_made_with(given)}\n\n{summary(lines)}\n\n{by_class(lines, HEADLINE)}"
    print(tables)
    if asked.write:
        update(asked.write, tables, name="studies")
    return 0


def _study(classes: Sequence[str], given: Given, workers: int) -> list[Line]:
    """All lines, class after class; progress goes to stderr."""
    found: dict[str, list[Line]] = {}
    begun = time.perf_counter()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(lines_of, name, given): name for name in classes}
        for future in as_completed(waiting):
            found[waiting[future]] = future.result()
            taken = time.perf_counter() - begun
            left = taken / len(found) * (len(classes) - len(found))
            print(f"{len(found)} of {len(classes)} classes, {left:.0f} s left", file=sys.stderr)
    return [line for name in classes for line in found[name]]


def _made_with(given: Given) -> str:
    return (
        f"{given.per_class} pictures of each of {len(CLASSES)} classes at {given.side} px: 40% "
        f"choose, 20% tune, 40% test. {given.draws} random sets a class and kind. Drawn with seeds "
        f"from {SEED:,} on."
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

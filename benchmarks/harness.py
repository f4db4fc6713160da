"""What every benchmark stands on: `alternate` times, `Row` holds a figure, `run` is its `main`.

The standard library alone, and torch where a device is named: this runs on machines that have
nothing else, and a benchmark that watches its own memory must not find torch in it.
"""

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from benchmarks.machine import has_gpu, machine, versions

Better = Literal["higher", "lower"]
Side = Callable[[], object]

LEAST_ROUNDS = 3


@dataclass(frozen=True)
class Noticed:
    """What a side may return: that it noticed its own end so many seconds late, which count not."""

    late_s: float


@dataclass(frozen=True)
class Timing:
    """How long one side took: `seconds` of each round, in the order they were run."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.seconds)

    @property
    def best(self) -> float:
        """Seconds of the fastest round, the one that was disturbed least."""
        return min(self.seconds)

    @property
    def spread(self) -> float:
        """The range of the rounds as a share of their median: 0.1 is 10%."""
        return (max(self.seconds) - min(self.seconds)) / self.median


def alternate(
    sides: Mapping[str, Side],
    *,
    rounds: int = 5,
    warmup: int = 1,
    seconds_max: float = 60.0,
    device: str = "cpu",
) -> dict[str, Timing]:
    """Time `sides` in turn, A B A B, so that a machine that slows down slows all of them.

    Each side is called `warmup` times, then `rounds` times. No round is begun after `seconds_max`
    seconds, warm-up included, except the first three, without which there is no median. On a CUDA
    device the queue is waited for at both ends of each call.
    """
    wait = _waiter(device)
    begun = time.perf_counter()
    for side in sides.values():
        for _ in range(warmup):
            side()
    taken: dict[str, list[float]] = {name: [] for name in sides}
    with _what_is_there_kept():
        for done in range(rounds):
            if done >= LEAST_ROUNDS and time.perf_counter() - begun > seconds_max:
                break
            for name, side in sides.items():
                taken[name].append(_seconds(side, wait))
    return {name: Timing(tuple(seconds)) for name, seconds in taken.items()}


@contextmanager
def _what_is_there_kept() -> Iterator[None]:
    """Collecting a round's garbage looks at what the rounds make then, not at all of torch."""
    kept_before = gc.get_freeze_count()
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        if not kept_before:
            gc.unfreeze()


def times_faster(timings: Mapping[str, Timing], fast: str, slow: str) -> float:
    """How many times faster one side is: the median of the rounds' own ratios.

    A round's two sides met the same machine, which medians over all rounds may not have.
    """
    pairs = zip(timings[slow].seconds, timings[fast].seconds, strict=True)
    return statistics.median(slow_s / fast_s for slow_s, fast_s in pairs)


def _seconds(side: Side, wait: Callable[[], None]) -> float:
    gc.collect()  # one side's garbage is not the other's time
    wait()
    begun = time.perf_counter()
    found = side()
    wait()
    taken = time.perf_counter() - begun
    return taken - found.late_s if isinstance(found, Noticed) else taken


def _waiter(device: str) -> Callable[[], None]:
    if not device.startswith("cuda"):
        return lambda: None
    import torch

    return lambda: torch.cuda.synchronize(device)


@dataclass(frozen=True)
class Row:
    """One figure. `value` None: it was not measured, and `detail` says why.

    goal: what the figure is held against, in its own unit; None where it is only shown.
    """

    name: str
    value: float | None
    unit: str = ""
    goal: float | None = None
    better: Better = "higher"
    detail: str = ""

    @property
    def met(self) -> bool | None:
        """None without a goal. What was not measured is not met."""
        if self.goal is None:
            return None
        if self.value is None:
            return False
        return self.value >= self.goal if self.better == "higher" else self.value <= self.goal


def table(rows: Sequence[Row]) -> list[list[str]]:
    """The cells of `rows`, heading first: figure, value, goal, verdict, detail."""
    sign = {"higher": "≥", "lower": "≤"}
    verdict = {True: "met", False: "MISSED", None: ""}
    cells = [["figure", "value", "goal", "", "how"]]
    for row in rows:
        goal = "" if row.goal is None else f"{sign[row.better]} {_number(row.goal, row.unit)}"
        value = "not measured" if row.value is None else _number(row.value, row.unit)
        cells.append([row.name, value, goal, verdict[row.met], row.detail])
    return cells


def print_table(rows: Sequence[Row]) -> None:
    """`rows` as aligned plain text on stdout."""
    cells = table(rows)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        )


def _number(value: float, unit: str) -> str:
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{text}{'' if unit in ('x', '%', '') else ' '}{unit}"


Document = dict[str, Any]


def document(benchmark: str, rows: Iterable[Row]) -> Document:
    """What `--json` writes: {machine, versions, when, rows}; each row says whose it is."""
    return {
        "machine": machine(),
        "versions": versions(),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": [{"benchmark": benchmark, **asdict(row), "met": row.met} for row in rows],
    }


def merged(documents: Sequence[Document]) -> Document:
    """Of one machine: the rows of all, and the time of the last."""
    rows = [row for found in documents for row in found["rows"]]
    return {**documents[-1], "rows": rows}


def row_of(fields: Mapping[str, Any]) -> Row:
    """A row of a document again."""
    return Row(**{name: fields[name] for name in Row.__dataclass_fields__})


def write_document(found: Document, path: Path) -> None:
    """`found` as JSON, for `python -m benchmarks.report`."""
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Options:
    """What every benchmark takes. seconds: about how long it may measure in all."""

    device: str
    seconds: float
    json: Path | None = None


def options(argv: Sequence[str], *, about: str, seconds: float) -> Options:
    """Of `[--device cpu|cuda] [--seconds S] [--json FILE]`."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:1")
    parser.add_argument("--seconds", type=float, default=seconds, help="to measure in, about")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there as well")
    return Options(**vars(parser.parse_args(argv)))


def run(
    name: str, rows_of: Callable[[Options], Iterable[Row]], *, about: str, seconds: float
) -> None:
    """The `main` of benchmark `name`: read the options, measure, print, write.

    The file is written again after each row, so that what was measured outlives a time limit.
    Without the GPU that `--device cuda` asks for it says so in one line and is done.
    """
    given = options(sys.argv[1:], about=about, seconds=seconds)
    if given.device.startswith("cuda") and not has_gpu():
        print(f"{name}: this machine has no GPU; nothing was measured.")
        return
    rows: list[Row] = []
    for row in rows_of(given):
        rows.append(row)
        if given.json is not None:
            write_document(document(name, rows), given.json)
    print_table(rows)

"""The service against the bare library: `python -m benchmarks.service [--pictures N] [...]`.

Dreams from submission to the last file, small jobs against a large one, and a study against the
slower of its two parts.
"""

import argparse
import io
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from beholder.jobs.spool import Entry
from beholder.science.measure import measure
from beholder.science.networks import Network, load_network
from beholder.science.prefix import Precision
from beholder.specimens.draw import CLASSES, draw
from beholder.specs import DreamSpec, StudySpec
from benchmarks import bare
from benchmarks.harness import (
    Better,
    Noticed,
    Options,
    Row,
    Side,
    Timing,
    alternate,
    run,
    times_faster,
)
from benchmarks.running import Running
from worker.dreams import dream_shape
from worker.precisions import Precisions
from worker.rooms import Rooms
from worker.runner import PICTURE_THREADS

DRAWN = 24  # different pictures; a file's tail makes each of them another one
PART = 3
BATCHES = {"cpu": (4, 8, 16, 32), "cuda": (64, 128, 256)}  # that a bare pass is tried with
DRAWN_SIZE = 480  # pixels a side, as those of a photograph made for the web
ABOUT = "The service against the bare library."
SECONDS = 120.0
# By the row's name: which way is better, and how far.
_GOALS: dict[str, tuple[Better, float | None]] = {
    "dreams, of the bare loop": ("higher", 92),
    "small jobs": ("higher", 70),
    "study of random:0, of the slower part": ("higher", 90),
    "study of specimens, of the slower part": ("higher", 90),
}
_NO_GOAL: tuple[Better, float | None] = ("higher", None)
# A bare loop leaves a GPU waiting while it decodes and encodes; the service must not.
_ON_A_GPU: dict[str, tuple[Better, float | None]] = {
    "dreams, of the bare loop": _NO_GOAL,
    "dreams, of dreaming alone": ("higher", 85),
}
GOALS = {"cpu": _GOALS, "cuda": {**_GOALS, **_ON_A_GPU}}


@dataclass(frozen=True)
class Sizes:
    """How much to do. Each is an option of the command.

    network, size, layer: of the dreams. pictures, steps: of those that the goal is about; steps as
    a job has them that asks for none. short, few_steps: of those that are over so soon that the
    service's own work weighs most; few_steps also of the small jobs. small: jobs of one picture.
    study: pictures of a study of VGG19; drawn: of one of `specimens`; a smaller one of each has
    1 / PART as many. rounds: how often each side is timed.
    """

    network: str = "specimens"
    size: int = 224
    layer: int = 35
    pictures: int = 8
    steps: int = DreamSpec(network="specimens").steps
    short: int = 16
    few_steps: int = 3
    small: int = 16
    study: int = 24
    drawn: int = 72
    rounds: int = 2


ON_GPU = Sizes("random:0", pictures=1_000, short=0, few_steps=30, small=500, study=10_000, drawn=0)
VGG19 = "random:0"


def rows(options: Options, **given: Any) -> Iterator[Row]:
    """Every figure, each as soon as it is measured. given: sizes other than the device's own."""
    usual = ON_GPU if options.device.startswith("cuda") else Sizes()
    with tempfile.TemporaryDirectory() as folder, Running(options.device) as running:
        bench = Bench(options.device, replace(usual, **given), running, Path(folder))
        running.start()
        bench.warm_up()
        yield from bench.dreams()
        yield bench.small_jobs()
        yield from bench.study(VGG19, bench.sizes.study)
        if bench.sizes.drawn:
            yield from bench.study("specimens", bench.sizes.drawn)


class Bench:
    """A running service, and pictures for it and for the bare loops."""

    def __init__(self, device: str, sizes: Sizes, running: Running, folder: Path) -> None:
        self.sizes = sizes
        self.running = running
        self.network = load_network(sizes.network, device=device)
        self.spec = DreamSpec(
            network=sizes.network, size=sizes.size, steps=sizes.steps, layers=(sizes.layer,)
        )
        self.short = self.spec.model_copy(update={"steps": sizes.few_steps})
        self._precisions = Precisions()
        self._rooms = Rooms(self.network.device, folder / "batch-sizes.json")
        self.batch = self._rooms.room(dream_shape(self.spec, sizes.layer, sizes.size, sizes.size))
        self._device = device
        self._batches = BATCHES[device.partition(":")[0]]
        self._folder = folder
        self._written = folder / "written"
        self._written.mkdir()
        self._numbers = itertools.count()
        self._drawn = [_jpeg(number) for number in range(DRAWN)]

    def warm_up(self) -> None:
        """A small job and a bare batch: the code has run, the network is loaded."""
        self.running.wait_for_worker()
        files, entries = self._pictures(self.batch)
        self.running.run([self.running.submit(self.short, entries)])
        self._bare_dreams(self.short, files)

    def dreams(self) -> Iterator[Row]:
        """Dreams of a usual job, then the hard case: of so few steps that all else weighs most."""
        sizes = self.sizes
        yield from self._against_bare("dreams", self.spec, sizes.pictures, alone=not sizes.short)
        if sizes.short:
            name = f"dreams of {sizes.few_steps} steps"
            yield from self._against_bare(name, self.short, sizes.short, alone=True)

    def _against_bare(
        self, name: str, spec: DreamSpec, count: int, *, alone: bool
    ) -> Iterator[Row]:
        """From submission to the last file, against the bare loop, and its dreams `alone`."""
        size, precision = self.sizes.size, self._precision(spec)
        files, _ = self._pictures(count)
        ready = bare.load(files[: self.batch], size).to(self.network.device)

        def dreaming() -> Side:
            return lambda: bare.dreaming(self.network, spec, ready, count, precision=precision)

        def service() -> Side:
            folder = self._folder_of(count)
            return lambda: self._run([self.running.submit(spec, self.running.take_in(folder))])

        timings = self._alternate(
            loop=lambda: lambda: self._bare_dreams(spec, files),
            **({"alone": dreaming} if alone else {}),
            service=service,
        )
        how = (
            f"{spec.network}, {count} of {size} px, {spec.steps} steps, {precision}, batches of "
            f"{self.batch}; {_rounds(timings)}"
        )
        share = 100 * times_faster(timings, "service", "loop")
        yield self._row(f"{name}, of the bare loop", share, "%", how)
        if alone:
            share = 100 * times_faster(timings, "service", "alone")
            yield self._row(f"{name}, of dreaming alone", share, "%", how)
        yield self._row(name, count / timings["service"].median, "/s", how)

    def small_jobs(self) -> Row:
        """Jobs of one picture against one job of as many, both queued when the worker is woken."""
        count = self.sizes.small

        def small() -> Side:
            _, entries = self._pictures(count)
            jobs = [self.running.submit(self.short, [entry]) for entry in entries]
            return lambda: self._run(jobs)

        def large() -> Side:
            _, entries = self._pictures(count)
            job = self.running.submit(self.short, entries)
            return lambda: self._run([job])

        timings = self._alternate(small=small, large=large)
        how = f"{count} jobs of one picture against one job; {_rounds(timings)}"
        return self._row("small jobs", 100 * times_faster(timings, "small", "large"), "%", how)

    def study(self, name: str, count: int) -> Iterator[Row]:
        """What a picture more costs, against decoding it alone and the network alone.

        From two sizes in turn: what a study costs once would weigh on a few pictures as it never
        does on the thousands that the goal is about. It has a row of its own.
        """
        size, few = self.sizes.size, count // PART
        spec = StudySpec(network=name, size=size)
        network = load_network(name, device=self._device)
        files, entries = self._pictures(count)
        ready = self._best(network, bare.load(files[: max(self._batches)], size).to(network.device))
        self.running.run([self.running.submit(spec, entries[: len(ready)])])  # loads the network

        def service(pictures: int) -> Side:
            folder = self._folder_of(pictures)
            return lambda: self._run([self.running.submit(spec, self.running.take_in(folder))])

        timings = self._alternate(
            decoding=lambda: lambda: bare.decoding(files[:few], size, PICTURE_THREADS),
            forward=lambda: lambda: bare.forward(network, ready, few),
            few=lambda: service(few),
            many=lambda: service(count),
        )
        more, once = marginal(timings["few"], timings["many"], few, count)
        parts = {part: [s / few for s in timings[part].seconds] for part in ("decoding", "forward")}
        slower = max(parts, key=lambda part: statistics.median(parts[part]))
        both = [sum(pair) for pair in zip(*parts.values(), strict=True)]
        how = (
            f"a picture of {size} px more, by {count} and {few}; {slower} is "
            f"{100 * statistics.median(parts[slower]) / statistics.median(both):.0f}% of decoding "
            f"and the network, of which {len(ready)} at once are fastest; {_rounds(timings)}"
        )
        yield self._row(
            f"study of {name}, of the slower part", _share(parts[slower], more), "%", how
        )
        yield self._row(
            f"study of {name}, of one part after the other", _share(both, more), "%", how
        )
        how = f"of {few} pictures' {timings['few'].median:.1f} s, from submission to the end"
        yield Row(
            f"service, study of {name}, once", statistics.median(once), "s", None, "lower", how
        )

    def _best(self, network: Network, pictures: Tensor) -> Tensor:
        """As many of the pictures as go through the network fastest together."""
        measure(network, pictures[:1])
        counts = sorted({min(batch, len(pictures)) for batch in self._batches})
        sides = {str(n): partial(measure, network, pictures[:n]) for n in counts}
        timings = alternate(sides, rounds=1, warmup=0, device=self._device)
        return pictures[: min(counts, key=lambda n: timings[str(n)].best / n)]

    def _alternate(self, **sides: Callable[[], Side]) -> dict[str, Timing]:
        """Time in turn what each side gives; giving it is preparation, and not timed."""
        taken: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(self.sizes.rounds):
            for name, prepare in sides.items():
                only = {name: prepare()}
                taken[name] += alternate(only, rounds=1, warmup=0, device=self._device)[
                    name
                ].seconds
        return {name: Timing(tuple(seconds)) for name, seconds in taken.items()}

    def _run(self, jobs: Sequence[str]) -> Noticed:
        """Up to the end that the database has of them: it is asked seldom, on the same cores."""
        ended = self.running.run(jobs)
        ends = [job.finished_at.timestamp() for job in ended if job.finished_at is not None]
        return Noticed(time.time() - max(ends))

    def _precision(self, spec: DreamSpec) -> Precision:
        return self._precisions.of(self.network, spec, self.sizes.layer)

    def _bare_dreams(self, spec: DreamSpec, files: Sequence[Path]) -> None:
        bare.dreams(
            self.network,
            spec,
            files,
            precision=self._precision(spec),
            batch=self.batch,
            folder=self._written,
        )

    def _pictures(self, count: int) -> tuple[list[Path], list[Entry]]:
        """New files, and the entries of a job of them."""
        folder = self._folder_of(count)
        return sorted(folder.iterdir()), list(self.running.take_in(folder))

    def _folder_of(self, count: int) -> Path:
        """A folder of that many files that the service has not seen."""
        number = next(self._numbers)
        folder = self._folder / f"pictures-{number}"
        folder.mkdir()
        for place in range(count):
            # Decoders stop at a JPEG's end; the hash does not.
            data = self._drawn[place % DRAWN] + f"{number} {place}".encode()
            (folder / f"{place:06d}.jpg").write_bytes(data)
        return folder

    def _row(self, name: str, value: float, unit: str, detail: str) -> Row:
        better, goal = GOALS[self._device.partition(":")[0]].get(name, _NO_GOAL)
        return Row(f"service, {name}", value, unit, goal, better, detail)


def marginal(
    few: Timing, many: Timing, pictures: int, in_all: int
) -> tuple[list[float], list[float]]:
    """Seconds of a picture more, and of what costs the same for any number, round by round.

    few, many: of a study of so many `pictures`, and of one of `in_all`.
    """
    pairs = list(zip(few.seconds, many.seconds, strict=True))
    more = [(many_s - few_s) / (in_all - pictures) for few_s, many_s in pairs]
    once = [few_s - pictures * each for (few_s, _), each in zip(pairs, more, strict=True)]
    return more, once


def _rounds(timings: Mapping[str, Timing]) -> str:
    """How often each side was timed, and how far its times lie apart at most."""
    count = len(next(iter(timings.values())).seconds)
    return f"{count} rounds, spread {max(timing.spread for timing in timings.values()):.0%}"


def _share(alone: Sequence[float], service: Sequence[float]) -> float:
    """Per cent: the median of the rounds' own ratios."""
    return 100 * statistics.median(a / b for a, b in zip(alone, service, strict=True))


def _jpeg(number: int) -> bytes:
    buffer = io.BytesIO()
    draw(CLASSES[number % len(CLASSES)], seed=number, size=DRAWN_SIZE).save(buffer, "JPEG")
    return buffer.getvalue()


def sizes_of(words: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """The sizes that were given, and the words that are no sizes."""
    parser = argparse.ArgumentParser(add_help=False)
    for field in fields(Sizes):
        kind = str if field.name == "network" else int
        parser.add_argument(f"--{field.name}", type=kind, default=argparse.SUPPRESS)
    given, rest = parser.parse_known_args(words)
    return vars(given), rest


def wait_as_the_worker() -> None:
    """Begin anew where OpenMP's threads would spin, which is settled as torch is imported."""
    if "OMP_WAIT_POLICY" not in os.environ:
        command = [sys.executable, "-m", "benchmarks.service", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"})


if __name__ == "__main__":
    wait_as_the_worker()
    given, sys.argv[1:] = sizes_of(sys.argv[1:])
    run("service", lambda options: rows(options, **given), about=ABOUT, seconds=SECONDS)

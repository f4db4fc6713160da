"""The service against the bare library: `python -m benchmarks.service [--pictures N] [...]`.

Dreams from submission to the last file, small jobs against a large one, and a study against the
slower of its two parts.
"""

import argparse
import io
import itertools
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from beholder.jobs.spool import Entry
from beholder.science.networks import load_network
from beholder.specimens.draw import CLASSES, draw
from beholder.specs import DreamSpec, StudySpec
from benchmarks import bare
from benchmarks.harness import Better, Options, Row, Side, Timing, alternate, run, times_faster
from benchmarks.running import Running
from worker.dreams import dream_shape
from worker.precisions import Precisions
from worker.rooms import Rooms
from worker.runner import PICTURE_THREADS
from worker.studies import study_shape

DRAWN = 24  # different pictures; a file's tail makes each of them another one
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

    network, pictures, steps, layer: of the dreams. small: jobs of one picture. study: pictures of
    a study of VGG19; drawn: of one of `specimens`. rounds: how often each side is timed.
    """

    network: str = "specimens"
    size: int = 224
    pictures: int = 128
    steps: int = 3
    layer: int = 35
    small: int = 48
    study: int = 32
    drawn: int = 128
    rounds: int = 3


ON_GPU = Sizes("random:0", pictures=1_000, steps=30, small=500, study=10_000, drawn=0, rounds=2)
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
        self.precision = Precisions().of(self.network, self.spec, sizes.layer)
        self._rooms = Rooms(self.network.device, folder / "batch-sizes.json")
        self.batch = self._rooms.room(dream_shape(self.spec, sizes.layer, sizes.size, sizes.size))
        self._device = device
        self._folder = folder
        self._written = folder / "written"
        self._written.mkdir()
        self._numbers = itertools.count()
        self._drawn = [_jpeg(number) for number in range(DRAWN)]

    def warm_up(self) -> None:
        """A small job and a bare batch: the code has run, the network is loaded."""
        self.running.wait_for_worker()
        files, entries = self._pictures(self.batch)
        self.running.run([self._dreams(entries)])
        self._bare_dreams(files)

    def dreams(self) -> Iterator[Row]:
        """From submission to the last file, against the bare loop and against its dreams alone."""
        sizes = self.sizes
        files, _ = self._pictures(sizes.pictures)
        ready = bare.load(files[: self.batch], sizes.size).to(self.network.device)

        def loop() -> Side:
            return lambda: self._bare_dreams(files)

        def alone() -> Side:
            return lambda: bare.dreaming(
                self.network, self.spec, ready, sizes.pictures, precision=self.precision
            )

        def service() -> Side:
            folder = self._folder_of(sizes.pictures)
            return lambda: self.running.run([self._dreams(self.running.take_in(folder))])

        timings = self._alternate(loop=loop, alone=alone, service=service)
        how = (
            f"{sizes.network}, {sizes.pictures} of {sizes.size} px, {sizes.steps} steps, "
            f"{self.precision}"
        )
        share = 100 * times_faster(timings, "service", "loop")
        yield self._row("dreams, of the bare loop", share, "%", how)
        share = 100 * times_faster(timings, "service", "alone")
        yield self._row("dreams, of dreaming alone", share, "%", f"batches of {self.batch}")
        yield self._row("dreams", sizes.pictures / timings["service"].median, "/s", how)

    def small_jobs(self) -> Row:
        """Jobs of one picture against one job of as many, both queued when the worker is woken."""
        count = self.sizes.small

        def small() -> Side:
            _, entries = self._pictures(count)
            jobs = [self._dreams([entry]) for entry in entries]
            return lambda: self.running.run(jobs)

        def large() -> Side:
            _, entries = self._pictures(count)
            job = self._dreams(entries)
            return lambda: self.running.run([job])

        share = 100 * times_faster(self._alternate(small=small, large=large), "small", "large")
        return self._row("small jobs", share, "%", f"{count} jobs of one picture against one job")

    def study(self, name: str, count: int) -> Iterator[Row]:
        """From submission to the end, against decoding alone and the network alone."""
        size = self.sizes.size
        spec = StudySpec(network=name, size=size)
        network = load_network(name, device=self._device)
        batch = self._rooms.room(study_shape(spec, size, size))
        files, entries = self._pictures(max(count, batch))
        files, warm = files[:count], entries[:batch]
        ready = bare.load(files[:batch], size).to(network.device)
        self.running.run([self.running.submit(spec, warm)])  # loads the network

        def service() -> Side:
            folder = self._folder_of(count)
            return lambda: self.running.run(
                [self.running.submit(spec, self.running.take_in(folder))]
            )

        timings = self._alternate(
            decoding=lambda: lambda: bare.decoding(files, size, PICTURE_THREADS),
            forward=lambda: lambda: bare.forward(network, ready, count),
            service=service,
        )
        slower = max(("decoding", "forward"), key=lambda side: timings[side].median)
        part, both = timings[slower].median, sum(timings[s].median for s in ("decoding", "forward"))
        how = (
            f"{count} of {size} px in batches of {batch}; {slower} is {100 * part / both:.0f}% of "
            "decoding and the network"
        )
        share = 100 * times_faster(timings, "service", slower)
        yield self._row(f"study of {name}, of the slower part", share, "%", how)
        share = 100 * both / timings["service"].median
        yield self._row(f"study of {name}, of one part after the other", share, "%", how)

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

    def _bare_dreams(self, files: Sequence[Path]) -> None:
        bare.dreams(
            self.network,
            self.spec,
            files,
            precision=self.precision,
            batch=self.batch,
            folder=self._written,
        )

    def _dreams(self, entries: Iterable[Entry]) -> str:
        return self.running.submit(self.spec, entries)

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


if __name__ == "__main__":
    given, sys.argv[1:] = sizes_of(sys.argv[1:])
    run("service", lambda options: rows(options, **given), about=ABOUT, seconds=SECONDS)

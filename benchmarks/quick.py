"""Quick to touch: `beholder --help`, `beholder jobs`, and a worker's first dream on `specimens`.

Commands are timed as whole processes, in turn with one that does nothing and one that only imports
what the command can't do without. Beside the median stand the least, since a command is never
faster than it is, and the processor time, which other programs hardly change.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from PIL import Image

from beholder.jobs.schema import upgrade
from beholder.specs import DreamSpec
from benchmarks.harness import Options, Row, alternate, run
from benchmarks.running import Running

ROUNDS = 8
STARTS = 3
HELP_S, JOBS_S, DREAM_S = 0.25, 0.5, 3.0  # the goals
SIDE = 300  # pixels of the dreamt picture

_BEHOLDER = "import sys; from cli.main import run; sys.argv[0] = 'beholder'; run()"
COMMANDS = {
    "nothing": ("-c", "pass"),
    "typer, rich": ("-c", "import typer.rich_utils"),
    "and sqlalchemy": ("-c", "import typer.rich_utils, pydantic_settings, sqlalchemy.orm"),
    "--help": ("-c", _BEHOLDER, "--help"),
    "jobs": ("-c", _BEHOLDER, "jobs"),
}
NEEDED = {"--help": "typer, rich", "jobs": "and sqlalchemy"}
GOALS = {"--help": HELP_S, "jobs": JOBS_S}


def commands(seconds: float) -> Iterator[Row]:
    """A row for each command: seconds of a whole process."""
    with tempfile.TemporaryDirectory(prefix="beholder-quick-") as home:
        upgrade(f"sqlite:///{home}/beholder.db")
        env = {name: value for name, value in os.environ.items() if "BEHOLDER_" not in name}
        env["BEHOLDER_HOME"] = home
        sides = {name: partial(_call, words, env) for name, words in COMMANDS.items()}
        timings = alternate(sides, rounds=ROUNDS, seconds_max=seconds)
        busy = {name: _processor_s(side) for name, side in sides.items()}
    least = {name: min(timing.seconds) for name, timing in timings.items()}
    for name, goal in GOALS.items():
        detail = (
            f"median of {len(timings[name].seconds)}, least {least[name]:.2f}, processor "
            f"{busy[name]:.2f}; what it can't do without {least[NEEDED[name]]:.2f}, processor "
            f"{busy[NEEDED[name]]:.2f}; python alone {least['nothing']:.2f}"
        )
        yield Row(f"beholder {name}", timings[name].median, "s", goal, "lower", detail)


def _processor_s(side: Callable[[], None]) -> float:
    """Of the processes that `side` runs; the least of a few."""
    return min(_processor_once_s(side) for _ in range(3))


def _processor_once_s(side: Callable[[], None]) -> float:
    before = os.times()
    side()
    after = os.times()
    return (after.children_user - before.children_user) + (
        after.children_system - before.children_system
    )


def _call(words: tuple[str, ...], env: dict[str, str]) -> None:
    command = [sys.executable, *words]
    subprocess.run(
        command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
    )


def first_dream() -> Iterator[Row]:
    """From a worker's start to the first dream in the store; and torch's import, in turn.

    The processor time is of the worker's processes, up to their end.
    """
    torch_s: list[float] = []
    dream_s: list[float] = []
    busy_s: list[float] = []
    torch_alone: Callable[[], None] = partial(_call, ("-c", "import torch"), dict(os.environ))
    with tempfile.TemporaryDirectory(prefix="beholder-quick-") as folder, Running("cpu") as service:
        Image.effect_noise((SIDE, SIDE), 60).convert("RGB").save(Path(folder) / "picture.png")
        spec = DreamSpec(network="specimens")

        def start() -> None:
            dream_s.append(service.first_file_s(job))
            service.stop()

        for number in range(STARTS):
            if number % 2 == 0:
                torch_s += alternate({"torch": torch_alone}, rounds=1, warmup=0)["torch"].seconds
            job = service.submit(spec, service.take_in(Path(folder)))
            busy_s.append(_processor_once_s(start))
    detail = (
        f"median of {STARTS}, least {min(dream_s):.1f}, processor {min(busy_s):.1f}; importing "
        f"torch alone {statistics.median(torch_s):.1f}"
    )
    middle = statistics.median(dream_s)
    yield Row("first dream after a worker's start", middle, "s", DREAM_S, "lower", detail)


def figures(options: Options) -> Iterator[Row]:
    """All of them."""
    yield from commands(options.seconds)
    yield from first_dream()


if __name__ == "__main__":
    run("quick", figures, about=__doc__ or "", seconds=12.0)

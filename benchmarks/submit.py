"""`beholder submit` of a folder against `cp -r` of the same folder: rates, and memory at two sizes.

All as whole processes, in turn, each into a new folder. `--pictures N` (5,000; the goal is for
100,000). None waits for the other's writes: the disk is at rest before each. A submission flushes
what it wrote to the disk and `cp` leaves it in memory as long as there is room, so that it is held
against `cp` with a flush as well.
"""

import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from PIL import Image

from beholder.jobs.schema import upgrade
from benchmarks.harness import Options, Row, run

PICTURES = 5_000
LARGE = 20_000  # pictures from which on one round has to do, for the room that it takes
GOAL_FROM = 100_000  # pictures
ROUNDS = 3
SMALLER = 5  # memory is compared with that of a folder with so many times fewer pictures
LEAST_RATE = 1 / 3  # of cp's: the goal
MOST_MORE_MIB = 8.0
SIDES = (400, 440, 480, 520)  # pixels; 56 to 94 KB of JPEG
_COMMENT = b"\xff\xfe\x00\x12%016d"  # a JPEG's marker, length and text


def make_pictures(folder: Path, count: int) -> None:
    """Write so many valid JPEGs, no two alike: a comment numbers copies of a few."""
    folder.mkdir()
    kinds = [_jpeg(side) for side in SIDES]
    for number in range(count):
        data = kinds[number % len(kinds)]
        path = folder / f"picture{number:06}.jpg"
        path.write_bytes(data[:2] + _COMMENT % number + data[2:])


def _jpeg(side: int) -> bytes:
    """Shapes under grain, which is about as hard to compress as a photograph."""
    coarse = Image.effect_noise((side // 8, side // 8), 90).resize((side, side))
    grain = Image.effect_noise((side, side), 40)
    buffer = io.BytesIO()
    Image.blend(coarse, grain, 0.5).convert("RGB").save(buffer, "JPEG", quality=75)
    return buffer.getvalue()


def timed(command: Sequence[str], env: Mapping[str, str] | None = None) -> tuple[float, float]:
    """Seconds that a command took, and the most memory that it had, in MiB."""
    os.sync()
    begun = time.perf_counter()
    process = subprocess.Popen(
        command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return seconds, usage.ru_maxrss / 1024


def submit(pictures: Path, home: Path) -> tuple[float, float]:
    """Time `beholder submit` of a folder into a data folder whose database is there already."""
    home.mkdir()
    upgrade(f"sqlite:///{home / 'beholder.db'}")
    names = [name for name in os.environ if name.startswith("BEHOLDER_")]
    env = {name: value for name, value in os.environ.items() if name not in names}
    beholder = [sys.executable, "-m", "cli", "submit", "--network", "specimens"]
    return timed([*beholder, "--dir", str(pictures)], {**env, "BEHOLDER_HOME": str(home)})


def figures(count: int) -> Iterator[Row]:
    """The rows for a folder of `count` pictures."""
    with tempfile.TemporaryDirectory(prefix="beholder-submit-") as name:
        folder = Path(name)
        few, many = folder / "few", folder / "many"
        make_pictures(few, count // SMALLER)
        make_pictures(many, count)
        _, memory_of_few = submit(few, folder / "home-few")
        copies: list[float] = []
        flushed: list[float] = []
        submissions: list[float] = []
        memory = 0.0
        # What a round wrote stays until the end: a file system may be slow after large removals.
        for turn in range(ROUNDS if count < LARGE else 1):
            copied, durable = folder / f"copy{turn}", folder / f"durable{turn}"
            copies.append(timed(["cp", "-r", str(many), str(copied)])[0])
            flush = 'cp -r "$0" "$1" && sync -f "$1"'
            flushed.append(timed(["sh", "-c", flush, str(many), str(durable)])[0])
            seconds, memory = submit(many, folder / f"home{turn}")
            submissions.append(seconds)
    name = f"submit {count:,} pictures"
    goal = LEAST_RATE if count >= GOAL_FROM else None
    pace = f"{_rate(count, submissions)}; cp -r: {_rate(count, copies)}"
    yield Row(f"{name}, of cp -r's rate", _ratio(copies, submissions), "x", goal, detail=pace)
    pace = f"cp -r, then sync -f: {_rate(count, flushed)}"
    yield Row(f"{name}, of cp -r's with a flush", _ratio(flushed, submissions), "x", detail=pace)
    more = memory - memory_of_few
    detail = f"{memory_of_few:.0f} MiB for {count // SMALLER:,}, {memory:.0f} MiB for {count:,}"
    yield Row(
        f"memory for {SMALLER} times the pictures", more, "MiB", MOST_MORE_MIB, "lower", detail
    )


def _ratio(theirs: Sequence[float], ours: Sequence[float]) -> float:
    return statistics.median(one / other for one, other in zip(theirs, ours, strict=True))


def _rate(count: int, seconds: Sequence[float]) -> str:
    return f"{count / statistics.median(seconds):,.0f}/s"


def main() -> None:
    """`python -m benchmarks.submit [--pictures N] [--json FILE]`."""
    count = PICTURES
    if "--pictures" in sys.argv:
        at = sys.argv.index("--pictures")
        count = int(sys.argv[at + 1])
        del sys.argv[at : at + 2]

    def rows_of(_: Options) -> Iterator[Row]:
        return figures(count)

    run("submit", rows_of, about=main.__doc__ or "", seconds=30.0)


if __name__ == "__main__":
    main()

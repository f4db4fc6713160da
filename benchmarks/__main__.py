"""All benchmarks, each a process of its own with a time limit; one table and one file at the end.

`python -m benchmarks [--device cuda] [--json FILE] [NAME ...]`. A goal that is missed is no error;
a benchmark that could not be measured is.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import (
    Document,
    Row,
    document,
    merged,
    print_table,
    row_of,
    write_document,
)
from benchmarks.machine import has_gpu

ROOT = Path(__file__).parents[1]
GRACE_S = 10  # for a benchmark to stop what it started


@dataclass(frozen=True)
class Benchmark:
    """`python -m benchmarks.NAME`, stopped after its limit and what those before it left of theirs.

    limit_s: seconds on a CPU. gpu_limit_s: on a GPU; 0 where it is not for one. words: more of its
    command line.
    """

    name: str
    limit_s: float
    gpu_limit_s: float = 0
    words: tuple[str, ...] = ()

    def limit_on(self, device: str) -> float:
        """In seconds; 0 where it is not for this device."""
        return self.gpu_limit_s if device.startswith("cuda") else self.limit_s


# In the order that they are run: ten minutes on a CPU, limits included. On a GPU no time is asked
# for, and how long they take there was not measured: their limits only end what hangs.
BENCHMARKS = (
    Benchmark("peers", 20, 120),
    Benchmark("submit", 34),
    Benchmark("science", 182, 600),
    Benchmark("tiles", 122, 180),
    Benchmark("service", 150, 600),
    Benchmark("scale", 47),
    Benchmark("quick", 45),
)


def measured(
    benchmark: Benchmark, device: str, folder: Path, *, more_s: float = 0.0
) -> tuple[Document, str]:
    """The document of one benchmark, and what went wrong, empty if nothing. more_s: of time.

    Rows that were written before it went wrong are kept, and one more says what it was.
    """
    file = folder / f"{benchmark.name}.json"
    command = [sys.executable, "-m", f"benchmarks.{benchmark.name}"]
    process = subprocess.Popen(
        [*command, "--device", device, "--json", str(file), *benchmark.words],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that it can be stopped with all that it started
    )
    wrong = _problem(process, benchmark.limit_on(device) + more_s)
    documents = [json.loads(file.read_text(encoding="utf-8"))] if file.is_file() else []
    if wrong or not documents:
        rows = [Row(f"all of {benchmark.name}", None, detail=wrong or "it found nothing")]
        documents.append(document(benchmark.name, rows))
    return merged(documents), wrong


def _problem(process: subprocess.Popen[str], limit_s: float) -> str:
    """Wait for `process`: "" if it ended well, or one line."""
    try:
        _, said = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        return f"stopped after {limit_s:.3g} s"
    finally:
        _stop(process)
    if process.returncode == 0:
        return ""
    last = said.strip().splitlines()[-1:]
    return last[0] if last else f"exit status {process.returncode}"


def _stop(process: subprocess.Popen[str]) -> None:
    """End what is left of the process group: politely, then for certain."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=GRACE_S)


def run_all(chosen: Sequence[Benchmark], device: str, json_file: Path | None) -> int:
    """Run `chosen`, print and write what they found. How many of them went wrong."""
    documents: list[Document] = []
    failed, left_s = 0, 0.0
    print(_busy())
    with tempfile.TemporaryDirectory(prefix="beholder-bench-") as folder:
        for benchmark in chosen:
            begun = time.perf_counter()
            print(f"{benchmark.name} ... ", end="", flush=True)
            found, wrong = measured(benchmark, device, Path(folder), more_s=left_s)
            took_s = time.perf_counter() - begun
            left_s = max(0.0, left_s + benchmark.limit_on(device) - took_s)
            print(f"{took_s:.0f} s{wrong and f': {wrong}'}", flush=True)
            failed += bool(wrong)
            documents.append(found)
            if json_file is not None:
                json_file.parent.mkdir(parents=True, exist_ok=True)
                write_document(merged(documents), json_file)
    print()
    print_table([row_of(fields) for found in documents for fields in found["rows"]])
    return failed


def _busy() -> str:
    """How many others want the cores as it begins."""
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    calm = load <= cores / 2
    return f"{load:.1f} programs want the {cores} cores before it begins" + (
        "." if calm else ": ratios to other code will hold, shares of the machine will not."
    )


def main(argv: Sequence[str]) -> int:
    """The exit status: 1 if something could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="these only")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rows there")
    given = parser.parse_args(argv)
    known = [benchmark.name for benchmark in BENCHMARKS]
    if unknown := [name for name in given.names if name not in known]:
        parser.error(f"no benchmark {unknown[0]!r}: there are {', '.join(known)}.")
    kind = given.device.split(":")[0]
    if kind == "cuda" and not has_gpu():
        print("This machine has no GPU; nothing was measured.")
        return 0
    chosen = [
        benchmark
        for benchmark in BENCHMARKS
        if benchmark.limit_on(given.device) and (not given.names or benchmark.name in given.names)
    ]
    return 1 if run_all(chosen, given.device, given.json) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Clocks that jump by an hour, on one machine of two, in either direction, in mid-batch.

Debian's libfaketime stands before the workers' C library; `.ci/run` installs it.
"""

import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.harness import Row
from tests.faults.bed import Bed

pytestmark = pytest.mark.slow
full = pytest.mark.faults
LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
HOUR_S = 3600


@pytest.fixture
def clocks(tmp_path: Path) -> Any:
    """Environments for processes whose clock is what a file says."""
    if not LIBRARIES:
        pytest.skip("there is no libfaketime here: apt install libfaketime")

    def make(bed: Bed, name: str) -> Path:
        file = tmp_path / name
        file.write_text("+0\n")
        bed.env |= {
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
        }
        return file

    return make


@pytest.mark.parametrize("jumps", [(1,), pytest.param((1, -1, -1, 1), marks=full)])
def test_a_clock_jumps_by_an_hour(bed: Bed, clocks: Any, figures: Any, jumps: Any) -> None:
    """Everything of one machine jumps; a second worker's clock stays as it is."""
    count = 60 * len(jumps)
    clock = clocks(bed, "clock")
    bed.up()
    for name in [name for name in bed.env if name.startswith(("FAKETIME", "LD_PRELOAD"))]:
        del bed.env[name]
    bed.start("worker")
    bed.until(lambda: len(bed.children()) == 2)
    job = bed.dreams(count, steps=40)
    hours = 0
    for number, jump in enumerate(jumps):
        bed.reaches(job, count * (number + 0.3) / len(jumps))
        hours += jump
        clock.write_text(f"{hours * HOUR_S:+}\n")
        time.sleep(1.5)  # the library looks once a second
    bed.end_of(job)
    findings, lost = bed.findings(job), sum(n - 1 for n in bed.attempts(job))
    fault = "the clock jumps by an hour"
    figures(fault, Row("lost or doubled", len(findings), "", 0, "lower", f"{len(jumps)} jumps"))
    figures(fault, Row("leases lost", lost, "", 0, "lower"))
    assert findings == []
    assert lost == 0


@pytest.mark.faults
def test_what_a_worker_with_a_wrong_clock_held_is_not_stuck(
    bed: Bed, make_bed: Any, clocks: Any, figures: Any
) -> None:
    """A machine whose clock is an hour ahead dies; the others' clocks are right."""
    bed.up()
    other: Bed = make_bed(
        "other",
        database_url=f"sqlite:///{bed.data / 'beholder.db'}",
        redis_url=bed.settings.broker,
        store_url=bed.settings.store,
    )
    clocks(other, "clock").write_text(f"{HOUR_S:+}\n")
    other.start("worker")
    other.until(other.children)
    job = bed.dreams(240, steps=24)
    victims = other.children()
    other.until(lambda: bed.held_by(job, victims))
    other.kill(*other.parents(), *victims)
    died = time.monotonic()
    bed.until(lambda: not bed.held_by(job, victims))
    took = time.monotonic() - died
    bed.end_of(job)
    findings = bed.findings(job)
    fault = "the clock jumps by an hour"
    how = "from a dead worker an hour ahead"
    figures(fault, Row("claimed again", took, "s", 30, "lower", how))
    assert findings == []
    assert took < 30

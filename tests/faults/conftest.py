"""What the faults share: `bed`, and `figures` for what they measure.

FAULTS_JSON names a file for the figures; `python -m benchmarks.reliability` makes the page's table
of it.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.harness import Row, document, print_table, write_document
from tests.e2e.conftest import own_env
from tests.faults.bed import Bed

ROWS: list[tuple[str, Row]] = []


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Callable[[str, Row], None]:
    """Keep a figure of a fault."""

    def keep(fault: str, row: Row) -> None:
        if request.node.get_closest_marker("faults"):
            ROWS.append((fault, row))

    return keep


@pytest.fixture
def make_bed(tmp_path: Path) -> Iterator[Callable[..., Bed]]:
    beds: list[Bed] = []

    def make(name: str = "bed", **settings: object) -> Bed:
        home = tmp_path / name
        home.mkdir()
        beds.append(Bed(home, own_env(home, **settings)))
        return beds[-1]

    yield make
    for one in reversed(beds):
        one.stop()


@pytest.fixture
def bed(make_bed: Callable[..., Bed]) -> Bed:
    """A data folder, and nothing running yet. Leases are as long as they are by default."""
    return make_bed()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not ROWS:
        return
    terminalreporter.section("figures")
    print_table([replace(row, name=f"{fault}: {row.name}") for fault, row in ROWS])
    if path := os.environ.get("FAULTS_JSON"):
        rows = [row for fault, one in ROWS for row in document(fault, [one])["rows"]]
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_document({**document("", []), "rows": rows}, Path(path))

"""docs/security.md against the tests that it names."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
THREATS = [
    line
    for line in PAGE.partition("## Threats")[2].partition("\n## ")[0].splitlines()
    if line.startswith("| ") and not line.startswith("| threat |")
]


@pytest.mark.parametrize(("path", "name"), sorted(set(NAMED.findall(PAGE))))
def test_every_test_that_is_named_exists(path, name):
    text = (ROOT / path).read_text()
    assert re.search(rf"^(?:async )?def {name}\(", text, re.MULTILINE)


def test_every_threat_has_a_test():
    assert len(THREATS) > 20
    for line in THREATS:
        threat, way, tests = (cell.strip() for cell in line.strip("|").split(" | "))
        assert threat
        assert way
        assert NAMED.search(tests), threat


def test_every_test_here_covers_a_threat_that_is_written_down():
    """A file at least: what is defended is on the page."""
    for path in Path(__file__).parent.glob("test_*.py"):
        name = f"tests/security/{path.name}"
        assert name == "tests/security/test_threats.py" or name in PAGE

"""Every row of the first table of docs/reliability.md names tests that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([^|]+) \| [^|]+ \| ([^|]+) \|$", PAGE.split("\n## ")[2], re.MULTILINE)[2:]


def test_there_are_some() -> None:
    assert len(ROWS) > 10


@pytest.mark.parametrize(("fault", "tests"), ROWS)
def test_a_row_names_tests_that_exist(fault: str, tests: str) -> None:
    named = re.findall(r"`([^`]+)`", tests)
    assert named, f"{fault} has no test"
    for one in named:
        file, _, function = one.partition("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}

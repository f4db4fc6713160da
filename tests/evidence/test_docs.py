"""The example of docs/studies.md runs, and its words name what there is."""

import re
from pathlib import Path

import pytest

from beholder.evidence.plan import METHODS, MODES

PAGE = (Path(__file__).parents[2] / "docs" / "studies.md").read_text()


@pytest.mark.slow
def test_the_example_runs(capsys):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(block, {})
    said = capsys.readouterr().out
    assert "spiral" in said
    assert "iterative/zero/" in said


def test_every_method_and_mode_has_its_row():
    first = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert first == [*METHODS, *MODES]


def test_the_table_is_there():
    table = PAGE.split("<!-- studies table: begin -->")[1].split("<!-- studies table: end -->")[0]
    assert "| iterative, zero |" in table
    assert "| the article's recipe, zero |" in table

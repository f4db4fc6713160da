"""The page docs/science.md: its code blocks run in order."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "science.md"


@pytest.mark.slow
def test_every_block_runs(specimens, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 15
    names = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    said = capsys.readouterr().out
    assert "[4, 8, 12]" in said
    assert "10 pictures" in said
    assert "the same: True" in said
    assert (tmp_path / "void.png").is_file()
    assert len(list(tmp_path.glob("void-*.png"))) == 3

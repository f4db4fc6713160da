"""The pictures of a submission are valid, and no two are alike."""

from pathlib import Path

import pytest

from beholder.pictures import decode
from benchmarks.submit import figures, make_pictures


def test_pictures_are_distinct_and_can_be_decoded(tmp_path: Path) -> None:
    make_pictures(tmp_path / "some", 6)
    found = [path.read_bytes() for path in sorted((tmp_path / "some").iterdir())]
    assert len(set(found)) == 6
    assert {decode(data).mode for data in found} == {"RGB"}


@pytest.mark.slow
def test_both_sides_are_run() -> None:
    ratio, flushed, memory = figures(10)
    assert ratio.value is not None
    assert flushed.value is not None
    assert 0 < ratio.value < 10
    assert 0 < flushed.value < 10
    assert ratio.goal is None  # it is for more pictures
    assert memory.unit == "MiB"

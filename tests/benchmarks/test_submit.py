"""The pictures of a submission are valid, and no two are alike."""

from pathlib import Path

from beholder.pictures import decode
from benchmarks.submit import make_pictures


def test_pictures_are_distinct_and_can_be_decoded(tmp_path: Path) -> None:
    make_pictures(tmp_path / "some", 6)
    found = [path.read_bytes() for path in sorted((tmp_path / "some").iterdir())]
    assert len(set(found)) == 6
    assert {decode(data).mode for data in found} == {"RGB"}

"""What an item costs is counted where it happens: in the database, on the bucket, among bells."""

import pytest

from benchmarks.costs import figures
from benchmarks.databases import Server


@pytest.mark.slow
def test_a_small_job_is_counted(a_database: Server) -> None:
    for package in ("moto", "s3fs"):
        pytest.importorskip(package)
    rows = {row.name: row for row in figures(items=16, server=a_database)}
    assert rows["store requests"].value == 2, "a start from noise and a dream are stored"
    assert rows["store requests"].detail == "2.00 put_object"
    assert 4 <= rows["rows written"].value <= 10
    assert rows["messages"].value == 2 / 16
    assert rows["statements to renew"].value == 4
    assert 0 < rows["statements of a sweep"].value <= 8

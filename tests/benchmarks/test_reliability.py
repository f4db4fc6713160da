"""The tables of docs/reliability.md: its figures are those of the files, the newest of each."""

import json

from benchmarks import reliability
from benchmarks.harness import Row, document
from benchmarks.report import inserted


def test_the_page_is_what_the_files_give() -> None:
    files = sorted(reliability.RESULTS.glob("*.json"))
    documents = reliability.newest([json.loads(path.read_text()) for path in files])
    page = reliability.PAGE.read_text()
    assert documents
    assert inserted(page, "\n\n".join(map(reliability.rendered, documents))) == page


def test_what_a_newer_run_has_of_a_fault_takes_the_place_of_an_older() -> None:
    old = document("", []) | {"when": "2026-01-01T00:00:00+00:00"}
    new = old | {"when": "2026-02-01T00:00:00+00:00"}
    kill, redis = (
        document(fault, [Row("lost", value, "", 0, "lower")])["rows"]
        for fault, value in (("kill", 1.0), ("Redis", 2.0))
    )
    again = document("kill", [Row("lost", 0.0, "", 0, "lower")])["rows"]
    found = reliability.newest([{**old, "rows": [*kill, *redis]}, {**new, "rows": again}])
    assert [one["rows"] for one in found] == [again, redis]

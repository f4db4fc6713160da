"""The page docs/performance.md: its figures are those of the files, and not typed."""

import json

import pytest

from benchmarks import report
from benchmarks.harness import Row, document


def test_the_page_is_what_the_files_give():
    documents = [json.loads(path.read_text()) for path in sorted(report.RESULTS.glob("*.json"))]
    page = report.PAGE.read_text()
    assert documents
    assert report.inserted(page, report.rendered(documents)) == page


def test_a_document_becomes_a_table_for_each_benchmark():
    found = document("science", [Row("dream | 5", 3.0, "x", 2.8), Row("deep", 1.0, "x", 1.8)])
    found["rows"] += document("quick", [Row("help", 0.3, "s", 0.25, "lower")])["rows"]
    text = report.rendered([found])
    assert "**science**" in text
    assert "| dream \\| 5 | 3x | ≥ 2.8x | met |  |" in text
    assert "| deep | 1x | ≥ 1.8x | MISSED |  |" in text
    assert text.index("**quick**") < text.index("| help | 0.3 s | ≤ 0.25 s | MISSED |  |")
    assert f"torch {found['versions']['torch']}" in text


def test_a_gpu_is_what_its_section_is_called():
    found = document("science", [])
    found["machine"] |= {"gpu": "NVIDIA H100", "gpu_memory_gib": 80}
    assert report.rendered([found]).startswith("### NVIDIA H100\n\nBeside it ")


def test_figures_go_between_the_marks_again_and_again():
    page = f"a\n{report.BEGIN}\nold\n{report.END}\nb\n"
    once = report.inserted(page, "new")
    assert once == f"a\n{report.BEGIN}\n\nnew\n\n{report.END}\nb\n"
    assert report.inserted(once, "new") == once


def test_a_page_without_marks_is_refused():
    with pytest.raises(ValueError, match="the page has no <!-- figures"):
        report.inserted("words", "new")

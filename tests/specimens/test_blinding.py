"""Blinding on the shipped network: the class goes, the others stay."""

from pathlib import Path

import pytest

from beholder.science.networks import load_network
from beholder.specimens.blinding import Row, study, table, update
from beholder.specimens.draw import CLASSES
from beholder.specimens.pool import HELD_OUT_SEED, draw_pool

ROW = Row("star", 40, (1.0, 0.02), (0.98, 0.9), "burst")


@pytest.mark.slow
def test_a_blinded_class_goes_and_the_others_stay() -> None:
    labels = ["rays", "blobs", "crescent"]
    choosing = draw_pool(per_class=5, size=256, seed=2 * HELD_OUT_SEED, workers=1, labels=labels)
    held_out = draw_pool(per_class=8, size=256, seed=HELD_OUT_SEED, workers=1)
    rows = study(load_network("specimens"), choosing, held_out, side=112, threshold=4)
    assert [row.label for row in rows] == sorted(labels, key=CLASSES.index)
    for row in rows:
        assert row.recall[0] >= 0.85, row
        assert row.recall[1] <= 0.25, row  # eight pictures: two may stay
        assert row.others[1] >= 0.8, row


def test_the_table_has_a_row_a_class_and_a_mean() -> None:
    lines = table([ROW, ROW]).splitlines()
    assert lines[2] == "| star | 40 | 100% | 2% | 98% | 90% | burst |"
    assert lines[-1] == "| **mean** | 40 | 100% | 2% | 98% | 90% | |"


def test_the_page_is_updated_between_its_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    begin, end = (f"<!-- blinding table: {word} -->" for word in ("begin", "end"))
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    update(page, "new")
    assert page.read_text() == f"before\n{begin}\nnew\n{end}\nafter\n"


def test_a_page_without_markers_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing")
    with pytest.raises(ValueError, match="has no lines"):
        update(page, "new")

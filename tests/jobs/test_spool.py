"""Pictures on their way into a job, where there is no room for their list."""

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from beholder.errors import StorageFull
from beholder.jobs.spool import Entry, Spool

ENTRIES = [Entry(f"{number}.png", None, seed=number) for number in range(500)]
NoRoom = Callable[[], AbstractContextManager[None]]


def spooled(count: int) -> list[Entry]:
    """So many entries, there and back."""
    with Spool() as spool:
        for entry in ENTRIES[:count]:
            spool.add(entry, role=None)
        return list(spool)


@pytest.mark.parametrize("count", [1, 500])  # few are written when they are read, many before
def test_a_list_that_finds_no_room_is_one_line_that_names_the_folder(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_room: NoRoom
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert spooled(count) == ENTRIES[:count]
    line = rf"written in {tmp_path} \(.*\): free some space, or set TMPDIR"
    with pytest.raises(StorageFull, match=line), no_room():
        spooled(count)

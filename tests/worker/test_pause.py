"""Work without room: the claim is given back, people are told, and it goes on by itself."""

import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from beholder.errors import ServiceUnavailable, StorageFull, StoreMissing
from worker.pause import Pause


class Disk:
    """A disk with so many looks until it has room, and what was said meanwhile.

    lack: what a run finds until then.
    """

    def __init__(self, *looks: Exception | None) -> None:
        self.looks = list(looks)
        self.lack: Exception = StorageFull("no room left here: free some space.")
        self.said: list[str | None] = []
        self.runs = 0
        self.ending = threading.Event()

    def look(self) -> None:
        if error := self.looks.pop(0):
            raise error

    def pause(self) -> Pause:
        return Pause(self.look, self.said.append, self.ending.is_set, looks_s=(0.001, 0.002))

    def run(self) -> int:
        self.runs += 1
        if self.looks:
            raise self.lack
        return 1


def test_work_goes_on_when_there_is_room() -> None:
    disk = Disk(StorageFull("still none."), ServiceUnavailable("away."), None)
    disk.pause().around(disk.run)
    assert disk.runs == 2
    assert disk.said == ["no room left here: free some space.", "still none.", "away.", None]


def test_a_store_that_is_missing_is_waited_for_likewise() -> None:
    disk = Disk(StoreMissing("still not."), StorageFull("nor room."), None)
    disk.lack = StoreMissing("the store is not there.")
    disk.pause().around(disk.run)
    assert disk.runs == 2
    assert disk.said == ["the store is not there.", "still not.", "nor room.", None]


def test_room_that_is_too_small_is_waited_for_again() -> None:
    disk = Disk(None, None)
    disk.pause().around(disk.run)
    assert disk.runs == 3
    reason = "no room left here: free some space."
    assert disk.said == [reason, reason, None], "the reason stands until a run gets past it"


def test_room_on_another_disk_than_the_store_s_is_looked_for_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [99, 99, 100]
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=free.pop(0)))
    disk = Disk(None)

    def run() -> int:
        disk.runs += 1
        if disk.looks:
            raise StorageFull("no room for the weights.", folder=tmp_path, size=100)
        return 1

    disk.pause().around(run)
    assert disk.runs == 2, "the weights were fetched in vain"
    assert disk.said == ["no room for the weights."] * 3 + [None]


def test_a_worker_that_is_asked_to_end_waits_no_more() -> None:
    disk = Disk(StorageFull("still none."))
    disk.ending.set()
    disk.pause().around(disk.run)
    assert (disk.runs, len(disk.said)) == (1, 1)


def test_another_error_is_not_waited_for() -> None:
    def fail() -> int:
        raise ServiceUnavailable("away.")

    with pytest.raises(ServiceUnavailable):
        Disk().pause().around(fail)

"""Writing results: whole or not at all, one line for what the disk refuses."""

import errno
from pathlib import Path

import pytest

from beholder.errors import InvalidInput, StorageFull
from cli.files import make_folder, reported, write_file, writing


def test_a_file_with_the_same_contents_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    assert write_file(path, b"one") is True
    before = path.stat().st_mtime_ns, path.stat().st_ino
    assert write_file(path, b"one") is False
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before
    assert write_file(path, b"two") is True
    assert path.read_bytes() == b"two"


def test_an_error_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"old")

    def fail_halfway() -> None:
        with writing(path) as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("a.json", b"old")]


def test_a_folder_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(InvalidInput, match=r"taken can't be written \(.*\): choose another folder"):
        make_folder(tmp_path / "taken")


def test_a_full_disk_is_one_line() -> None:
    def fill() -> None:
        with reported(Path("out")):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageFull, match="no room left in out: free some space"):
        fill()

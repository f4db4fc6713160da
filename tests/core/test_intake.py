import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from PIL import Image

from beholder.errors import InvalidInput, NoPictures, ServiceUnavailable, StorageFull
from beholder.folders import walk
from beholder.intake import Found, count_pictures, find_pictures, take_in
from beholder.store import Store

LIMIT = 1_000_000


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 40), "teal").save(path, "PNG")
    return path


def sources(*folders: Path, recursive: bool = False) -> list[str]:
    return [found.source for found in find_pictures([], folders, recursive=recursive)]


def test_a_folder_in_natural_order_without_what_is_no_picture(tmp_path: Path) -> None:
    for name in ("kelpie10.png", "kelpie2.png", ".hidden.png", "deeper/x.png"):
        put(tmp_path / "dogs" / name)
    (tmp_path / "dogs" / "notes.txt").write_text("")
    assert sources(tmp_path / "dogs") == ["dogs/kelpie2.png", "dogs/kelpie10.png"]
    assert sources(tmp_path / "dogs", recursive=True)[-1] == "dogs/deeper/x.png"


@pytest.mark.slow
def test_names_that_find_no_room_to_be_sorted(
    tmp_path: Path, no_room: Callable[[], AbstractContextManager[None]]
) -> None:
    for number in range(6_000):  # more than SQLite keeps in memory
        (tmp_path / f"{'n' * 240}{number}.png").touch()
    assert len(list(walk(str(tmp_path)))) == 6_000
    with pytest.raises(StorageFull, match=r"written in /.*\(.*\): free .*set TMPDIR"), no_room():
        list(walk(str(tmp_path)))


def test_the_same_picture_is_stored_once(tmp_path: Path) -> None:
    first, second = put(tmp_path / "a.png"), put(tmp_path / "b.png")
    store = Store.open(str(tmp_path / "store"))
    entries = list(take_in(store, find_pictures([first, second], []), max_pixels=LIMIT))
    assert [entry.source for entry in entries] == ["a.png", "b.png"]
    assert entries[0].picture == entries[1].picture
    assert entries[0].picture is not None
    assert entries[0].picture.width == 40


def test_names_that_are_no_text_are_taken_and_shown_with_marks(tmp_path: Path) -> None:
    put(tmp_path / "x.png").rename(tmp_path / os.fsdecode(b"bad\xff\nname.png"))
    store = Store.open(str(tmp_path / "store"))
    (entry,) = take_in(store, find_pictures([], [tmp_path]), max_pixels=LIMIT)
    assert entry.picture is not None
    entry.source.encode("utf-8")
    assert entry.source.isprintable()


def test_a_link_in_a_circle_fails_alone(tmp_path: Path) -> None:
    put(tmp_path / "dogs" / "good.png")
    (tmp_path / "dogs" / "self.png").symlink_to("self.png")
    (tmp_path / "dogs" / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "dogs" / "round").symlink_to(tmp_path / "dogs")
    store = Store.open(str(tmp_path / "store"))
    found = find_pictures([], [tmp_path / "dogs"], recursive=True)
    entries = {entry.source: entry for entry in take_in(store, found, max_pixels=LIMIT)}
    assert set(entries) == {"dogs/good.png", "dogs/self.png", "dogs/gone.png"}
    assert entries["dogs/good.png"].error is None
    assert "can't be read" in (entries["dogs/self.png"].error or "")
    assert "can't be read" in (entries["dogs/gone.png"].error or "")


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    put(tmp_path / "a.png")
    for files, folders, words in (
        ([tmp_path / "none.png"], [], "no file"),
        ([tmp_path / "empty"], [], "write --dir"),
        ([], [tmp_path / "none"], "does not exist"),
        ([], [tmp_path / "a.png"], "is a file, not a folder"),
    ):
        for ask in (find_pictures, count_pictures):
            with pytest.raises(InvalidInput, match=words):
                list(ask(files, folders))  # type: ignore[call-overload]
    for ask in (find_pictures, count_pictures):
        with pytest.raises(NoPictures, match="has no pictures"):
            list(ask([], [tmp_path / "empty"]))  # type: ignore[call-overload]


def test_numbers_are_sorted_as_people_count(tmp_path: Path) -> None:
    names = ["2.png", "10.png", "010.png", "1e2.png", "1e10.png", "A1.png", "a2.png", "B.png"]
    ordered = ["1e2.png", "1e10.png", "2.png", "010.png", "10.png", "A1.png", "a2.png", "B.png"]
    for name in names:
        (tmp_path / name).touch()
    assert list(walk(str(tmp_path))) == ordered


def test_counting_finds_what_walking_finds(tmp_path: Path) -> None:
    for name in ("dogs/1.png", "dogs/old/2.JPG", "dogs/.x/3.png", "dogs/4.txt", "dogs/d.png/5.gif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for recursive, found in ((False, ["1.png"]), (True, ["1.png", "d.png/5.gif", "old/2.JPG"])):
        assert list(walk(str(tmp_path / "dogs"), recursive=recursive)) == found
        assert count_pictures([], [tmp_path / "dogs"], recursive=recursive) == len(found)


def test_many_are_taken_in_their_order_and_what_is_wrong_with_one_stays_with_it(
    tmp_path: Path,
) -> None:
    for number in range(200):
        path = tmp_path / "many" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        if number % 50 == 7:
            path.write_bytes(b"no picture")
        else:
            Image.new("RGB", (32 + number, 40)).save(path)
    store = Store.open(str(tmp_path / "store"))
    found = find_pictures([], [tmp_path / "many"])
    entries = list(take_in(store, found, max_pixels=LIMIT))
    assert [entry.source for entry in entries] == [f"many/{number}.png" for number in range(200)]
    assert [entry.picture and entry.picture.width for entry in entries] == [
        None if number % 50 == 7 else 32 + number for number in range(200)
    ]
    for entry in entries:
        if entry.picture:
            data = store.picture(entry.picture.sha256)
            assert hashlib.sha256(data).hexdigest() == entry.picture.sha256


def test_a_store_that_breaks_off_ends_the_taking_in(tmp_path: Path) -> None:
    for number in range(100):
        Image.new("RGB", (40 + number, 40)).save(tmp_path / f"{number}.png")
    (tmp_path / "file").touch()
    store = Store.open(str(tmp_path / "file"))
    with pytest.raises(ServiceUnavailable, match="can't be used"):
        list(take_in(store, find_pictures([], [tmp_path]), max_pixels=LIMIT))


def test_no_more_is_read_ahead_than_stated(tmp_path: Path) -> None:
    path = put(tmp_path / "a.png")
    asked = 0

    def endless() -> Iterator[Found]:
        nonlocal asked
        while True:
            asked += 1
            yield Found(str(path), "a.png", "")

    store = Store.open(str(tmp_path / "store"))
    entries = take_in(store, endless(), max_pixels=LIMIT, threads=2)
    next(entries)
    assert asked < 200
    entries.close()

import os
from pathlib import Path

import pytest
from PIL import Image

from beholder.errors import InvalidInput, NoPictures
from beholder.intake import find_pictures, take_in
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


def test_the_same_picture_is_stored_once(tmp_path: Path) -> None:
    first, second = put(tmp_path / "a.png"), put(tmp_path / "b.png")
    store = Store.open(str(tmp_path / "store"))
    entries = [
        take_in(store, found, max_pixels=LIMIT) for found in find_pictures([first, second], [])
    ]
    assert [entry.source for entry in entries] == ["a.png", "b.png"]
    assert entries[0].picture == entries[1].picture
    assert entries[0].picture is not None
    assert entries[0].picture.width == 40


def test_names_that_are_no_text_are_taken_and_shown_with_marks(tmp_path: Path) -> None:
    put(tmp_path / "x.png").rename(tmp_path / os.fsdecode(b"bad\xff\nname.png"))
    (found,) = find_pictures([], [tmp_path])
    entry = take_in(Store.open(str(tmp_path / "store")), found, max_pixels=LIMIT)
    assert entry.picture is not None
    entry.source.encode("utf-8")
    assert entry.source.isprintable()


def test_a_link_in_a_circle_fails_alone(tmp_path: Path) -> None:
    put(tmp_path / "dogs" / "good.png")
    (tmp_path / "dogs" / "self.png").symlink_to("self.png")
    (tmp_path / "dogs" / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "dogs" / "round").symlink_to(tmp_path / "dogs")
    store = Store.open(str(tmp_path / "store"))
    entries = {
        found.source: take_in(store, found, max_pixels=LIMIT)
        for found in find_pictures([], [tmp_path / "dogs"], recursive=True)
    }
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
        with pytest.raises(InvalidInput, match=words):
            list(find_pictures(files, folders))
    with pytest.raises(NoPictures, match="has no pictures"):
        sources(tmp_path / "empty")

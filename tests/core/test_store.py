import errno
import hashlib
from pathlib import Path
from typing import Any

import pytest

from beholder.errors import NotFound, ServiceUnavailable, StorageFull
from beholder.store import Store, picture_path, result_folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"))


def files(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in tmp_path.rglob("*") if path.is_file())


def test_a_picture_is_kept_once(store: Store, tmp_path: Path) -> None:
    sha256 = store.put_picture(b"picture")
    assert sha256 == hashlib.sha256(b"picture").hexdigest()
    assert store.put_picture(b"picture") == sha256
    assert store.picture(sha256) == b"picture"
    assert files(tmp_path) == [sha256]
    assert store.local_path(picture_path(sha256)).is_file()  # type: ignore[union-attr]


def test_results_go_with_their_folder(store: Store) -> None:
    folder = result_folder("job", "token")
    store.put(f"{folder}/a.png", b"a")
    store.remove_folder(folder)
    assert not store.exists(f"{folder}/a.png")
    store.remove_folder(folder)  # nothing there: nothing to do


def test_what_is_not_there(store: Store) -> None:
    with pytest.raises(NotFound, match="has no results/x"):
        store.get("results/x")


@pytest.mark.parametrize("path", ["../out", "/etc/passwd", "a/../../b"])
def test_no_path_leads_out(store: Store, path: str) -> None:
    with pytest.raises(ValueError, match="relative"):
        store.put(path, b"")


def test_a_full_disk_leaves_nothing_behind(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", no_room)
    with pytest.raises(StorageFull, match="free some space"):
        store.put("results/a", b"a")
    assert files(tmp_path) == []


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ServiceUnavailable, match="can't be used"):
        Store.open(str(tmp_path / "file")).put("a", b"a")


def test_an_unknown_kind_of_store() -> None:
    with pytest.raises(ServiceUnavailable, match="can't be opened"):
        Store.open("nonsense://bucket")


def test_any_fsspec_store_does(request: pytest.FixtureRequest) -> None:
    store = Store.open("memory://beholder-test")
    request.addfinalizer(lambda: store.remove_folder("results"))
    store.put("results/a", b"a")
    assert store.get("results/a") == b"a"
    assert store.local_path("results/a") is None

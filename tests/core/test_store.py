import errno
import hashlib
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

import beholder.durable
from beholder.aside import away_name
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


def test_only_what_is_put_anew_makes_the_stores_own_folder(tmp_path):
    store = Store.open(str(tmp_path / "store"))
    with pytest.raises(NotFound):
        store.put("results/job/a", b"a", anew=False)
    assert list(tmp_path.iterdir()) == []
    store.put("mark", b"")
    store.put("results/job/a", b"a", anew=False)
    assert store.get("results/job/a") == b"a"


def test_what_is_not_there(store: Store) -> None:
    with pytest.raises(NotFound, match="has no results/x"):
        store.get("results/x")


@pytest.mark.parametrize("path", ["../out", "/etc/passwd", "a/../../b"])
def test_no_path_leads_out(store: Store, path: str) -> None:
    with pytest.raises(ValueError, match="relative"):
        store.put(path, b"")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_nothing_behind(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def no_room(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

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


def test_whoever_asks_what_is_lacking_shares_the_threads_that_look(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open("memory://beholder-threads")
    request.addfinalizer(lambda: store.remove_folder("pictures"))
    sha256 = store.put_picture(b"picture")
    looked: list[threading.Thread] = []
    length = Store._length

    def noted(self: Store, full: str) -> int | None:
        looked.append(threading.current_thread())
        return length(self, full)

    monkeypatch.setattr(Store, "_length", noted)
    for _ in range(50):
        assert store.lacking({sha256: 7, "0" * 64: 7}) == {"0" * 64}
    assert len(looked) == 100
    assert threading.current_thread() not in looked
    assert len(set(looked)) <= 16


def test_a_picture_that_is_here_is_not_written_again(store: Store) -> None:
    path = store.local_path(picture_path(store.put_picture(b"picture")))
    assert path is not None
    before = path.stat()
    store.put_picture(b"picture", flush=False)
    store.put_picture(b"picture", sure=True)
    assert path.stat().st_ino == before.st_ino


def test_what_a_power_cut_left_of_a_picture_is_written_again(store: Store) -> None:
    path = store.local_path(picture_path(store.put_picture(b"picture")))
    assert path is not None
    for left in (b"", b"pict"):
        path.write_bytes(left)
        assert store.picture(store.put_picture(b"picture")) == b"picture"


def test_a_damaged_picture_is_written_again_by_who_wants_to_be_sure(
    store: Store, request: pytest.FixtureRequest
) -> None:
    bucket = Store.open("memory://beholder-test")
    request.addfinalizer(lambda: bucket.remove_folder("pictures"))
    for one in (store, bucket):
        sha256 = one.put_picture(b"picture")
        one.put(picture_path(sha256), b"pictu?e")
        one.put_picture(b"picture")  # of the same size: to notice, all would have to be read
        assert one.get(picture_path(sha256)) == b"pictu?e"
        one.put_picture(b"picture", sure=True)
        assert one.get(picture_path(sha256)) == b"picture"


def test_pictures_are_flushed_together(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    fsync, flush = os.fsync, beholder.durable._syncfs
    monkeypatch.setattr("os.fsync", lambda file: (asked.append("file"), fsync(file)))
    if flush is not None:
        monkeypatch.setattr(
            "beholder.durable._syncfs", lambda file: (asked.append("all"), flush(file))[1]
        )
    for number in range(3):
        store.put_picture(b"picture %d" % number, flush=False)
    store.flush()
    assert asked == (["all"] if flush else ["file"] * 3)
    store.put_picture(b"alone")
    assert asked[-1] == "file"


def test_where_nothing_flushes_all_each_picture_is_flushed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr("beholder.durable._syncfs", None)
    monkeypatch.setattr("os.fsync", asked.append)
    store.put_picture(b"picture", flush=False)
    store.flush()
    assert len(asked) == 1


def test_a_picture_in_a_bucket_is_written_once(request: pytest.FixtureRequest) -> None:
    store = Store.open("memory://beholder-test")
    request.addfinalizer(lambda: store.remove_folder("pictures"))
    path = picture_path(store.put_picture(b"picture"))
    created = store._fs.created(store._full(path))
    store.put_picture(b"picture", flush=False)
    store.flush()
    assert store._fs.created(store._full(path)) == created


@pytest.mark.parametrize("links", [True, False])
def test_what_was_moved_aside_comes_back_but_not_over_what_is_newer(
    store: Store, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:

        def no_links(*_: Any) -> None:
            raise PermissionError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr("os.link", no_links)
    sha256 = store.put_picture(b"picture")
    path = store.local_path(picture_path(sha256))
    assert path is not None
    away = path.with_name(away_name(path.name))
    os.utime(path, (1.0, 1.0))
    path.rename(away)
    store.restore_away(sha256)
    assert path.stat().st_mtime == 1.0
    path.rename(away)
    store.put_picture(b"picture")
    store.restore_away(sha256)
    assert path.stat().st_mtime > 1.0
    assert not away.exists()
    store.restore_away(sha256)  # nothing there: nothing to do


def test_a_removal_that_is_refused_ends(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    store = Store.open("memory://beholder-test")
    request.addfinalizer(lambda: store.remove_folder("results"))
    store.put("results/job/a", b"a")
    real, tried = MemoryFileSystem.rm, []

    def refuse(*_: object, **__: object) -> None:  # as S3 does: in an answer that is no error
        tried.append(1)

    with monkeypatch.context() as refused:
        refused.setattr(MemoryFileSystem, "rm", refuse)
        with pytest.raises(ServiceUnavailable, match="keeps results/job, which can't be removed"):
            store.remove_folder("results/job")
    assert len(tried) == 3

    def overtaken(fs: MemoryFileSystem, path: str, **how: bool) -> None:
        tried.append(1)
        if len(tried) < 10:
            raise FileNotFoundError(path)
        real(fs, path, **how)

    monkeypatch.setattr(MemoryFileSystem, "rm", overtaken)
    store.remove_folder("results/job")
    assert not store.exists("results/job/a")

"""A file that can't be used costs its own chunk attempts, and nobody else anything."""

import errno
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from beholder.errors import FileUnusable, ServiceUnavailable
from beholder.specs import DreamSpec, StudySpec
from beholder.store import Store, picture_path
from worker.lease import Leases
from worker.place import Place

pytestmark = pytest.mark.slow  # imports torch


def spoil(path: Path) -> None:
    """What is there can't be read: opening a folder is an error of the system, not a lack."""
    path.unlink()
    path.mkdir()


def test_an_unreadable_picture_fails_alone_and_holds_up_nobody(
    bench: Any, spec: DreamSpec, draw: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [bench.entry(draw(seed)) for seed in range(9)]
    path = picture_path(entries[4].picture.sha256)
    spoil(bench.store.local_path(path))
    job = bench.submit(spec, entries, chunk_size=3)
    (beside,) = bench.submit_small(spec, 1)  # shares its batch
    (other,) = bench.submit_apart(spec.model_copy(update={"steps": 3}), 1)
    stops: list[int] = []
    monkeypatch.setattr(Leases, "stop", lambda _: stops.append(1))
    assert bench.runner().run() == 6, "two chunks of three, two single pictures, two jobs"
    found = bench.job(job)
    assert (found.state, found.done, found.failed) == ("done", 8, 1)
    assert bench.states([beside, other]) == ["done", "done"]
    assert [bench.chunk(one).attempts for one in (beside, other)] == [1, 1]
    error = bench.items(job)[4].error
    assert error.startswith(f"{path} can't be read, though its store answers (the store ")
    assert error.endswith("): see to its rights and its disk.")
    assert stops == []


def test_a_picture_that_is_read_at_the_second_look_costs_nothing(
    bench: Any, spec: DreamSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job,) = bench.submit_small(spec, 1)
    read, left = Store.picture, [1]

    def once(store: Store, sha256: str) -> bytes:
        if left and left.pop():
            raise ServiceUnavailable("503 Slow Down.")
        return read(store, sha256)

    monkeypatch.setattr(Store, "picture", once)
    assert bench.run(job).state == "done"
    assert (left, bench.chunk(job).attempts) == ([], 1)


def test_a_study_with_unreadable_statistics_fails_and_says_why(
    bench: Any, network: str, draw: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    get = Store.get

    def spoilt(store: Store, path: str) -> bytes:
        if path.endswith("target.npz") and (file := store.local_path(path)) and file.is_file():
            spoil(file)
        return get(store, path)

    monkeypatch.setattr(Store, "get", spoilt)
    spec = StudySpec(network=network, size=48, top=3, min_layer=12, most_common=2, threshold=3)
    job = bench.run(bench.submit(spec, [bench.entry(draw(1), role="target")]))
    assert job.state == "failed"
    assert "target.npz can't be read, though its store answers" in job.error


def test_a_job_whose_results_can_not_be_written_holds_up_nobody(
    bench: Any, spec: DreamSpec
) -> None:
    (job,), (other,) = bench.submit_small(spec, 1), bench.submit_apart(spec, 1)
    bench.store.put(f"results/{job}", b"where its folder should be")
    assert bench.runner().run() == 1
    assert bench.states([job, other]) == ["failed", "done"]
    assert f"results/{job}/" in bench.items(job)[0].error
    assert "can't be written, though its store answers" in bench.items(job)[0].error


def test_a_file_that_is_too_large_for_its_disk_is_not_waited_for(
    bench: Any, no_room: Callable[..., AbstractContextManager[None]]
) -> None:
    """Unlike a full disk: what is probed there has room, and the same file would come again."""
    place = Place(bench.db, bench.store)
    with no_room(most=1 << 20):
        with pytest.raises(FileUnusable, match=r"can't be written, though .*File too large"):
            place.put("results/job/token/large", bytes(2 << 20))
        place.put("results/job/token/small", b"small")
    assert [one.name for one in bench.store.list("results/job/token")] == ["small"]


@pytest.mark.parametrize("spoilt", [False, True], ids=["whole", "unreadable"])
def test_a_store_that_can_only_be_read_is_waited_for(
    bench: Any,
    spec: DreamSpec,
    draw: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
    spoilt: bool,
) -> None:
    entry = bench.entry(draw(1))
    job, picture = bench.submit(spec, [entry]), picture_path(entry.picture.sha256)
    if spoilt:
        spoil(bench.store.local_path(picture))

    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as remounted:
        remounted.setattr("beholder.files.write_whole", read_only)
        with pytest.raises(ServiceUnavailable, match="Read-only"):
            bench.runner().run()
    assert (bench.states([job]), bench.chunk(job).attempts) == (["queued"], 0)
    if spoilt:
        bench.store.local_path(picture).rmdir()
        bench.entry(draw(1))
    assert bench.run(job).state == "done"

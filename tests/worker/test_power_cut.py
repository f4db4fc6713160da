"""What rows speak of is on the disk before they are committed: each file, and its name."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

import worker.dreams
import worker.studies
from beholder.errors import ServiceUnavailable
from beholder.jobs.control import delete
from beholder.specs import DreamSpec, StudySpec
from beholder.store import CHECKPOINTS, Store, checkpoint_folder

pytestmark = pytest.mark.slow  # imports torch


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What has been flushed to the disk, under the names that it had."""
    seen: list[Path] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        seen.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))

    monkeypatch.setattr("os.fsync", fsync)
    return seen


def lost_by_a_cut(flushed: list[Path], results: list[Path], root: Path) -> set[Path]:
    """Folders with names that have not been flushed since their last file was, or at all."""
    lost = set()
    for folder in {path.parent for path in results}:
        files = [number for number, path in enumerate(flushed) if path.parent == folder]
        for above in (folder, folder.parent):
            if above not in flushed[files[-1] :]:
                lost.add(above)
    return lost | ({root, root / "results"} - set(flushed))


@pytest.mark.parametrize(
    ("spec_type", "module", "ends"),
    [
        (DreamSpec, worker.dreams, "finish_dreams"),
        (StudySpec, worker.studies, "finish_measure"),
    ],
)
def test_names_are_flushed_before_the_rows_are_finished(
    bench: Any,
    network: str,
    draw: Callable[..., bytes],
    flushed: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    spec_type: Any,
    module: Any,
    ends: str,
) -> None:
    spec = spec_type.build(network=network, size=48)
    if spec_type is DreamSpec:
        spec = spec.model_copy(update={"steps": 1, "layers": (5, 7)})
    entries = [bench.entry(draw(seed), role="target") for seed in (1, 2, 3)]
    real, root, lost = getattr(module, ends), bench.store.local_path("."), []

    def ending(db: Any, ended: Any, *given: Any, **options: Any) -> Any:
        claims = [claim for claim, _ in ended] if isinstance(ended, list) else [ended]
        tokens = {claim.token for claim in claims}  # others are being written at the same time
        files = [path for path in bench.results() if path.parent.name in tokens]
        lost.append((len(files), lost_by_a_cut(flushed, files, root)))
        return real(db, ended, *given, **options)

    monkeypatch.setattr(module, ends, ending)
    assert bench.run(bench.submit(spec, entries, chunk_size=1)).state == "done"
    assert len(lost) > 1
    assert all(files and not folders for files, folders in lost), lost


def test_a_picture_that_is_brought_alone_is_there_with_its_name(
    bench: Any, draw: Callable[..., bytes], flushed: list[Path]
) -> None:
    bench.store.put_picture(draw(1))
    root = bench.store.local_path(".")
    assert flushed[0].parent.parent == root / "pictures"
    assert flushed[1:] == [flushed[0].parent, root / "pictures", root]


@pytest.fixture
def commits(bench: Any) -> list[int]:
    """How each commit waits for the disk: 1 (normal) or 2 (full)."""
    seen: list[int] = []

    @event.listens_for(bench.db.engine, "commit")
    def committed(connection: Any) -> None:
        pragma = connection.connection.dbapi_connection.execute("PRAGMA synchronous")
        seen.append(pragma.fetchone()[0])

    return seen


@pytest.mark.parametrize("kept_by", ["this claim", "an earlier one"])
def test_a_checkpoint_goes_once_its_dream_is_on_the_disk(
    bench: Any,
    network: str,
    draw: Callable[..., bytes],
    commits: list[int],
    monkeypatch: pytest.MonkeyPatch,
    kept_by: str,
) -> None:
    spec = DreamSpec(network=network, size=48, layers=(20,), steps=12)
    job = bench.submit(spec, [bench.entry(draw(1))])
    kept, safe = bench.settings.model_copy(update={"checkpoint_s": 0.001}), []
    remove, usual, bench.settings = Store.remove, bench.settings, kept

    def away(*_: object, **__: object) -> None:
        raise ServiceUnavailable("the database can't be used: server closed the connection.")

    def removing(store: Store, path: str) -> None:
        if path.startswith(CHECKPOINTS):
            safe.append(2 in commits)
        remove(store, path)

    monkeypatch.setattr(Store, "remove", removing)
    if kept_by == "an earlier one":
        with monkeypatch.context() as outage:
            outage.setattr(worker.dreams, "finish_dreams", away)
            with pytest.raises(ServiceUnavailable):
                bench.runner().run()
        bench.settings = usual
    assert len(list(bench.store.list(checkpoint_folder(job)))) == (kept_by == "an earlier one")
    commits.clear()
    assert bench.run(job).state == "done"
    assert safe == [True]


def test_sqlite_waits_for_the_disk_where_somebody_was_answered_and_not_for_chunks(
    bench: Any, network: str, draw: Callable[..., bytes], commits: list[int]
) -> None:
    spec = DreamSpec(network=network, size=48, layers=(5,), steps=1)
    job = bench.submit(spec, [bench.entry(draw(1))])
    assert commits[-1] == 2, "full"
    commits.clear()
    bench.run(job)
    assert set(commits) == {1}, "normal"
    delete(bench.db, job)
    assert 2 in commits

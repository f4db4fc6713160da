"""A store that is not there as a whole fails nothing: work is given back, and waits for it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beholder.errors import StoreMissing
from beholder.jobs.submit import noise_entries
from beholder.specs import DreamSpec, StudySpec
from beholder.store import Store
from beholder.upkeep.checkpoints import Tidying
from beholder.upkeep.verify import verify
from worker.climbs import Climb

pytestmark = pytest.mark.slow  # with real servers or files; seconds in all


@pytest.fixture
def root(bench: Any) -> Path:
    """The folder of a store that has been marked."""
    Tidying(bench.db, bench.store).step()
    found = bench.store.local_path(".")
    assert isinstance(found, Path)
    return found


def test_nothing_fails_while_the_store_is_away(
    bench: Any, spec: DreamSpec, root: Path, tmp_path: Path
) -> None:
    jobs = bench.submit_small(spec, 2)
    root.rename(tmp_path / "away")
    with pytest.raises(StoreMissing, match="is not there: mount or restore it"):
        bench.runner().run()
    root.mkdir()  # as where nothing is mounted
    with pytest.raises(StoreMissing, match="has no file 'database'"):
        bench.runner().run()
    with pytest.raises(StoreMissing):
        Tidying(bench.db, bench.store).step()  # marks no folder in its place
    assert list(root.iterdir()) == []
    assert bench.states(jobs) == ["queued"] * 2
    assert [bench.chunk(job).attempts for job in jobs] == [0, 0]
    root.rmdir()
    (tmp_path / "away").rename(root)
    bench.runner().run()
    assert bench.states(jobs) == ["done"] * 2


def test_a_picture_that_a_store_lacks_fails_alone(
    bench: Any, spec: DreamSpec, root: Path, draw: Callable[..., bytes]
) -> None:
    lost, kept = bench.entry(draw(1)), bench.entry(draw(2))
    job_id = bench.submit(spec, [lost, kept])
    next((root / "pictures").rglob(lost.picture.sha256)).unlink()
    job = bench.run(job_id)
    assert (job.state, job.done, job.failed) == ("done", 1, 1)
    assert f"has no pictures/{lost.picture.sha256[:2]}/" in bench.items(job_id)[0].error


def test_a_study_does_not_fail_for_statistics_that_are_away(
    bench: Any,
    network: str,
    root: Path,
    draw: Callable[..., bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    get = Store.get

    def unmounted(store: Store, path: str) -> bytes:
        if path.endswith("target.npz"):
            root.rename(tmp_path / "away")
        return get(store, path)

    entries = [bench.entry(draw(seed), role="target") for seed in range(2)]
    spec = StudySpec(network=network, size=48, top=3, min_layer=12, most_common=2, threshold=3)
    job_id = bench.submit(spec, entries)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "get", unmounted)
        with pytest.raises(StoreMissing):
            bench.runner().run()
    assert bench.job(job_id).error is None
    (tmp_path / "away").rename(root)
    assert bench.run(job_id).state == "done"


def before_a_batch(act: Callable[[], object], patch: Any) -> None:
    act()


def under_a_batch(act: Callable[[], object], patch: Any) -> None:
    real = Climb.run

    def run(*given: Any, **options: Any) -> Any:
        act()
        return real(*given, **options)

    patch.setattr(Climb, "run", run)


def behind_the_last_file(act: Callable[[], object], patch: Any) -> None:
    real = Store.flush_names

    def flush_names(store: Store, folder: str) -> None:
        act()
        real(store, folder)

    patch.setattr(Store, "flush_names", flush_names)


def behind_the_flush(act: Callable[[], object], patch: Any) -> None:
    real = Store.flush_names

    def flush_names(store: Store, folder: str) -> None:
        real(store, folder)
        act()

    patch.setattr(Store, "flush_names", flush_names)


@pytest.mark.parametrize("mounted_on", [False, True], ids=["gone", "empty"])
@pytest.mark.parametrize(
    "comes_off", [before_a_batch, under_a_batch, behind_the_last_file, behind_the_flush]
)
def test_a_disk_that_comes_off_takes_no_result_with_it(
    bench: Any,
    spec: DreamSpec,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    comes_off: Callable[..., None],
    mounted_on: bool,
) -> None:
    noisy = DreamSpec.build(**{**spec.model_dump(), "noise": 2})
    job = bench.submit(noisy, noise_entries(noisy))  # no picture has to be read, ever

    def come_off() -> None:
        if not (tmp_path / "away").exists():
            root.rename(tmp_path / "away")
            if mounted_on:
                root.mkdir()

    with monkeypatch.context() as patch:
        comes_off(come_off, patch)
        for _ in range(2):
            with pytest.raises(StoreMissing):
                bench.runner().run()
        with pytest.raises(StoreMissing):
            Tidying(bench.db, bench.store).step()
    assert (bench.states([job]), bench.chunk(job).attempts) == (["queued"], 0)
    assert root.exists() == mounted_on
    if mounted_on:
        assert list(root.iterdir()) == []
        root.rmdir()
    (tmp_path / "away").rename(root)
    assert bench.run(job).done == 2
    assert list(verify(bench.db, bench.store)) == []

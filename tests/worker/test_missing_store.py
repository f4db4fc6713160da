"""A store that is not there as a whole fails nothing: work is given back, and waits for it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beholder.errors import StoreMissing
from beholder.specs import DreamSpec, StudySpec
from beholder.store import Store
from beholder.upkeep.checkpoints import Tidying

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

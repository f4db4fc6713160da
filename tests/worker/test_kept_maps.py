"""The second pass of a study goes on from what the first one left, where that is there."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from beholder.errors import StorageFull
from beholder.science.networks import load_network
from beholder.specs import StudySpec
from worker.kept_maps import KeptMaps, Kind, kind_of

pytestmark = pytest.mark.slow  # imports torch

KIND = Kind("of weights", 48, False, 18)
MAPS = torch.rand(3, 8, 6, 6).contiguous(memory_format=torch.channels_last)
BYTES = 4 * MAPS[0].numel()
SMALL = 2**20  # more than tests keep
PICTURES = [("job", 0), ("job", 1), ("job", 2)]


@pytest.fixture
def spec(network: str) -> StudySpec:
    return StudySpec(network=network, size=48, top=3, min_layer=20, most_common=2, threshold=3)


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """One for each picture that was decoded."""
    from worker.pictures import to_tensor as real

    seen = list[object]()

    def counting(*given: Any, **options: Any) -> torch.Tensor:
        seen.append(None)
        return real(*given, **options)

    monkeypatch.setattr("worker.pictures.to_tensor", counting)
    return seen


def _study(bench: Any, spec: StudySpec, draw: Callable[..., bytes]) -> str:
    entries = [bench.entry(draw(seed)) for seed in range(9)]
    job: str = bench.submit(spec, entries, chunk_size=4)
    return job


def _logits(monkeypatch: pytest.MonkeyPatch) -> dict[int, torch.Tensor]:
    """Blinded logits by position, as they are judged."""
    from worker.classifying import ClassifyWork

    real, found = ClassifyWork._judge, dict[int, torch.Tensor]()

    def noting(work: ClassifyWork, items: Any, logits: torch.Tensor) -> None:
        found.update({one.item.position: row for one, row in zip(items, logits, strict=True)})
        real(work, items, logits)

    monkeypatch.setattr(ClassifyWork, "_judge", noting)
    return found


def test_verdicts_are_the_same_to_the_bit(
    bench: Any,
    spec: StudySpec,
    draw: Callable[..., bytes],
    decodes: list[object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logits = _logits(monkeypatch)
    kept = _study(bench, spec, draw)
    bench.runner().run()
    assert len(decodes) == 9, "the second pass decoded none"
    found = logits.copy()
    plain = _study(bench, spec, draw)
    runner = bench.runner()
    runner._means.kept_maps.most_bytes = 0
    runner.run()
    assert len(decodes) == 9 + 18
    assert bench.job(kept).state == bench.job(plain).state == "done"
    for ours, theirs in zip(bench.items(kept), bench.items(plain), strict=True):
        assert torch.equal(found[ours.position], logits[ours.position])
        assert ours.verdicts == theirs.verdicts
        assert ours.verdicts["intact"].confidence != ours.verdicts["blinded"].confidence


def test_beyond_the_bound_pictures_are_decoded(
    bench: Any, spec: StudySpec, draw: Callable[..., bytes], decodes: list[object]
) -> None:
    job, runner = _study(bench, spec, draw), bench.runner()
    runner._means.kept_maps.most_bytes = 5 * BYTES  # the first chunk's and the last picture
    runner.run()
    assert (bench.job(job).state, bench.job(job).failed) == ("done", 0)
    assert len(decodes) == 9 + 4


def test_a_worker_that_did_not_measure_decodes(
    bench: Any, spec: StudySpec, draw: Callable[..., bytes], decodes: list[object]
) -> None:
    job, first = _study(bench, spec, draw), bench.runner()
    first.claiming = lambda: first.claimed < 4  # three to measure, one to choose
    first.run()
    assert (bench.job(job).state, len(decodes)) == ("running", 9)
    bench.runner("worker-2").run()
    assert (bench.job(job).state, len(decodes)) == ("done", 18)
    assert first._means.kept_maps._file is not None
    first._means.kept_maps.idle_s = 0.0
    first._means.kept_maps._look()  # as happens by itself in a while
    assert first._means.kept_maps._file is None


def test_which_maps_two_passes_share(spec: StudySpec) -> None:
    network = load_network(spec.network)

    def layer(**fields: object) -> int | None:
        kind = kind_of(network, spec.model_copy(update=fields))
        return kind and kind.layer

    assert [layer(min_layer=first) for first in (0, 4, 5, 18, 19, 36)] == [None, None, 4, 9, 18, 27]
    assert layer(size="keep") is None
    assert layer(pre_relu=True) is None
    assert kind_of(network, spec) == Kind(network.sha256, 48, False, 18)
    assert kind_of(replace(network, device=torch.device("cuda")), spec) is None


def test_no_map_that_may_be_blinded_is_kept(
    bench: Any, spec: StudySpec, draw: Callable[..., bytes], decodes: list[object]
) -> None:
    job = bench.run(_study(bench, spec.model_copy(update={"min_layer": 0}), draw))
    assert (job.state, len(decodes)) == ("done", 18)


def test_a_full_store_has_the_room(
    bench: Any, spec: StudySpec, draw: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StorageFull("no room is left: free some.")

    monkeypatch.setattr("worker.studies.finish_measure", full)
    _study(bench, spec, draw)
    runner = bench.runner()
    with pytest.raises(StorageFull):
        runner.run()
    kept = runner._means.kept_maps
    assert kept._kind is not None, "some were kept"
    assert kept._file is None


def _written(kept: KeptMaps) -> KeptMaps:
    """Once all that is under way is on the disk."""
    for one in kept._kept.values():
        one.written.result(20)
    return kept


def test_once_each_and_nothing_in_the_folder(tmp_path: Path) -> None:
    kept = KeptMaps(tmp_path, SMALL)
    kept.put(KIND, PICTURES, MAPS.split(2))
    assert not list(tmp_path.iterdir()), "who is killed leaves nothing"
    found = _written(kept).take(KIND, PICTURES[1:])
    assert found is not None
    assert torch.equal(found, MAPS[1:])
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert kept.take(KIND, PICTURES[:2]) is None, "the second was taken"
    assert kept._file is None, "with the last picture the room is given back"


@pytest.mark.parametrize(
    "other",
    [
        KIND._replace(network_sha256="of others"),
        KIND._replace(size=64),
        KIND._replace(normalize=True),
        KIND._replace(layer=9),
    ],
)
def test_of_one_kind_at_a_time(tmp_path: Path, other: Kind) -> None:
    """Studies that take turns leave each other's maps alone; the first to be there stays."""
    kept = KeptMaps(tmp_path, SMALL)
    kept.put(KIND, PICTURES, [MAPS])
    kept.put(other, [("other", 0)], [MAPS[:1] + 1])
    assert kept.take(other, [("other", 0)]) is None
    assert _written(kept).take(KIND, PICTURES) is not None
    kept.put(other, [("other", 0)], [MAPS[:1] + 1])
    found = _written(kept).take(other, [("other", 0)])
    assert found is not None
    assert torch.equal(found, MAPS[:1] + 1)


def test_a_full_disk_is_no_failure(
    tmp_path: Path, no_room: Callable[..., AbstractContextManager[None]]
) -> None:
    kept = KeptMaps(tmp_path, SMALL)
    with no_room(BYTES + BYTES // 2):
        kept.put(KIND, PICTURES, [MAPS])
        assert _written(kept).take(KIND, PICTURES[1:2]) is None, "cut short"
        first = kept.take(KIND, PICTURES[:1])
    assert first is not None
    assert torch.equal(first, MAPS[:1])
    kept.put(KIND, PICTURES[:2], [MAPS[:2]])
    assert _written(kept).take(KIND, PICTURES[:1]) is not None
    with no_room(BYTES + BYTES // 2):  # in the second's place, which was taken first before
        kept.put(KIND, [("job", 3)], [MAPS[2:]])
        assert _written(kept).take(KIND, [("job", 3)]) is None
    nowhere = KeptMaps(tmp_path / "none", SMALL)
    nowhere.put(KIND, PICTURES, [MAPS])
    assert nowhere.take(KIND, PICTURES[:1]) is None


def test_no_more_of_the_disk_than_a_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = KeptMaps(tmp_path, SMALL)
    free = [4 * BYTES * len(MAPS) - 1]
    monkeypatch.setattr(
        "worker.kept_maps.shutil.disk_usage", lambda _: SimpleNamespace(free=free[0])
    )
    kept.put(KIND, PICTURES, [MAPS])
    assert not kept._kept
    free[0] += 1
    kept.put(KIND, PICTURES, [MAPS])
    assert len(kept._kept) == len(MAPS)


def test_all_of_a_batch_or_none(tmp_path: Path) -> None:
    kept = KeptMaps(tmp_path, 5 * BYTES)
    kept.put(KIND, PICTURES, [MAPS])
    kept.put(KIND, [("other", position) for position in range(3)], [MAPS])
    assert list(kept._kept) == PICTURES, "who came first stays"
    kept.put(KIND, [("other", 0)], [MAPS[:1]])
    assert _written(kept).take(KIND, [("other", 0)]) is not None


def test_who_has_not_been_asked_for_in_a_while_gives_way(tmp_path: Path) -> None:
    kept = KeptMaps(tmp_path, 3 * BYTES)
    kept.put(KIND, PICTURES, [MAPS])
    kept._touched["job"] -= 400
    kept.put(KIND, [("job", 3)], [MAPS[:1]])  # no room, but it is still at it
    kept._touched["job"] -= 400
    kept._look()
    assert list(kept._kept) == PICTURES
    kept._touched["job"] -= 400
    kept.put(KIND, [("other", 0)], [MAPS[:1]])
    assert list(kept._kept) == [("other", 0)]


def test_with_nobody_left_to_ask_the_room_is_given_back(tmp_path: Path) -> None:
    kept = KeptMaps(tmp_path, SMALL, idle_s=0.05)
    kept.put(KIND, PICTURES, [MAPS])
    _until(lambda: kept._file is None)
    assert kept._timer is None


def test_a_slow_disk_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    going_on, real = threading.Event(), KeptMaps._write

    def slow(*given: Any) -> bool:
        return going_on.wait(20) and real(*given)

    monkeypatch.setattr(KeptMaps, "_write", slow)
    monkeypatch.setattr("worker.kept_maps.MOST_WAITING", 2 * BYTES)
    kept = KeptMaps(tmp_path, SMALL)
    kept.put(KIND, PICTURES, [MAPS])  # one put may be more than is to wait
    kept.put(KIND, [("job", 3)], [MAPS[:1]])
    assert list(kept._kept) == PICTURES
    assert kept.take(KIND, PICTURES[:1]) is None, "not yet"
    going_on.set()
    found = _written(kept).take(KIND, PICTURES[1:])
    assert found is not None
    assert torch.equal(found, MAPS[1:])
    _until(lambda: kept._waiting == 0)


def _until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)

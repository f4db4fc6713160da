"""Pictures on their way to the device: what of them is in memory."""

import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import torch

from beholder.budget import Budget
from beholder.specs import DreamSpec, Spec, StudySpec
from worker.pictures import Batch, Failed, Loader, Wanted

pytestmark = pytest.mark.slow  # imports torch


@pytest.mark.parametrize("count", [1, 3])
def test_a_decoded_picture_is_in_memory_once(
    bench: Any, network: str, draw: Callable[..., bytes], count: int
) -> None:
    spec = DreamSpec(network=network, size="keep", layers=(5,), steps=1)
    sizes = [(48, 40)] * count + [(40, 48)]  # the second shape's are still to be batched
    entries = [bench.entry(draw(seed, size)) for seed, size in enumerate(sizes)]
    bench.submit(spec, entries, chunk_size=8)
    claim = bench.take()
    decoded: list[weakref.ref[torch.Tensor]] = []
    places: list[int] = []
    with ThreadPoolExecutor(2) as threads:
        loader = Loader(bench.store, threads, 10**6)
        load = loader._load

        def noting(*arguments: Any) -> Any:
            tensor = load(*arguments)
            decoded.append(weakref.ref(tensor))
            places.append(tensor.data_ptr())
            return tensor

        loader._load = noting  # type: ignore[method-assign]
        batches = loader.load(
            [Wanted(claim, item) for item in claim.items],
            spec,
            device=torch.device("cpu"),
            room=lambda height, width: 4,
        )
        batch = next(batches)
        assert isinstance(batch, Batch)
        assert len(batch.items) == count
        copied = count > 1  # the only one of its shape is the batch
        assert (batch.starts.data_ptr() in places) != copied
        bench.until(lambda: sum(ref() is not None for ref in decoded) == (1 if copied else 2))
        assert torch.equal(batch.starts, torch.stack([load(one, spec) for one in batch.items]))
        assert [len(more.items) for more in batches if isinstance(more, Batch)] == [1]


def _load(bench: Any, spec: Spec, pictures: list[bytes]) -> list[Batch | Failed]:
    bench.submit(spec, [bench.entry(picture) for picture in pictures], chunk_size=8)
    claim = bench.take()
    with ThreadPoolExecutor(4) as threads:
        loader = Loader(bench.store, threads, 10**7)
        wanted = [Wanted(claim, item) for item in claim.items]
        cpu = torch.device("cpu")
        return list(loader.load(wanted, spec, device=cpu, room=lambda height, width: 4))


def test_a_decoded_picture_counts_until_it_is_a_tensor(
    bench: Any, spec: DreamSpec, draw: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    from worker.pictures import to_tensor

    lock, made = threading.Lock(), list[torch.Tensor]()

    def noting(*arguments: Any, **options: Any) -> torch.Tensor:
        assert lock.acquire(blocking=False), "two at a time"
        try:
            time.sleep(0.02)
            made.append(to_tensor(*arguments, **options))
            return made[-1]
        finally:
            lock.release()

    monkeypatch.setattr("worker.pictures.to_tensor", noting)
    monkeypatch.setattr("beholder.pictures.DECODING", Budget(40 * 48))
    _load(bench, spec, [draw(seed, (48, 40)) for seed in range(4)])
    assert len(made) == 4


def test_a_picture_too_large_for_the_steps_kept_fails_alone(
    bench: Any, spec: DreamSpec, draw: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("beholder.dream_spec.MAX_KEPT_PIXELS", 3 * 48 * 40)
    keeping = spec.model_copy(update={"size": "keep", "steps": 3, "snapshots": (1, 2)})
    large, small = _load(bench, keeping, [draw(1, (64, 40)), draw(2, (48, 40))])
    assert isinstance(large, Failed)
    assert "3 steps of 64 x 40 pixels are too much" in large.failure.reason
    assert isinstance(small, Batch)


def test_a_picture_too_large_to_measure_whole_fails_alone(
    bench: Any, network: str, draw: Callable[..., bytes]
) -> None:
    spec = StudySpec(network=network, size="keep")
    large, small = _load(bench, spec, [draw(1, (4097, 1024)), draw(2, (48, 40))])
    assert isinstance(large, Failed)
    assert "whole maps, of 2048 x 2048 pixels at most; got 4097 x 1024" in large.failure.reason
    assert isinstance(small, Batch)


def test_a_lack_of_memory_fails_no_picture(
    bench: Any, spec: DreamSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = bench.submit_small(spec, 2)

    def none_left(*_: Any, **__: Any) -> Any:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("PIL.ImageFile.ImageFile.load", none_left)
        with pytest.raises(MemoryError):
            bench.runner().run()
    assert bench.states(jobs) == ["queued", "queued"]
    bench.runner().run()
    assert [(bench.job(job).done, bench.job(job).failed) for job in jobs] == [(1, 0), (1, 0)]


def test_rows_that_the_device_has_no_room_to_copy_stay_with_the_host(
    bench: Any, spec: DreamSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.submit_small(spec, 1)
    claim = bench.take()
    items = [replace(claim.items[0], position=position) for position in range(3)]
    starts = torch.rand(3, 3, 8, 8)
    batch = Batch(tuple(Wanted(claim, item) for item in items), starts, starts)

    class Full:
        def __getitem__(self, rows: object) -> torch.Tensor:
            raise torch.OutOfMemoryError

    with monkeypatch.context() as patch:
        patch.setattr(Batch, "wait", lambda self: Full())
        some = batch.at([0, 2])
    assert [wanted.item.position for wanted in some.items] == [0, 2]
    assert torch.equal(some.wait(), starts[[0, 2]])

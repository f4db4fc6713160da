"""Memory that other programs hold: nobody fails for it, and nothing is remembered of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.cuda._utils import _get_device_index

from beholder.errors import MemoryTaken
from beholder.science.dream import dream
from beholder.specs import DreamSpec
from worker import memory
from worker.memory import HOST, free_bytes, lacking, numbered, share_of_others

pytestmark = pytest.mark.slow  # imports torch
GPU = torch.device("cuda", 0)


@pytest.fixture
def neighbour(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """While the last share in it is not 0, not even a single picture fits beside it."""
    held = [0.95]

    def scarce(network: Any, pictures: torch.Tensor, **options: Any) -> Any:
        if held[-1]:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return dream(network, pictures, **options)

    monkeypatch.setattr("worker.climbs.dream", scarce)
    return held


def test_a_neighbour_on_the_device_fails_no_item(
    bench: Any, spec: DreamSpec, draw: Callable[..., bytes], neighbour: list[float]
) -> None:
    job = bench.submit(spec, [bench.entry(draw(seed)) for seed in range(4)])
    runner = bench.runner()
    runner._means.rooms.others = lambda *_: neighbour[-1]
    for _ in range(4):  # more often than an item may be tried
        with pytest.raises(MemoryTaken, match="95%"):
            runner.run()
    assert (bench.chunk(job).state, bench.chunk(job).attempts) == ("queued", 0)
    neighbour.append(0.0)
    assert runner.run() == 1
    assert (bench.job(job).done, bench.job(job).failed) == (4, 0)
    assert not bench.settings.batch_sizes.exists()


def test_a_network_for_which_others_leave_no_room_is_waited_for(
    bench: Any, spec: DreamSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job,) = bench.submit_small(spec, 1)
    runner = bench.runner()
    runner._means.rooms.others = lambda *_: 0.95

    def no_room(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with monkeypatch.context() as patch:
        patch.setattr("worker.loaded.load_network", no_room)
        for _ in range(4):
            with pytest.raises(MemoryTaken):
                runner.run()
    assert runner.run() == 1
    assert bench.job(job).done == 1


@pytest.mark.parametrize(
    ("error", "place"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), GPU),
        (RuntimeError("CUDA error: out of memory"), GPU),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), GPU),
        (MemoryError(), HOST),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), None),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), None),
    ],
)
def test_which_memory_was_missing(error: Exception, place: torch.device | None) -> None:
    assert lacking(error, GPU) == place


def test_torch_says_that_the_host_has_none() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50)
    assert lacking(caught.value, GPU) == HOST


def test_on_a_gpu_all_that_is_not_torchs_own_is_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (20, 100))
    monkeypatch.setattr("torch.cuda.memory_reserved", lambda device: 50)
    assert share_of_others(GPU) == 0.3


@pytest.mark.parametrize(
    ("reserved", "free", "left", "theirs"),
    [
        (10, 90, 30 + 5, 0.0),  # alone: the rest of its share, and what torch has cached
        (10, 50, 30 + 5, 0.0),  # others keep to theirs
        (10, 20, 20 + 5, 0.25),  # others have a quarter of its share
        (40, 0, 5, 0.0),  # it has all that it may
    ],
)
def test_a_worker_keeps_to_its_share_of_a_gpu(
    monkeypatch: pytest.MonkeyPatch, reserved: int, free: int, left: int, theirs: float
) -> None:
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (free, 100))
    monkeypatch.setattr("torch.cuda.memory_reserved", lambda device: reserved)
    monkeypatch.setattr("torch.cuda.memory_allocated", lambda device: reserved - 5)
    assert free_bytes(GPU, 0.4) == left
    assert share_of_others(GPU, 0.4) == pytest.approx(theirs)


def test_a_host_that_promises_no_more_than_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = memory._kilobytes(Path("/proc/self/status"))["VmData"]
    assert mine > 1000
    files = {
        "overcommit_memory": "2\n",
        "meminfo": f"CommitLimit: {4 * mine} kB\nCommitted_AS: {3 * mine} kB\nHugePages_Total: 0\n",
        "status": f"Name:\tpython\nVmData:\t{mine} kB\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(memory, "Path", lambda path: tmp_path / path.rpartition("/")[2])
    assert share_of_others(HOST) == 0.5
    (tmp_path / "overcommit_memory").write_text("0\n")
    assert share_of_others(HOST) == 0


def test_a_share_is_of_a_gpu_with_an_index() -> None:
    """What `torch.cuda.set_per_process_memory_fraction` asks of a device, where there is none."""
    with pytest.raises(ValueError, match="index"):
        _get_device_index(torch.device("cuda"))
    found = [_get_device_index(numbered(torch.device(name))) for name in ("cuda", "cuda:1")]
    assert found == [0, 1]

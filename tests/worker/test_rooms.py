"""How many pictures make a batch, on devices that are only said to be there."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from beholder.errors import MemoryTaken
from worker.rooms import (
    CPU_MOST_A_CORE,
    CPU_PIXELS_A_CORE,
    GPU_MOST,
    GPU_PIXELS,
    HOST_BYTES,
    MOST_SHAPES,
    Rooms,
    Shape,
)

pytestmark = pytest.mark.slow  # imports torch

SHAPE = Shape("specimens", "dream", 20, 224, 224)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "batch-sizes.json"


def cpu(path: Path) -> Rooms:
    return Rooms(torch.device("cpu"), path)


def sized(side: int) -> Shape:
    return Shape("specimens", "dream", 20, side, side)


def test_larger_pictures_share_with_fewer(path: Path) -> None:
    rooms = cpu(path)
    found = [rooms.room(sized(side)) for side in (32, 64, 224, 448, 8192)]
    assert found == sorted(found, reverse=True)
    assert found[0] == CPU_MOST_A_CORE * torch.get_num_threads()
    assert found[2] == CPU_PIXELS_A_CORE * torch.get_num_threads() // 224**2
    assert found[-1] == 1


def test_what_did_not_fit_is_never_tried_again_by_anyone(path: Path) -> None:
    mine, yours = cpu(path), cpu(path)
    before = mine.room(sized(64))
    mine.too_many(sized(64), before)
    assert mine.room(sized(64)) == before // 2
    yours.too_many(sized(32), 6)
    assert (yours.room(sized(64)), yours.room(sized(32))) == (before // 2, 3)
    later = cpu(path)
    assert (later.room(sized(64)), later.room(sized(32))) == (before // 2, 3)
    later.too_many(sized(64), 1)
    assert later.room(sized(64)) == 1
    assert later.room(sized(48)) > 3  # another size is another matter


@pytest.mark.parametrize("content", ["", "[1]", '{"cpu/x": "many"}', '{"cpu/x": -1}'])
def test_a_file_of_something_else_is_passed_over(path: Path, content: str) -> None:
    path.parent.mkdir()
    path.write_text(content)
    assert cpu(path).room(SHAPE) >= 1
    cpu(path).too_many(SHAPE, 4)
    assert json.loads(path.read_text()) == {SHAPE.key("cpu"): 2}


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    rooms = cpu(tmp_path / "file" / "batch-sizes.json")
    rooms.too_many(SHAPE, 4)
    assert rooms.room(SHAPE) == 2


@pytest.fixture
def gpu(path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Rooms]:
    """A GPU that this machine may not have: its figures, as torch would give them."""

    def install(**figures: int) -> Rooms:
        monkeypatch.setattr("torch.cuda.reset_peak_memory_stats", lambda device: None)
        monkeypatch.setattr("torch.cuda.memory_allocated", lambda device: 100)
        monkeypatch.setattr("torch.cuda.max_memory_allocated", lambda device: 100 + figures["peak"])
        monkeypatch.setattr("torch.cuda.get_device_name", lambda device: "H100")
        return Rooms(
            torch.device("cuda", 0),
            path,
            free=lambda *_: figures["free"],
            others=lambda *_: figures.get("others", 0) / 100,
        )

    return install


def test_a_gpus_room_is_what_its_free_memory_holds(gpu: Callable[..., Rooms]) -> None:
    rooms = gpu(peak=4 * 1000, free=20_000)
    assert rooms.room(SHAPE) == GPU_PIXELS // SHAPE.pixels  # until it has been measured
    many = replace(SHAPE, kept=250)  # snapshots, which wait in the host's memory
    assert rooms.room(many) == HOST_BYTES // (many.pixels * 3 * 4 * 250)
    with rooms.watched(SHAPE, 4):
        pass
    assert rooms.room(SHAPE) == 17  # 85% of 20,000 bytes, 1,000 each
    with pytest.raises(torch.OutOfMemoryError), rooms.watched(SHAPE, 17):
        raise torch.OutOfMemoryError
    rooms.too_many(SHAPE, 17)
    assert rooms.room(SHAPE) == 8


def test_nothing_is_learned_of_batches_that_pass_each_other(gpu: Callable[..., Rooms]) -> None:
    rooms, other = gpu(peak=4 * 1000, free=20_000), sized(64)
    before = rooms.room(SHAPE), rooms.room(other)
    with rooms.watched(SHAPE, 1), rooms.watched(other, 64):
        pass
    assert (rooms.room(SHAPE), rooms.room(other)) == before
    with rooms.watched(SHAPE, 4):
        pass
    assert rooms.room(SHAPE) == 17


def crowded(path: Path, share: list[float]) -> Rooms:
    """Others hold the last share of the memory that is in the list."""
    return Rooms(torch.device("cpu"), path, others=lambda *_: share[-1])


def run(rooms: Rooms, shape: Shape, pictures: int) -> None:
    with rooms.watched(shape, pictures):
        pass


def test_what_others_left_no_room_for_is_forgotten_when_they_let_go(path: Path) -> None:
    share = [0.0]
    rooms = crowded(path, share)
    before = rooms.room(SHAPE)
    share.append(0.9)
    rooms.too_many(SHAPE, 2)
    assert rooms.room(SHAPE) == 1
    run(rooms, SHAPE, 1)
    assert rooms.room(SHAPE) == 1
    assert not path.exists()
    share.append(0.0)
    run(rooms, SHAPE, 1)
    assert rooms.room(SHAPE) == before
    rooms.too_many(SHAPE, 2)
    assert json.loads(path.read_text()) == {SHAPE.key("cpu"): 1}


def test_a_picture_is_too_large_only_where_nobody_else_has_the_memory(path: Path) -> None:
    share = [0.9]
    rooms = crowded(path, share)
    with pytest.raises(MemoryTaken, match="other programs hold 90% of the memory: end some"):
        rooms.too_many(SHAPE, 1)
    assert rooms.taken(torch.device("cpu"))
    assert not path.exists()
    share.append(0.01)
    assert rooms.taken(torch.device("cpu")) is None
    rooms.too_many(SHAPE, 1)
    assert rooms.room(SHAPE) == 1


def test_a_picture_like_one_that_fitted_is_tried_once_more(path: Path) -> None:
    rooms = crowded(path, [0.0])
    run(rooms, SHAPE, 2)
    with pytest.raises(MemoryTaken, match="fitted before"):
        rooms.too_many(SHAPE, 1)
    rooms.too_many(SHAPE, 1)


def test_a_room_is_said_without_asking_the_gpu(
    gpu: Callable[..., Rooms], monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = gpu()

    def seconds(device: torch.device) -> str:
        raise AssertionError("CUDA starts here, while the claim's transaction is open")

    monkeypatch.setattr("torch.cuda.get_device_name", seconds)
    assert rooms.room(SHAPE) == GPU_PIXELS // SHAPE.pixels


def test_the_memory_of_shapes_that_were_long_ago_is_forgotten(gpu: Callable[..., Rooms]) -> None:
    rooms = gpu(peak=10_000, free=10_000)

    old, kept = sized(30), sized(31)
    for shape in (old, kept, *(replace(SHAPE, width=width) for width in range(MOST_SHAPES - 2))):
        run(rooms, shape, 1)
    run(rooms, kept, 1)
    assert (rooms.room(old), rooms.room(kept)) == (1, 1)
    run(rooms, sized(32), 1)
    assert (rooms.room(old), rooms.room(kept)) == (GPU_MOST, 1)

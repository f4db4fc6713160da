"""Long dreams are kept as they go, and go on from there under whoever claims them next."""

import hashlib
import json
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from beholder.jobs.claim import ClaimedItem
from beholder.science.checkpoint import Checkpoint
from beholder.science.networks import load_network
from beholder.specs import DreamSpec
from beholder.specs import spec_of as spec_of_job
from beholder.store import checkpoint_folder, checkpoint_path
from worker.checkpoint_file import dream_key, pack, unpack

pytestmark = pytest.mark.slow  # imports torch

STEPS = 24
Draw = Callable[..., bytes]


def spec_of(network: str, **fields: Any) -> DreamSpec:
    given = {"size": 48, "layers": (20,), "steps": STEPS, "snapshots": (5, 20), **fields}
    return DreamSpec.build(network=network, **given)


def results(bench: Any, job_id: str) -> list[Any]:
    """What a job came to, and the bytes of its files."""
    return [
        (
            item.position,
            item.state,
            item.result["objective"],
            [(file.step, file.sha256) for file in item.files],
        )
        for item in bench.items(job_id)
    ]


def checkpoints(bench: Any, job_id: str) -> list[str]:
    return sorted(one.name for one in bench.store.list(checkpoint_folder(job_id)))


def key_of(bench: Any, job_id: str, position: int) -> str:
    """What names the dream of one of a job's items."""
    spec = spec_of_job("dream", bench.job(job_id).spec)
    item = bench.items(job_id)[position]
    start = item.picture_sha256, item.seed, item.role, item.layer, item.source
    return dream_key(spec, ClaimedItem(position, *start), load_network(spec.network))


def step_kept(bench: Any, job_id: str, position: int) -> int:
    data = bench.store.get(checkpoint_path(job_id, position))
    return int(unpack(data, key_of(bench, job_id, position)).checkpoint.step)


@pytest.fixture
def slow_steps(bench: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], list[int]]:
    """Let each step take 10 ms; the worker is asked to stop, or dies, at one of them."""
    from worker.climbs import Calls, Climb

    real = Climb.run
    bench.settings = bench.settings.model_copy(update={"checkpoint_s": 0.05})

    def until(last: int | None) -> list[int]:
        seen: list[int] = []

        def run(climb: Climb, starts: Any, seeds: Any, calls: Calls, **options: Any) -> Any:
            def step(number: int, take: Any) -> None:
                seen.append(number)
                time.sleep(0.01)
                if number == last:
                    raise KeyboardInterrupt  # nothing in the worker expects it
                calls.on_checkpoint(number, take)

            return real(climb, starts, seeds, Calls(calls.on_step, step), **options)

        monkeypatch.setattr(Climb, "run", run)
        return seen

    return until


def die(bench: Any, until: Any, last: int) -> list[int]:
    """Run until a step at which the worker is gone; the steps that it made."""
    seen: list[int] = until(last)
    with pytest.raises(KeyboardInterrupt):
        bench.runner("dead").run()
    return seen


WAYS: dict[str, dict[str, Any]] = {
    "auto": {},
    "bf16": {"precision": "bf16"},
    "exact": {"precision": "exact"},
    "deepdream": {"recipe": "deepdream", "optimiser": "adam", "seed": 5, "size": 64},
    "feature": {"recipe": "feature", "channels": (1,), "noise": 0, "size": 48},
    "caricature": {"recipe": "caricature", "size": 48, "schedule": "linear"},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_dead_workers_dreams_go_on(
    bench: Any, network: str, draw: Draw, slow_steps: Any, way: str
) -> None:
    spec = spec_of(network, **WAYS[way])
    entries = [bench.entry(draw(seed)) for seed in range(3)]
    slow_steps(None)
    whole = results(bench, bench.run(bench.submit(spec, entries)).id)
    job_id = bench.submit(spec, entries)
    die(bench, slow_steps, 18)
    assert checkpoints(bench, job_id) == ["0000000", "0000001", "0000002"]
    kept = min(step_kept(bench, job_id, position) for position in range(3))
    assert 0 < kept <= 18
    seen = slow_steps(None)
    bench.give_up_for_dead()
    assert bench.run(job_id).done == 3
    assert min(seen) == kept + 1, "steps that had been kept ran again"
    assert results(bench, job_id) == whole
    assert checkpoints(bench, job_id) == []


def test_a_worker_that_is_asked_to_stop_keeps_what_it_has(
    bench: Any, network: str, draw: Draw, slow_steps: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.checkpoints.STOPPING_S", 0.1)
    entries = [bench.entry(draw(seed)) for seed in range(2)]
    slow_steps(None)
    whole = results(bench, bench.run(bench.submit(spec_of(network), entries)).id)
    job_id = bench.submit(spec_of(network), entries)
    # Not by the clock: only because it stops.
    bench.settings = bench.settings.model_copy(update={"checkpoint_s": 60})
    seen = slow_steps(None)

    class Stopping:
        def is_set(self) -> bool:
            return len(seen) >= 15

    bench.stopping, before = Stopping(), bench.stopping
    assert bench.runner().run() == 0
    bench.stopping = before
    assert bench.chunk(job_id).attempts == 0
    assert len(checkpoints(bench, job_id)) == 2
    seen = slow_steps(None)
    assert bench.run(job_id).done == 2
    assert min(seen) == 16
    assert results(bench, job_id) == whole


def test_a_short_dream_is_not_kept(
    bench: Any, network: str, draw: Draw, slow_steps: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.settings = bench.settings.model_copy(update={"checkpoint_s": 60})
    slow_steps(None)
    written: list[str] = []
    put = type(bench.store).put
    monkeypatch.setattr(
        type(bench.store),
        "put",
        lambda store, path, *given, **how: (written.append(path), put(store, path, *given, **how)),
    )
    job_id = bench.submit(spec_of(network), [bench.entry(draw(1))])
    assert bench.run(job_id).done == 1
    assert written
    assert not [path for path in written if path.startswith("checkpoints")]


def test_what_cannot_be_used_is_passed_over(
    bench: Any, network: str, draw: Draw, slow_steps: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    entries = [bench.entry(draw(seed)) for seed in range(3)]
    slow_steps(None)
    whole = results(bench, bench.run(bench.submit(spec_of(network), entries)).id)
    job_id = bench.submit(spec_of(network), entries)
    die(bench, slow_steps, 18)
    bench.give_up_for_dead()
    cut, foreign, other = (checkpoint_path(job_id, position) for position in range(3))
    data = bench.store.get(other)
    bench.store.put(foreign, data)
    bench.store.put(cut, data[:-100])
    key = key_of(bench, job_id, 2)
    bench.store.put(other, pack(unpack(data, key).checkpoint, key, "bf16"))
    seen = slow_steps(None)
    assert bench.run(job_id).done == 3
    assert seen.count(1) == 1
    assert seen.count(STEPS) == 1
    assert results(bench, job_id) == whole
    for reason in ("damaged", "of another dream", "its checkpoint is in bf16"):
        assert reason in caplog.text


def test_a_full_store_stops_no_dream(
    bench: Any, network: str, draw: Draw, slow_steps: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    real = type(bench.store)._write

    def write(store: Any, path: str, data: bytes, **how: bool) -> None:
        if path.startswith("checkpoints"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(store, path, data, **how)

    monkeypatch.setattr(type(bench.store), "_write", write)
    slow_steps(None)
    assert bench.run(bench.submit(spec_of(network), [bench.entry(draw(1))])).done == 1


def test_a_checkpoint_survives_its_file() -> None:
    picture = torch.rand(2, 3, 8, 6, dtype=torch.float64).contiguous(
        memory_format=torch.channels_last
    )
    curve = torch.rand(4, 2, dtype=torch.float64)
    whole = Checkpoint(4, picture, {2: picture / 2, 4: picture}, curve)
    back = unpack(b"".join(pack(whole.row(1), "key", "float64")), "key")
    assert (back.checkpoint.step, back.precision) == (4, "float64")
    assert torch.equal(back.checkpoint.pictures, picture[1:])
    assert torch.equal(back.checkpoint.objective, curve[:, 1:])
    assert torch.equal(back.checkpoint.snapshots[2], picture[1:] / 2)
    assert sorted(back.checkpoint.snapshots) == [2, 4]


def test_a_checkpoint_is_written_without_a_copy_of_the_picture(bench: Any) -> None:
    picture = torch.rand(1, 3, 1000, 1000)
    whole = Checkpoint(1, picture, {1: picture}, torch.rand(1, 1))
    parts = pack(whole.row(0), "key", "float32")
    places = [torch.frombuffer(part, dtype=torch.uint8).data_ptr() for part in parts[2:]]
    assert places.count(picture.data_ptr()) == 2
    tracemalloc.start()
    try:
        bench.store.put("checkpoints/job/0000000", parts)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < picture.nbytes / 4
    back = unpack(bench.store.get("checkpoints/job/0000000"), "key").checkpoint
    assert torch.equal(back.pictures, picture)
    assert Checkpoint.together([back]).pictures.data_ptr() == back.pictures.data_ptr()


@pytest.mark.parametrize(
    "change",
    [
        {"tensors": [["picture", "F32", [1, 3, 1000, 8]]]},
        {"tensors": [["picture", "F32", [-1]]]},
        {"tensors": [["picture", "I8", [1]]]},
        {"tensors": 7},
        {"step": "many"},
    ],
)
def test_a_checkpoint_that_says_what_it_has_not_is_refused(change: dict[str, Any]) -> None:
    whole = Checkpoint(1, torch.rand(1, 3, 8, 8), {}, torch.rand(1, 1))
    _, about, *tensors = pack(whole, "key", "float32")
    body = json.dumps({**json.loads(about), **change}).encode() + b"\n" + b"".join(tensors)
    head = b"beholder checkpoint 1 " + hashlib.sha256(body).hexdigest().encode() + b"\n"
    with pytest.raises(ValueError, match="it can't be read"):
        unpack(head + body, "key")


@pytest.mark.parametrize("field", ["steps", "learning_rate", "pre_relu", "size", "channels"])
def test_dreams_that_differ_have_other_keys(network: str, field: str) -> None:
    item = ClaimedItem(0, "a" * 64, None, None, 20, "a.png")
    loaded = load_network(network)
    spec = spec_of(network)
    other = {"steps": 41, "learning_rate": 0.5, "pre_relu": True, "size": 64, "channels": [1]}
    changed = spec_of(network, **{field: other[field]})
    assert dream_key(changed, item, loaded) != dream_key(spec, item, loaded)
    assert dream_key(spec, replace(item, layer=12), loaded) != dream_key(spec, item, loaded)
    assert dream_key(spec, replace(item, position=7), loaded) == dream_key(spec, item, loaded)

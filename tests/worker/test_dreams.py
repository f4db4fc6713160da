import hashlib
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from beholder.errors import StorageFull
from beholder.jobs.control import cancel
from beholder.pictures import decode
from beholder.science.dream import dream
from beholder.science.inputs import noise, to_image, to_tensor
from beholder.science.networks import load_network
from beholder.specs import DreamSpec

pytestmark = pytest.mark.slow  # imports torch


def test_a_dream_is_what_science_dreams(
    bench: Any, network: str, draw: Callable[..., bytes]
) -> None:
    spec = DreamSpec(network=network, size=48, layers=(5, 12), steps=4, snapshots=(2,), noise=1)
    data = [draw(1), draw(2)]
    entries = [bench.entry(one, f"{index}.png") for index, one in enumerate(data)]
    from beholder.jobs.submit import noise_entries

    job = bench.run(bench.submit(spec, [*entries, *noise_entries(spec)]))
    assert (job.state, job.done, job.failed, job.total) == ("done", 6, 0, 6)
    loaded = load_network(network)
    assert job.network_sha256 == loaded.sha256
    starts = [to_tensor(decode(one), size=48) for one in data] + [noise(0, size=48)]
    for item in bench.items(job.id):
        alone = dream(
            loaded, starts[item.position % 3][None], layer=item.layer, steps=4, snapshots=(2,)
        )
        assert [file.step for file in item.files] == [2, 4]
        for file in item.files:
            written = bench.store.get(file.path)
            assert hashlib.sha256(written).hexdigest() == file.sha256
            expected = to_image(alone.snapshots[file.step][0])
            assert (file.width, file.height) == expected.size
            assert _furthest(decode(written), expected) == 0
        start = item.result.get("start")
        assert (start is None) == (item.seed is None or item.layer != spec.layers[0])
        if start:
            noisy = decode(bench.store.get(start))
            assert _furthest(noisy, to_image(noise(0, size=48))) == 0
        assert item.result["objective"] == alone.objective[:, 0].tolist()
        assert item.result["precision"] == "float32"  # what "auto" is on a CPU


@pytest.mark.parametrize("precision", ["bf16", "exact"])
def test_a_precision_that_was_asked_for(
    bench: Any, network: str, draw: Callable[..., bytes], precision: Any
) -> None:
    spec = DreamSpec(network=network, size=48, layers=(20,), steps=6, precision=precision)
    job = bench.run(bench.submit(spec, [bench.entry(draw(1))]))
    (item,) = bench.items(job.id)
    start = to_tensor(decode(draw(1)), size=48)[None]
    alone = dream(load_network(network), start, layer=20, steps=6, precision=precision)
    assert item.result["precision"] == precision
    assert item.result["objective"] == alone.objective[:, 0].tolist()


def _furthest(one: Image.Image, other: Image.Image) -> int:
    def pixels(image: Image.Image) -> torch.Tensor:
        return (to_tensor(image, size="keep") * 255).round()

    return int((pixels(one) - pixels(other)).abs().max())


def test_pictures_of_several_shapes_share_a_chunk(
    bench: Any, network: str, draw: Callable[..., bytes]
) -> None:
    spec = DreamSpec(network=network, size="keep", layers=(5,), steps=1)
    sizes = [(48, 40), (40, 48), (48, 40), (64, 33)]
    entries = [bench.entry(draw(index, size)) for index, size in enumerate(sizes)]
    job = bench.run(bench.submit(spec, entries))
    assert job.done == 4
    assert [(i.files[0].width, i.files[0].height) for i in bench.items(job.id)] == sizes


def test_a_cancelled_job_stops_between_steps(
    bench: Any, network: str, draw: Callable[..., bytes], during: Callable[..., list[int]]
) -> None:
    bench.settings = bench.settings.model_copy(update={"lease_s": 0.4})
    spec = DreamSpec(network=network, size=48, layers=(5,), steps=100_000)
    job_id = bench.submit(spec, [bench.entry(draw(1))])
    begun = during(lambda: cancel(bench.db, job_id))
    bench.runner().run()
    assert begun == [1]
    assert bench.job(job_id).state == "cancelled"
    assert bench.results() == []


def test_a_stopping_worker_gives_its_chunk_back(
    bench: Any, network: str, draw: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = DreamSpec(network=network, size=48, layers=(5,), steps=2)
    job_id = bench.submit(spec, [bench.entry(draw(1))])
    steps = 0

    def stop_at_first(network: Any, pictures: torch.Tensor, **options: Any) -> Any:
        nonlocal steps
        steps += 1
        bench.stopping.set()
        return dream(network, pictures, **options)

    with monkeypatch.context() as patch:
        patch.setattr("worker.climbs.dream", stop_at_first)
        assert bench.runner().run() == 0
        assert bench.runner().run() == 0
    assert steps == 1
    assert (bench.chunk(job_id).state, bench.chunk(job_id).attempts) == ("queued", 0)
    bench.stopping.clear()
    assert bench.run(job_id).state == "done"


def test_a_chunk_that_another_holds_is_left_alone(
    bench: Any, network: str, draw: Callable[..., bytes]
) -> None:
    spec = DreamSpec(network=network, size=48, layers=(5,), steps=1)
    bench.submit(spec, [bench.entry(draw(1))])
    bench.take()
    assert bench.runner().run() == 0
    assert bench.results() == []


def test_a_stale_writer_leaves_no_file(
    bench: Any, network: str, draw: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    from beholder.jobs.claims import claim_next

    spec = DreamSpec(network=network, size=48, layers=(5,), steps=1)
    job_id = bench.submit(spec, [bench.entry(draw(1))])

    def overtaken(network: Any, pictures: torch.Tensor, **options: Any) -> Any:
        bench.give_up_for_dead()
        assert len(claim_next(bench.db, worker="other", lease_s=1)) == 1
        return dream(network, pictures, **options)

    with monkeypatch.context() as patch:
        patch.setattr("worker.climbs.dream", overtaken)
        assert bench.runner().run() == 0
    assert bench.results() == []
    assert bench.items(job_id)[0].state == "running"
    assert bench.chunk(job_id).worker == "other"


def test_a_full_store_gives_the_chunk_back_and_leaves_nothing(
    bench: Any, network: str, draw: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno
    import os

    spec = DreamSpec(network=network, size=48, layers=(5,), steps=1)
    job_id = bench.submit(spec, [bench.entry(draw(seed)) for seed in range(8)])
    left, flush = [5], os.fsync

    def room_for_five(file: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        flush(file)

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", room_for_five)
        with pytest.raises(StorageFull, match="free some space"):
            bench.run(job_id)
    job = bench.job(job_id)
    assert (job.state, job.queued, job.failed) == ("queued", 8, 0)
    assert bench.chunk(job_id).attempts == 0
    assert bench.results() == []
    assert bench.run(job_id).done == 8
    assert len(bench.results()) == 8


def test_an_outage_costs_no_attempt(
    bench: Any, network: str, draw: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    from beholder.errors import ServiceUnavailable

    spec = DreamSpec(network=network, size=48, layers=(5,), steps=1)
    job_id = bench.submit(spec, [bench.entry(draw(1))])

    def silent(*_: Any) -> bytes:
        raise ServiceUnavailable("the store does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr("beholder.store.Store.get", silent)
        for _ in range(5):
            with pytest.raises(ServiceUnavailable):
                bench.runner().run()
    assert (bench.chunk(job_id).state, bench.chunk(job_id).attempts) == ("queued", 0)
    assert bench.run(job_id).state == "done"


def test_a_dead_workers_files_are_cleared_by_the_next(
    bench: Any, network: str, draw: Callable[..., bytes]
) -> None:
    from beholder.store import result_folder

    spec = DreamSpec(network=network, size=48, layers=(5,), steps=1)
    job_id = bench.submit(spec, [bench.entry(draw(1))])
    taken = bench.take()
    bench.store.put(f"{result_folder(job_id, taken.token)}/half.png", b"written before it died")
    bench.give_up_for_dead()
    bench.runner().run()
    assert bench.job(job_id).done == 1
    assert [path.name for path in bench.results()] == ["0000000-00001.png"]


def test_a_silent_layer_is_said(bench: Any, network: str, draw: Callable[..., bytes]) -> None:
    from beholder.jobs.queries import silent_dreams

    # A layer as black pictures leave it: biases alone would make it answer.
    state = load_file(network)
    for name in state:
        if name.endswith("bias"):
            state[name] = torch.zeros_like(state[name])
    mute = str(bench.settings.home / "mute.safetensors")
    save_file(state, mute, metadata={"avgpool": "1"})
    buffer = io.BytesIO()
    Image.new("RGB", (48, 48)).save(buffer, "PNG")
    entries = [bench.entry(buffer.getvalue(), "black.png"), bench.entry(draw(1))]
    job = bench.run(bench.submit(DreamSpec(network=mute, size=48, layers=(5,), steps=2), entries))
    silent, loud = bench.items(job.id)
    assert (silent.state, silent.silent, silent.result["objective"]) == ("done", True, [0.0, 0.0])
    assert not loud.silent
    assert silent_dreams(bench.db, job.id) == 1


def test_a_dead_gradient_is_said(bench: Any, network: str, draw: Callable[..., bytes]) -> None:
    state = load_file(network)
    state["features.5.weight"].zero_()
    state["features.5.bias"].fill_(0.5)  # it answers, always the same
    dead = str(bench.settings.home / "dead.safetensors")
    save_file(state, dead, metadata={"avgpool": "1"})
    spec = DreamSpec(network=dead, size=48, layers=(5,), steps=3, noise=1)
    from beholder.jobs.submit import noise_entries

    job = bench.run(bench.submit(spec, [bench.entry(draw(1)), *noise_entries(spec)]))
    for item in bench.items(job.id):
        assert (item.state, item.silent) == ("done", True)
        assert len(set(item.result["objective"])) == 1
        assert item.result["objective"][0] > 0

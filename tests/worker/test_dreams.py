import hashlib
import io
import math
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


def test_a_precision_that_the_device_lacks_fails_the_job(
    bench: Any, network: str, draw: Callable[..., bytes]
) -> None:
    spec = DreamSpec(network=network, size=48, steps=1, precision="tf32")
    job = bench.run(bench.submit(spec, [bench.entry(draw(1))]))
    assert job.state == "failed"
    assert "tf32 needs a CUDA GPU" in job.error


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


def test_what_cannot_be_decoded_fails_alone(
    bench: Any, network: str, draw: Callable[..., bytes]
) -> None:
    spec = DreamSpec(network=network, size=48, layers=(5,), steps=1)
    good = draw(1)
    entries = [
        bench.entry(good, "good.png"),
        bench.entry(good[: len(good) // 2], "cut.png"),
        bench.entry(b"no picture", "text.png"),
    ]
    job = bench.run(bench.submit(spec, entries))
    assert (job.state, job.done, job.failed) == ("done", 1, 2)
    good_item, cut, text = bench.items(job.id)
    assert (good_item.state, good_item.error) == ("done", None)
    assert "damaged or cut short" in cut.error
    assert "not a picture" in text.error
    assert len(bench.results()) == 1


def test_too_small_to_keep_its_size(bench: Any, network: str, draw: Callable[..., bytes]) -> None:
    spec = DreamSpec(network=network, size="keep", layers=(5,), steps=1)
    job = bench.run(bench.submit(spec, [bench.entry(draw(1, (20, 48)))]))
    assert job.state == "failed"
    assert "20 x 48 pixels is too small" in bench.items(job.id)[0].error


def test_a_missing_network_fails_the_job_and_retry_runs_it(
    bench: Any, network: str, draw: Callable[..., bytes], tmp_path: Any
) -> None:
    from beholder.jobs.control import retry

    path = tmp_path / "later.safetensors"
    spec = DreamSpec(network=str(path), size=48, layers=(5,), steps=1)
    job = bench.run(bench.submit(spec, [bench.entry(draw(1))]))
    assert job.state == "failed"
    assert str(path) in job.error
    path.write_bytes(open(network, "rb").read())  # noqa: SIM115
    retry(bench.db, job.id)
    assert bench.run(job.id).state == "done"


def test_a_device_that_is_not_there_fails_the_job(
    bench: Any, network: str, draw: Callable[..., bytes]
) -> None:
    bench.settings = bench.settings.model_copy(update={"device": "warp"})
    spec = DreamSpec(network=network, size=48, layers=(5,), steps=1)
    job = bench.run(bench.submit(spec, [bench.entry(draw(1))]))
    assert job.state == "failed"
    assert "no device 'warp': write auto" in job.error


def test_a_channel_that_only_the_file_knows_to_be_missing(
    bench: Any, network: str, draw: Callable[..., bytes]
) -> None:
    spec = DreamSpec(network=network, size=48, layers=(5,), channels=(300,), steps=1)
    job = bench.run(bench.submit(spec, [bench.entry(draw(1))]))
    assert job.state == "failed"
    assert "conv2_1 has channels 0-5 in" in job.error
    assert "got 300" in job.error


def test_an_overflow_is_said(bench: Any, network: str, draw: Callable[..., bytes]) -> None:
    spec = DreamSpec(network=network, size=48, layers=(5,), steps=2, noise=0)
    from beholder.science import networks

    loaded = load_network(network)
    with torch.no_grad():
        loaded.module.features[0].weight.fill_(math.inf)
    runner = bench.runner()
    runner.loaded.network = networks.Network(
        network, loaded.sha256, loaded.labels, loaded.module, loaded.device
    )
    job_id = bench.submit(spec, [bench.entry(draw(1))])
    runner.run()
    assert "overflowed" in bench.items(job_id)[0].error
    assert bench.results() == []


def test_out_of_memory_halves_the_batch(
    bench: Any, network: str, draw: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def scarce(network: Any, pictures: torch.Tensor, **options: Any) -> Any:
        tried.append(len(pictures))
        if len(pictures) > 1:
            raise torch.OutOfMemoryError
        return dream(network, pictures, **options)

    monkeypatch.setattr("worker.dreams.dream", scarce)
    spec = DreamSpec(network=network, size=48, layers=(5,), steps=1)
    job = bench.run(bench.submit(spec, [bench.entry(draw(n)) for n in range(4)]))
    assert (job.state, job.done) == ("done", 4)
    assert tried == [4, 2, 1, 1, 1, 1]  # what did not fit once is not tried again


def test_a_cancelled_job_stops_between_steps(
    bench: Any, network: str, draw: Callable[..., bytes]
) -> None:
    bench.settings = bench.settings.model_copy(update={"lease_s": 0.4})
    spec = DreamSpec(network=network, size=48, layers=(5,), steps=100_000)
    job_id = bench.submit(spec, [bench.entry(draw(1))])
    import threading

    threading.Timer(0.5, cancel, (bench.db, job_id)).start()
    bench.runner().run()
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
        patch.setattr("worker.dreams.dream", stop_at_first)
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
        patch.setattr("worker.dreams.dream", overtaken)
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
        patch.setattr("beholder.store.Store.picture", silent)
        for _ in range(5):
            with pytest.raises(ServiceUnavailable):
                bench.runner().run()
    assert (bench.chunk(job_id).state, bench.chunk(job_id).attempts) == ("queued", 0)
    assert bench.run(job_id).state == "done"


def test_what_nobody_foresaw_is_tried_again_and_then_told(
    bench: Any, network: str, draw: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = DreamSpec(network=network, size=48, layers=(5,), steps=1)
    job_id = bench.submit(spec, [bench.entry(draw(1))])

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("cuDNN error:\nEXECUTION_FAILED")

    monkeypatch.setattr("worker.dreams.dream", broken)
    for _ in range(3):
        with pytest.raises(RuntimeError):
            bench.runner().run()
    (item,) = bench.items(job_id)
    assert item.state == "failed"
    assert item.error.startswith("RuntimeError: cuDNN error: EXECUTION_FAILED")


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

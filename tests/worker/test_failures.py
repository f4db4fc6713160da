"""Dreams that come to nothing: who fails, and what its user is told."""

import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from beholder.errors import InvalidSpec, NetworkUnavailable
from beholder.jobs.models import Job
from beholder.science.dream import dream
from beholder.science.networks import Network, load_network
from beholder.specs import DreamSpec
from worker.loaded import Loaded

pytestmark = pytest.mark.slow  # imports torch


def test_a_precision_that_the_device_lacks_fails_the_job(
    bench: Any, network: str, draw: Callable[..., bytes]
) -> None:
    spec = DreamSpec(network=network, size=48, steps=1, precision="tf32")
    job = bench.run(bench.submit(spec, [bench.entry(draw(1))]))
    assert job.state == "failed"
    assert "tf32 needs a CUDA GPU" in job.error


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


def test_with_a_device_that_is_not_there_no_worker_starts(bench: Any) -> None:
    bench.settings = bench.settings.model_copy(update={"device": "cuda:99"})
    with pytest.raises(InvalidSpec, match="this machine has no cuda:99: write auto or cpu"):
        bench.runner()
    where = {"BEHOLDER_HOME": str(bench.settings.home), "BEHOLDER_DEVICE": "cuda:99"}
    command = [sys.executable, "-m", "worker"]
    ended = subprocess.run(command, env={**os.environ, **where}, capture_output=True, timeout=120)
    assert ended.returncode == 1
    assert ended.stderr == b"worker: this machine has no cuda:99: write auto or cpu.\n"


def test_what_only_this_worker_lacks_leaves_the_job_to_others(
    bench: Any, network: str, draw: Callable[..., bytes], tmp_path: Path
) -> None:
    path = tmp_path / "elsewhere.safetensors"
    shutil.copy(network, path)
    spec = DreamSpec(network=str(path), size=48, layers=(5,), steps=1)
    job = bench.submit(spec, [bench.entry(draw(seed)) for seed in range(2)], chunk_size=1)
    with bench.db.write() as session:
        session.get_one(Job, job).network_sha256 = load_network(network).sha256
    path.unlink()
    other = bench.submit(
        DreamSpec(network=network, size=48, layers=(5,), steps=1), [bench.entry(draw(3))]
    )
    runner = bench.runner()
    assert runner.run() == 1
    assert bench.states([job, other]) == ["queued", "done"]
    assert f"leaves job {job} to others" in runner.passed_over.reason
    assert str(path) in runner.passed_over.reason
    shutil.copy(network, path)
    assert bench.runner("worker-2").run() == 2


def test_a_precision_that_only_this_worker_lacks_leaves_the_job_to_others(
    bench: Any, network: str, draw: Callable[..., bytes]
) -> None:
    spec = DreamSpec(network=network, size=48, steps=1, precision="tf32")
    job = bench.submit(spec, [bench.entry(draw(1))])
    with bench.db.write() as session:
        session.get_one(Job, job).network_sha256 = load_network(network).sha256
    runner = bench.runner()
    assert runner.run() == 0
    assert bench.job(job).state == "queued"
    assert bench.chunk(job).attempts == 0
    assert "tf32 needs a CUDA GPU" in runner.passed_over.reason


def lack(_: Network) -> Network:
    raise NetworkUnavailable("vgg19 can't be downloaded.")


@pytest.mark.parametrize(
    ("precision", "noted", "lend", "reason"),
    [
        ("float32", "0" * 64, lambda network: network, "give every worker the same file"),
        ("float32", "0" * 64, lack, "can't be downloaded"),
        ("tf32", None, lambda network: network, "tf32 needs a CUDA GPU"),
    ],
    ids=["other weights", "no weights", "precision"],
)
def test_what_another_began_since_the_claim_is_left_to_it(
    bench: Any,
    network: str,
    draw: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
    noted: str | None,
    lend: Callable[[Network], Network],
    reason: str,
) -> None:
    spec = DreamSpec.build(network=network, size=48, layers=(5,), steps=1, precision=precision)
    job, real = bench.submit(spec, [bench.entry(draw(1))]), Loaded.lend

    def begun_meanwhile(loaded: Loaded, *asked: Any) -> Network:
        with bench.db.write() as session:
            session.get_one(Job, job).network_sha256 = noted or load_network(network).sha256
        return lend(real(loaded, *asked))

    monkeypatch.setattr(Loaded, "lend", begun_meanwhile)
    runner = bench.runner()
    assert runner.run() == 0
    assert bench.states([job]) == ["queued"]
    assert bench.chunk(job).attempts == 0
    assert reason in runner.passed_over.reason


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


def test_what_nobody_foresaw_is_tried_again_and_then_told(
    bench: Any, network: str, draw: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = DreamSpec(network=network, size=48, layers=(5,), steps=1)
    job_id = bench.submit(spec, [bench.entry(draw(1))])

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("cuDNN error:\nEXECUTION_FAILED")

    monkeypatch.setattr("worker.climbs.dream", broken)
    for _ in range(3):
        with pytest.raises(RuntimeError):
            bench.runner().run()
    (item,) = bench.items(job_id)
    assert item.state == "failed"
    assert item.error.startswith("RuntimeError: cuDNN error: EXECUTION_FAILED")


def gpu_full() -> None:
    raise torch.OutOfMemoryError


def memory_full() -> None:
    torch.empty(2**50)


@pytest.mark.parametrize("run_out", [gpu_full, memory_full])
def test_out_of_memory_halves_the_batch(
    bench: Any,
    network: str,
    draw: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
    run_out: Callable[[], None],
) -> None:
    tried: list[int] = []

    def scarce(network: Any, pictures: torch.Tensor, **options: Any) -> Any:
        tried.append(len(pictures))
        if len(pictures) > 1:
            run_out()
        return dream(network, pictures, **options)

    monkeypatch.setattr("worker.climbs.dream", scarce)
    spec = DreamSpec(network=network, size=48, layers=(5,), steps=1)
    job = bench.run(bench.submit(spec, [bench.entry(draw(n)) for n in range(4)]))
    assert (job.state, job.done) == ("done", 4)
    assert tried == [4, 2, 1, 1, 1, 1]  # what did not fit once is not tried again


def test_a_picture_that_does_not_fit_fails_alone(
    bench: Any, network: str, draw: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def scarce(network: Any, pictures: torch.Tensor, **options: Any) -> Any:
        if pictures.shape[2:].numel() > 48 * 48:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB.")
        return dream(network, pictures, **options)

    monkeypatch.setattr("worker.climbs.dream", scarce)
    spec = DreamSpec(network=network, size="keep", layers=(5,), steps=1)
    sizes = [(48, 40), (64, 80), (40, 48)]
    entries = [bench.entry(draw(index, size)) for index, size in enumerate(sizes)]
    job = bench.run(bench.submit(spec, entries))
    assert (job.state, job.done, job.failed) == ("done", 2, 1)
    error = bench.items(job.id)[1].error
    assert error == "64 x 80 pixels do not fit into the device's memory: use a smaller --size."

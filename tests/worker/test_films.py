"""Films: every frame starts from the dream before it, whoever makes it, and whatever goes wrong."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from beholder.jobs.control import retry
from beholder.jobs.frames import Frames
from beholder.jobs.models import Chunk
from beholder.jobs.submit import noise_entries
from beholder.pictures import decode
from beholder.provenance import read_provenance
from beholder.science.dream import dream
from beholder.science.frames import zoomed
from beholder.science.inputs import noise, to_tensor
from beholder.science.networks import load_network
from beholder.specs import DreamSpec

pytestmark = pytest.mark.slow  # imports torch

Draw = Callable[..., bytes]


@pytest.fixture
def zoom(network: str) -> DreamSpec:
    return DreamSpec(network=network, size=48, layers=(5, 12), steps=2, zoom=1.25, frames=3)


@pytest.fixture
def film(network: str) -> DreamSpec:
    return DreamSpec(network=network, size=48, layers=(5,), steps=2, carry=0.4)


def last(bench: Any, job_id: str) -> list[bytes]:
    """Each item's last file, by position."""
    return [bench.store.get(item.files[-1].path) for item in bench.items(job_id)]


def pixels(data: bytes) -> torch.Tensor:
    return (to_tensor(decode(data), size="keep") * 255).round()


def dreamt(network: str, start: torch.Tensor, layer: int) -> torch.Tensor:
    alone = dream(load_network(network), start[None], layer=layer, steps=2)
    return (alone.pictures[0] * 255).round()


def test_each_frame_of_a_zoom_starts_from_the_one_before(
    bench: Any, network: str, zoom: DreamSpec, draw: Draw
) -> None:
    spec = zoom.model_copy(update={"noise": 1})
    entries = [bench.entry(draw(1), "1.png"), bench.entry(draw(2), "2.png"), *noise_entries(spec)]
    job = bench.run(bench.submit(spec, entries))
    assert (job.state, job.done, job.total) == ("done", 18, 18)
    frames, files, items = Frames.of(job), last(bench, job.id), bench.items(job.id)
    assert frames is not None
    assert [item.source for item in items[:6]] == ["1.png", "2.png", "noise-0"] * 2
    assert list(frames.film(13)) == [10, 13, 16]
    starts = [to_tensor(decode(draw(1)), size=48), to_tensor(decode(draw(2)), size=48)]
    starts.append(noise(0, size=48))
    for item in items:
        before, says = frames.before(item.position), read_provenance(files[item.position])
        if before is None:
            start = starts[item.position % 3]
        else:
            start = to_tensor(zoomed(decode(files[before]), 1.25), size="keep")
            assert says.before_sha256 == items[before].files[-1].sha256
        assert torch.equal(pixels(files[item.position]), dreamt(network, start, item.layer))
        assert says.frame == frames.number(item.position)
        assert ("start" in item.result) == (item.position == 2)


def test_a_spectrum_too_starts_from_the_frame_before(bench: Any, network: str) -> None:
    spec = DreamSpec.build(
        recipe="feature", network=network, layers=(5,), size=48, steps=1, learning_rate=1e-6,
        zoom=1.25, frames=2,
    )  # fmt: skip
    job = bench.run(bench.submit(spec, noise_entries(spec)))
    first, second = last(bench, job.id)
    start = to_tensor(zoomed(decode(first), 1.25), size="keep")
    assert (pixels(second) / 255 - start).abs().max() < 0.02
    assert ["start" in item.result for item in bench.items(job.id)] == [True, False]


def test_a_film_carries_the_dream_before_into_the_next(
    bench: Any, network: str, film: DreamSpec, draw: Draw
) -> None:
    job = bench.run(bench.submit(film, [bench.entry(draw(seed)) for seed in range(3)]))
    assert job.done == 3
    files = last(bench, job.id)
    start = to_tensor(decode(draw(0)), size=48)
    for position, data in enumerate(files):
        if position:
            own = to_tensor(decode(draw(position)), size=48)
            start = own + 0.4 * (to_tensor(decode(files[position - 1]), size="keep") - own)
        assert (pixels(data) - dreamt(network, start, 5)).abs().max() <= 1


def test_a_film_goes_on_at_the_frame_where_its_worker_stopped(
    bench: Any, zoom: DreamSpec, draw: Draw, during: Callable[..., list[int]]
) -> None:
    spec = zoom.model_copy(update={"layers": (5,)})
    whole = bench.run(bench.submit(spec, [bench.entry(draw(1))]))
    job = bench.submit(spec, [bench.entry(draw(1))])
    begun = during(lambda: None, lambda: None, bench.stopping.set)
    bench.runner().run()
    assert begun == [1, 1, 1]
    assert (bench.job(job).done, bench.job(job).queued) == (2, 1)
    bench.stopping.clear()
    assert bench.run(job).done == 3
    assert last(bench, job) == last(bench, whole.id)


def test_a_frame_that_is_made_again_comes_before_those_that_follow(
    bench: Any, film: DreamSpec, draw: Draw, during: Callable[..., list[int]]
) -> None:
    from beholder.upkeep.mend import mend, mendable
    from beholder.upkeep.verify import verify

    entries = [bench.entry(draw(seed)) for seed in range(3)]
    whole = bench.run(bench.submit(film, entries))
    job = bench.submit(film, entries)
    during(lambda: None, bench.stopping.set)
    bench.runner().run()
    bench.stopping.clear()
    assert (bench.job(job).done, bench.job(job).queued) == (1, 2)
    bench.store.put(bench.items(job)[0].files[-1].path, b"rot")
    assert list(mend(bench.db, bench.store, mendable(verify(bench.db, bench.store))))
    assert bench.run(job).done == 3
    assert last(bench, job) == last(bench, whole.id)


def test_what_follows_a_failed_frame(
    bench: Any, zoom: DreamSpec, film: DreamSpec, draw: Draw
) -> None:
    from beholder.jobs.finish import finish_dreams
    from beholder.jobs.outcomes import ItemFailure
    from beholder.jobs.weights import record_network

    pictures = [bench.entry(draw(seed)) for seed in range(3)]
    job = bench.submit(zoom.model_copy(update={"layers": (5,)}), pictures[:1])
    carried = bench.submit(film, pictures)
    for _ in range(2):
        taken = bench.take()
        record_network(bench.db, [taken], "tiny", load_network(film.network).sha256)
        finish_dreams(bench.db, [(taken, [ItemFailure(0, "the gradient overflowed.")])])
    bench.run(job)
    errors = [item.error for item in bench.items(job)]
    assert errors == [
        "the gradient overflowed.",
        *["the frame before it failed: there is nothing to zoom into."] * 2,
    ]
    assert (bench.job(job).state, bench.job(carried).done) == ("failed", 2)
    second = read_provenance(bench.store.get(bench.items(carried)[1].files[0].path))
    assert (second.frame, second.before_sha256) == (1, None)  # it begins anew

    assert retry(bench.db, job).chunks == 1
    assert bench.run(job).done == 3


def test_frames_of_other_sizes_say_so(bench: Any, film: DreamSpec, draw: Draw) -> None:
    spec = film.model_copy(update={"size": "keep"})
    entries = [bench.entry(draw(1, size)) for size in ((48, 40), (40, 48), (40, 48))]
    job = bench.run(bench.submit(spec, entries))
    assert [item.state for item in bench.items(job.id)] == ["done", "failed", "done"]
    assert bench.items(job.id)[1].error == (
        "40 x 48 pixels after a frame of 48 x 40: a film's frames have one size; give one as "
        "--size."
    )


def test_one_wave_at_a_time(bench: Any, zoom: DreamSpec, draw: Draw) -> None:
    from sqlalchemy import func, select

    from beholder.upkeep.rows import check_rows

    job = bench.submit(zoom, [bench.entry(draw(1)), bench.entry(draw(2))])
    with bench.db.read() as session:
        assert session.scalar(select(func.count()).where(Chunk.job_id == job)) == 2
        assert list(check_rows(session, job)) == []
    bench.run(job)
    with bench.db.read() as session:
        assert session.scalar(select(func.count()).where(Chunk.job_id == job)) == 6

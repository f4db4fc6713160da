"""Recipes on their way through a worker, which stores what the science makes of each picture."""

from collections.abc import Callable
from typing import Any

import pytest

from beholder.errors import InvalidSpec
from beholder.jobs.models import Job
from beholder.jobs.named import named_by_jobs
from beholder.jobs.stock import record_pictures
from beholder.jobs.submit import noise_entries
from beholder.objective import parse_objective
from beholder.pictures import decode
from beholder.science.controls import Controls, resized
from beholder.science.feature import feature
from beholder.science.inputs import to_tensor
from beholder.science.networks import load_network
from beholder.science.objective import Aim
from beholder.science.octaves import dream_octaves
from beholder.science.optimisers import Adam
from beholder.science.response import channel
from beholder.specs import DreamSpec
from beholder.store import picture_path

pytestmark = pytest.mark.slow  # imports torch
Draw = Callable[..., bytes]


def sent(bench: Any, data: bytes) -> str:
    """A picture that specs may name; its hash."""
    entry = bench.entry(data)
    record_pictures(bench.db, [entry.picture])
    return str(entry.picture.sha256)


def objectives(bench: Any, job_id: str) -> list[list[float]]:
    return [item.result["objective"] for item in bench.items(job_id)]


def test_a_deepdream_with_everything_is_what_science_dreams(
    bench: Any, network: str, draw: Draw
) -> None:
    mask, guide, data = draw(7), draw(8), [draw(1), draw(2)]
    spec = DreamSpec.build(
        recipe="deepdream",
        network=network,
        size=48,
        objective="guide(conv3_1) + conv2_1:1*0.5",
        steps=6,
        octaves=2,
        jitter=5,
        optimiser="adam",
        schedule="linear",
        keep_colour=True,
        blend=0.1,
        seed=11,
        mask=sent(bench, mask),
        guide=sent(bench, guide),
    )
    job = bench.run(bench.submit(spec, [bench.entry(one) for one in data]))
    assert (job.state, job.done) == ("done", 2)
    black, toward, *starts = (to_tensor(decode(one), size=48) for one in (mask, guide, *data))
    alone = dream_octaves(
        Aim.of(
            load_network(network),
            parse_objective("guide(conv3_1) + squared(conv2_1:1)*0.5"),
            normalize=True,
        ),
        starts[1][None],
        seeds=[11],
        steps=6,
        learning_rate=0.02,
        controls=Controls(2, 1.4, 5, "scaled", 1.0, "linear", True, 0.1),
        optimiser=Adam,
        mask=black.mean(dim=0)[None, None],
        guide=toward[None],
    )
    assert objectives(bench, job.id)[1] == alone.objective[:, 0].tolist()
    stored = to_tensor(decode(bench.store.get(bench.items(job.id)[1].files[-1].path)), size="keep")
    assert (stored - alone.pictures[0]).abs().max() <= 0.5 / 255 + 1e-6
    with bench.db.read() as session:
        assert set(named_by_jobs(session)) == {spec.mask, spec.guide}


def test_feature_pictures_start_from_noise_and_from_pictures(
    bench: Any, network: str, draw: Draw
) -> None:
    spec = DreamSpec.build(
        recipe="feature", network=network, size=48, layers=(10,), channels=(1,), steps=3, seed=4
    )
    entries = [bench.entry(draw(1)), *noise_entries(spec)]
    job = bench.run(bench.submit(spec, entries))
    start = to_tensor(decode(draw(1)), size=48)[None]
    settings = {"layer": 10, "steps": 3, "seeds": [4], "size": 48, "normalize": True}
    for found, starts in zip(objectives(bench, job.id), (start, None), strict=True):
        alone = feature(load_network(network), channel(1), starts=starts, **settings)
        assert found == pytest.approx(alone.objective[:, 0].tolist(), rel=1e-5)
    picture, noise = bench.items(job.id)
    assert "start" in noise.result
    assert "start" not in picture.result


def test_jobs_of_several_seeds_share_a_batch(
    bench: Any, network: str, draw: Draw, during: Any
) -> None:
    fields = {"recipe": "deepdream", "network": network, "size": 48, "layers": (5,), "steps": 4}
    specs = [DreamSpec.build(**fields, jitter=3, seed=seed) for seed in (1, 2)]
    entry = bench.entry(draw(1))
    alone = [objectives(bench, bench.run(bench.submit(spec, [entry])).id) for spec in specs]
    jobs = [bench.submit(spec, [entry]) for spec in specs]
    sizes = during()
    bench.runner().run()
    assert sizes == [2]
    assert [objectives(bench, job) for job in jobs] == alone
    assert alone[0] != alone[1]


@pytest.mark.parametrize(
    "fields",
    [{"recipe": "feature"}, {"recipe": "maco", "measure": "norm"}],
    ids=["feature", "maco"],
)
def test_an_atlas_shares_batches_and_each_channel_is_as_it_is_alone(
    bench: Any, network: str, during: Any, fields: dict[str, Any]
) -> None:
    fields = {**fields, "network": network, "size": 48, "layers": (5,), "steps": 3}
    specs = [DreamSpec.build(**fields, channels=one) for one in ((1,), (4,), (2, 3))]

    def queued(spec: DreamSpec) -> str:
        return str(bench.submit(spec, list(noise_entries(spec))))

    def became(job: str) -> list[Any]:
        return [(item.result["objective"], item.files[-1].sha256) for item in bench.items(job)]

    alone = [became(bench.run(queued(spec)).id) for spec in specs]
    jobs = [queued(spec) for spec in specs]
    lacking = queued(DreamSpec.build(**fields, channels=(1000,)))
    sizes = during()
    bench.runner().run()
    assert sizes == [3]
    assert [became(job) for job in jobs] == alone
    assert len({str(one) for one in alone}) == 3
    assert bench.job(lacking).state == "failed"
    assert "1000" in bench.job(lacking).error


def test_what_a_job_names_must_be_here(bench: Any, network: str, draw: Draw) -> None:
    spec = DreamSpec.build(network=network, size=48, mask="0" * 64)
    with pytest.raises(InvalidSpec, match=r"mask: no picture 000000000000\.\.\. here; send it"):
        bench.submit(spec, [bench.entry(draw(1))])


def test_a_picture_too_small_for_the_objective_fails_alone(
    bench: Any, network: str, draw: Draw
) -> None:
    for objective, words in {
        "conv5_1:3@3,4": "conv5_1 has rows 0-3 and columns 0-3 of 64 x 64 pixels; got 3,4",
        "diversity(pool5)": "takes 64 pixels a side; the smallest octave has 53 x 53",
    }.items():
        fields = {"steps": 2, "octaves": 2, "octave_scale": 1.2, "objective": objective}
        spec = DreamSpec.build(network=network, size="keep", **fields)
        entries = [bench.entry(draw(number, (side, side))) for number, side in ((1, 80), (2, 64))]
        job = bench.run(bench.submit(spec, entries, chunk_size=1))
        assert (job.state, job.done, job.failed) == ("done", 1, 1)
        large, small = bench.items(job.id)
        assert large.state == "done"
        assert words in small.error


def test_a_guide_of_its_own_size_is_no_larger_than_pictures_may_be(
    bench: Any, network: str, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("beholder.dream_spec.MAX_GUIDED_PLACES", 24 * 20)
    guide, start = draw(8, (150, 90)), draw(1)
    spec = DreamSpec.build(
        network=network, size="keep", objective="guide(conv2_1)", steps=2, guide=sent(bench, guide)
    )
    job = bench.run(bench.submit(spec, [bench.entry(start)]))
    toward = resized(to_tensor(decode(guide), size="keep")[None], (33, 56))
    alone = dream_octaves(
        Aim.of(load_network(network), parse_objective(spec.objective or "")),
        to_tensor(decode(start), size="keep")[None],
        seeds=[0],
        steps=2,
        learning_rate=spec.learning_rate,
        guide=toward,
    )
    assert objectives(bench, job.id) == [alone.objective[:, 0].tolist()]


def test_a_guide_that_is_gone_ends_the_job_that_others_began(
    bench: Any, network: str, draw: Draw
) -> None:
    guide = sent(bench, draw(8))
    spec = DreamSpec.build(recipe="guide", network=network, size=48, layers=(5,), guide=guide)
    job = bench.submit(spec, [bench.entry(draw(1))])
    with bench.db.write() as session:
        session.get_one(Job, job).network_sha256 = load_network(network).sha256
    path = bench.store.local_path(picture_path(guide))
    path.write_bytes(path.read_bytes()[:40])
    runner = bench.runner()
    runner.run()
    assert bench.job(job).state == "failed"
    assert bench.job(job).error.startswith("guide: ")
    assert runner.passed_over.reason is None


def test_a_class_that_a_network_lacks_ends_the_job(bench: Any, network: str, draw: Draw) -> None:
    spec = DreamSpec.build(network=network, size=48, objective='logit:"no such thing"')
    job = bench.run(bench.submit(spec, [bench.entry(draw(1))]))
    assert job.state == "failed"
    assert "objective: no class 'no such thing' of this network" in job.error

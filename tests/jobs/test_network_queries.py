"""Studies by network, a channel's own dream, and a few cells of a job, on both databases."""

import pytest

from beholder.jobs.cell_queries import cells
from beholder.jobs.channel_dreams import dream_job, dreams_of
from beholder.jobs.control import cancel
from beholder.jobs.network_queries import measured_studies
from beholder.jobs.queries import get_job
from beholder.jobs.submit import create_job, noise_entries
from beholder.jobs.weights import record_network
from beholder.specs import DreamSpec


def _dream(desk, **fields):
    spec = DreamSpec.build(network="random:0", noise=1, **fields)
    return create_job(desk.database, spec, noise_entries(spec)).id


def _found(desk, *, finished, channel=17, layer=30, network="random:0"):
    found = dream_job(
        desk.database, network=network, layer=layer, channel=channel, finished=finished
    )
    return found and found.id


@pytest.mark.slow
def test_a_channels_dream_is_of_that_channel_alone(desk):
    for fields in (
        {"layers": (30,)},
        {"layers": (30,), "channels": (17, 18)},
        {"layers": (30, 31), "channels": (17,)},
        {"layers": (29,), "channels": (17,)},
        {"layers": (30,), "channels": (1,)},
    ):
        desk.run(_dream(desk, **fields))
    assert _found(desk, finished=True) is None
    wanted = _dream(desk, layers=(30,), channels=(17,))
    assert (_found(desk, finished=False), _found(desk, finished=True)) == (wanted, None)
    desk.run(wanted)
    assert (_found(desk, finished=False), _found(desk, finished=True)) == (None, wanted)
    assert _found(desk, finished=True, network="random:1") is None
    cancel(desk.database, _dream(desk, layers=(30,), channels=(17,)))
    assert (_found(desk, finished=False), _found(desk, finished=True)) == (None, wanted)


@pytest.mark.slow
def test_a_channels_dream_may_have_been_asked_for_as_an_objective(desk):
    for text in ("conv5_2:17,18", "conv5_2:17@3,3", "conv5_2:17 - tv*0.1", "conv5_1:17", "-30:17"):
        desk.run(_dream(desk, objective=text))
    desk.run(_dream(desk, objective="conv5_2:17", pre_relu=True))
    assert _found(desk, finished=True) is None
    for text in ("conv5_2:17", "mean(relu5_2:17)", "30:17"):
        wanted = _dream(desk, objective=text)
        desk.run(wanted)
        assert _found(desk, finished=True) == _found(desk, finished=True, layer=31) == wanted
        assert _found(desk, finished=True, channel=1) is None
        found = dreams_of(desk.database, "random:0", [(30, 17), (30, 18)])
        assert list(found) == [(30, 17)]


@pytest.mark.slow
def test_studies_are_found_by_name_and_by_hash(desk):
    first, second = desk.study(1, 0), desk.study(1, 0)
    assert measured_studies(desk.database) == []
    for study in (first, second):
        held = desk.claim_next(study.id)
        record_network(desk.database, [held], "random:0", "ab" * 32)
        desk.finish(held)
        desk.run(study.id)
    for network in (None, "random:0", "ab" * 8):
        found = measured_studies(desk.database, network=network)
        assert [study.id for study in found] == [second.id, first.id]
    for network in ("vgg19", "abab", "cd" * 8):
        assert measured_studies(desk.database, network=network) == []


def test_cells_come_with_the_result_of_their_step(desk):
    job = desk.dream(3)
    before = get_job(desk.database, job.id)
    assert [cell.state for cell in cells(desk.database, before, [0, 2, 99])] == ["queued"] * 2
    desk.run(job.id)
    after = get_job(desk.database, job.id)
    steps = after.spec["steps"]
    assert all(cell.file_sha256 for cell in cells(desk.database, after, range(3), step=steps))
    assert not any(cell.file_sha256 for cell in cells(desk.database, after, range(3), step=7))


def test_cells_of_a_cancelled_job_are_cancelled(desk):
    job = desk.dream(2)
    cancel(desk.database, job.id)
    found = cells(desk.database, get_job(desk.database, job.id), [0, 1])
    assert [cell.state for cell in found] == ["cancelled"] * 2

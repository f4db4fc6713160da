"""Dreams of the channels that a study found: which, in what order, each once."""

import pytest

from beholder.errors import Conflict, InvalidInput
from beholder.jobs.channel_dreams import dreams_of, newest_dreams
from beholder.jobs.channel_models import ChannelEffect
from beholder.jobs.features import (
    channel_spec,
    queue_channels,
    queue_features,
    study_channels,
)
from beholder.jobs.finish import finish_choose
from beholder.jobs.outcomes import ChannelRow
from beholder.jobs.queries import get_job, items
from beholder.jobs.submit import create_job, noise_entries
from beholder.specs import DreamSpec

CHOSEN = [(20, 1), (29, 7), (29, 9)]


def from_noise(desk, *, pictures=0, noise=1, **fields):
    """A job of dreams of pictures and, after them, from noise; its id."""
    spec = DreamSpec.build(**{"network": "random:0", "recipe": "feature", "noise": noise, **fields})
    entries = [*map(desk.entry, range(pictures)), *noise_entries(spec)]
    return create_job(desk.database, spec, entries).id


def row(layer, channel, count, mean, *, chosen=True):
    return ChannelRow(layer, channel, count, 0, mean, 0.5, mean, 2.0, 0.5, 3.0, chosen=chosen)


@pytest.fixture
def study(desk):
    """A study that chose three ReLU channels, a convolution's, and a pool's."""
    job = desk.study(3, 2).id
    desk.finish(desk.claim_next(job))
    rows = [
        row(20, 1, 2, 30.0), row(29, 7, 3, 5.0), row(29, 9, 3, 8.0), row(28, 7, 3, 5.0),
        row(36, 7, 3, 5.0), row(31, 4, 3, 9.0, chosen=False),
    ]  # fmt: skip
    finish_choose(desk.database, desk.claim_next(job), rows, target_pictures=3, control_pictures=2)
    return get_job(desk.database, job)


def test_the_most_common_come_first_then_those_that_part_the_classes(desk, study):
    assert study_channels(desk.database, study) == [(29, 9), (29, 7), (20, 1)]


def test_a_sound_study_ranks_them_itself(desk, study):
    with desk.database.write() as session:
        for rank, (layer, channel) in enumerate(CHOSEN):
            session.add(ChannelEffect(job_id=study.id, layer=layer, channel=channel, rank=rank))
    assert study_channels(desk.database, study) == CHOSEN


def test_a_job_of_low_priority_is_queued_for_each(desk, study):
    made = queue_features(desk.database, study, limit=2, steps=5)
    assert list(made.queued) == [(29, 9), (29, 7)]
    assert (made.there, made.left) == ((), 1)
    job = get_job(desk.database, made.queued[29, 9])
    assert (job.name, job.priority, job.total) == (f"{study.id} relu5_1/9", "low", 1)
    assert {key: job.spec[key] for key in ("network", "layers", "channels", "steps", "noise")} == {
        "network": "random:0", "layers": [29], "channels": [9], "steps": 5, "noise": 1,
    }  # fmt: skip


@pytest.mark.slow
def test_what_is_dreamt_or_queued_is_not_queued_again(desk, study):
    first = queue_features(desk.database, study, limit=1)
    desk.run(first.queued[29, 9])
    from_noise(desk, layers=(28,), channels=(7,))
    from_noise(desk, layers=(20,), channels=(1, 2))  # another objective
    from_noise(desk, layers=(20,), channels=(1,), recipe="article")
    desk.dream(1, recipe="feature", noise=0, layers=(20,), channels=(1,))  # a picture's
    again = queue_features(desk.database, study, limit=9)
    assert list(again.queued) == [(20, 1)]
    assert set(again.there) == {(29, 9), (29, 7)}
    articles = queue_features(desk.database, study, limit=9, recipe="article")
    assert set(articles.queued) == {(29, 9), (29, 7)}


@pytest.mark.slow
def test_what_is_there_is_by_the_same_measure_and_way_whatever_its_length(desk):
    places = [(29, channel) for channel in range(8)]
    others = ({"measure": "norm"}, {"zoom": 1.1, "frames": 2}, {"parameters": "phase"},
              {"transforms": "none"})  # fmt: skip
    for channel, fields in enumerate(others):
        desk.run(from_noise(desk, layers=(29,), channels=(channel,), **fields))
    desk.run(from_noise(desk, objective="mean(relu5_1:4)", measure="norm"))
    desk.run(from_noise(desk, objective="norm(relu5_1:5)"))
    desk.run(from_noise(desk, layers=(29,), channels=(6,), steps=9, size=64, seed=3))
    desk.run(from_noise(desk, layers=(29,), channels=(7,)))
    spec = channel_spec("random:0", "feature")
    assert set(newest_dreams(desk.database, "random:0", places, "feature")) == {
        (29, 4), (29, 6), (29, 7),
    }  # fmt: skip
    made = queue_channels(desk.database, places, spec, name="")
    assert set(made.there) == {(29, 4), (29, 6), (29, 7)}
    assert set(made.queued) == {(29, channel) for channel in (0, 1, 2, 3, 5)}
    assert made.other == 1


@pytest.mark.slow
def test_an_atlas_shows_the_first_dream_from_noise_and_no_picture(desk):
    places = [(29, 7), (29, 9)]
    desk.run(desk.dream(3, recipe="feature", noise=0, layers=(29,), channels=(7,)).id)
    assert newest_dreams(desk.database, "random:0", places) == {}
    spec = channel_spec("random:0", "feature")
    assert set(queue_channels(desk.database, places[:1], spec, name="").queued) == {(29, 7)}
    desk.run(beside := from_noise(desk, pictures=2, noise=3, layers=(29,), channels=(7,)))
    desk.run(alone := from_noise(desk, layers=(29,), channels=(9,), snapshots=(1, 2)))
    desk.run(desk.dream(4, recipe="feature", noise=0, layers=(29,), channels=(7,)).id)  # newer
    found = newest_dreams(desk.database, "random:0", places)
    first = {place: (one.job_id, one.position) for place, one in found.items()}
    assert first == {(29, 7): (beside, 2), (29, 9): (alone, 0)}
    for one in found.values():
        (item,) = items(desk.database, one.job_id, after=one.position - 1, limit=1)
        assert one.file == item.files[-1]
    assert len(dreams_of(desk.database, "random:0", places)[29, 7]) == 4  # of pictures too


@pytest.mark.slow
def test_dreams_of_channels_are_the_newest_ones_last_step(desk):
    for _ in range(2):
        desk.run(newest := desk.dream(2, layers=(29,), channels=(7,)).id)
    desk.dream(1, layers=(29,), channels=(9,))  # not done
    desk.run(desk.dream(1, layers=(29, 31), channels=(9,)).id)
    found = dreams_of(desk.database, "random:0", [(28, 7), (29, 7), (29, 9)])
    wanted = [item.files[-1] for item in items(desk.database, newest)]
    assert found == {(28, 7): wanted, (29, 7): wanted}
    assert len(wanted) == 2
    assert dreams_of(desk.database, "random:0", [(29, 7)], "article") == {(29, 7): wanted}
    assert dreams_of(desk.database, "random:0", [(29, 7)], "feature") == {}
    assert dreams_of(desk.database, "random:1", [(29, 7)]) == {}
    assert dreams_of(desk.database, "random:0", []) == {}


def test_a_convolution_before_its_relu_dreams_for_itself(desk):
    desk.run(desk.dream(1, layers=(28,), channels=(7,), pre_relu=True).id)
    assert dreams_of(desk.database, "random:0", [(29, 7), (28, 7)]) == {}


def test_there_have_to_be_channels(desk):
    with pytest.raises(InvalidInput, match="is a dream"):
        study_channels(desk.database, get_job(desk.database, desk.dream(1).id))
    waiting = desk.study(3, 2).id
    with pytest.raises(Conflict, match="has chosen no channels yet"):
        study_channels(desk.database, get_job(desk.database, waiting))
    desk.finish(desk.claim_next(waiting))
    held = desk.claim_next(waiting)
    finish_choose(desk.database, held, [row(36, 7, 3, 5.0)], target_pictures=3, control_pictures=2)
    with pytest.raises(Conflict, match="chose no channel of a ReLU layer"):
        study_channels(desk.database, get_job(desk.database, waiting))

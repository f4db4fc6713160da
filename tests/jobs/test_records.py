"""Channel records: what studies find of a channel merges exactly, and only where it may."""

import random
import statistics

import pytest

from beholder.errors import InvalidInput
from beholder.jobs.channel_models import ChannelClass, StudyClass
from beholder.jobs.channel_queries import channels
from beholder.jobs.control import delete
from beholder.jobs.finish import finish_choose, finish_conclude
from beholder.jobs.outcomes import (
    ChannelClassRow,
    ChannelRow,
    ClassRow,
    EffectRow,
    ExemplarRow,
    digest,
)
from beholder.jobs.record_queries import channel_records, measured_classes
from beholder.jobs.submit import create_job
from beholder.jobs.verdicts import Summary, summary_of
from beholder.jobs.weights import record_network
from beholder.specs import StudySpec

LAYER, CHANNEL = 29, 100  # relu5_1
SHA256 = "a" * 64


def study(desk, classes, *, sha256=SHA256, network="random:0", channels=(), exemplars=(), **spec):
    """A finished study. classes: by label, the strengths of `LAYER`'s `CHANNEL` over pictures."""
    entries = [desk.entry(number, role="target", group="kelpie") for number in range(3)]
    job = create_job(desk.database, StudySpec.build(network=network, **spec), entries).id
    held = desk.claim_next(job)
    record_network(desk.database, [held], network, sha256)
    desk.finish(held)
    named, rows = [], []
    for number, (label, strengths) in enumerate(classes.items()):
        pictures = digest(f"{label} {value}" for value in strengths)
        named.append(
            ClassRow(number, label, "target" if not number else "control", len(strengths), pictures)
        )
        rows.append(row_of(number, strengths))
    finish_choose(
        desk.database,
        desk.claim_next(job),
        channels,
        exemplars=exemplars,
        classes=named,
        by_class=rows,
        target_pictures=3,
        control_pictures=0,
    )
    desk.run(job)
    return job


def row_of(number, strengths, *, layer=LAYER, channel=CHANNEL):
    return ChannelClassRow(
        number,
        layer,
        channel,
        sum(value > 0 for value in strengths),
        sum(strengths),
        sum(value * value for value in strengths),
        max(strengths),
    )


def record(desk, **wanted):
    (found,) = channel_records(desk.database, layer=LAYER, channel=CHANNEL, **wanted)
    return found


def total(found):
    return sum(one.strengths.sum for one in found.classes)


@pytest.mark.slow
def test_studies_merge_into_what_all_their_pictures_give(desk):
    draw = random.Random(4)
    parts = [[draw.choice((0.0, draw.uniform(1, 9))) for _ in range(n)] for n in (7, 12)]
    newest = [study(desk, {"kelpie": part, "skunk": [1.0, 2.0]}) for part in parts][::-1]
    found = record(desk)
    kelpie = next(one for one in found.classes if one.label == "kelpie")
    every = parts[0] + parts[1]
    assert kelpie.row() == {
        "class": "kelpie",
        "studies": 2,
        "as_target": 2,
        "n": 19,
        "active": sum(value > 0 for value in every),
        "fraction_active": pytest.approx(sum(value > 0 for value in every) / 19),
        "mean": pytest.approx(statistics.fmean(every)),
        "deviation": pytest.approx(statistics.pstdev(every)),
        "maximum": max(every),
        "sum": pytest.approx(sum(every)),
        "squares": pytest.approx(sum(value * value for value in every)),
    }
    assert list(found.studies) == newest
    assert [one.label for one in found.classes] == ["kelpie", "skunk"]


@pytest.mark.slow
def test_the_same_pictures_count_once(desk):
    for _ in range(3):
        study(desk, {"kelpie": [1.0, 3.0], "skunk": [0.0, 1.0]})
    found = record(desk)
    assert {one.label: one.strengths.n for one in found.classes} == {"kelpie": 2, "skunk": 2}
    assert [one.studies for one in found.classes] == [3, 3]
    assert found.n == 4


@pytest.mark.slow
def test_pictures_under_two_names_count_for_both(desk):
    job = study(desk, {"kelpie": [2.0, 4.0]})
    with desk.database.write() as session:
        same = session.get_one(StudyClass, (job, 0)).pictures
        session.add(
            StudyClass(job_id=job, number=1, label="dogs", role="control", n=2, pictures=same)
        )
        row = {"active": 2, "sum": 6.0, "squares": 20.0, "maximum": 4.0}
        session.add(ChannelClass(job_id=job, number=1, layer=LAYER, channel=CHANNEL, **row))
    found = record(desk)
    assert sorted((one.label, one.strengths.n) for one in found.classes) == [
        ("dogs", 2),
        ("kelpie", 2),
    ]
    assert found.n == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    "other",
    [{"size": 448}, {"normalize": True}, {"sha256": "b" * 64}, {"network": "random:1"}],
    ids=str,
)
def test_what_can_t_be_compared_is_kept_apart(desk, other):
    study(desk, {"kelpie": [1.0, 2.0]})
    study(desk, {"kelpie": [3.0, 4.0]}, **other)
    newer, older = channel_records(desk.database, layer=LAYER, channel=CHANNEL)
    assert [total(older), total(newer)] == [3.0, 7.0]
    assert newer.inputs != older.inputs
    assert newer.inputs.words() != older.inputs.words()


@pytest.mark.slow
def test_a_network_goes_by_its_name_or_its_hash(desk):
    study(desk, {"kelpie": [1.0, 2.0]})
    study(desk, {"kelpie": [3.0, 4.0]}, network="random:1", sha256="b" * 64)
    assert total(record(desk, network="random:0")) == 3.0
    assert total(record(desk, network="b" * 12)) == 7.0
    assert channel_records(desk.database, layer=LAYER, channel=CHANNEL, network="vgg19") == []


def test_a_convolution_has_its_relu_s_record_and_a_pool_none(desk):
    study(desk, {"kelpie": [1.0, 2.0]})
    (found,) = channel_records(desk.database, layer=LAYER - 1, channel=CHANNEL)
    assert (found.layer, found.layer_name) == (29, "relu5_1")
    with pytest.raises(InvalidInput, match=r"pool5 has no records.*Ask for relu5_4"):
        channel_records(desk.database, layer=36, channel=CHANNEL)


@pytest.mark.parametrize(
    ("strengths", "always", "dead"),
    [
        ([1.0] * 20, True, False),
        ([0.0] * 20, False, True),
        ([1.0] * 19 + [0.0], False, False),
        ([1.0] * 19, None, None),
    ],
)
def test_flags_are_of_twenty_pictures_at_least(desk, strengths, always, dead):
    job = study(desk, {"kelpie": [1.0]})
    with desk.database.write() as session:
        session.get_one(StudyClass, (job, 0)).n = len(strengths)
        row = session.get_one(ChannelClass, (job, 0, LAYER, CHANNEL))
        row.active = row_of(0, strengths).active
    assert (record(desk).always_on, record(desk).dead) == (always, dead)


@pytest.mark.slow
def test_a_record_has_what_studies_say_besides(desk):
    channels = [
        ChannelRow(
            LAYER, CHANNEL, 3, 0, 9.0, 0.5, 11.0, chosen=True, correlated=((7, 0.9), (3, 0.5))
        ),
        ChannelRow(LAYER, 7, 3, 0, 9.0, 0.5, 11.0),
    ]
    exemplars = [
        ExemplarRow(LAYER, CHANNEL, 0, 2, 8.0, "strongest", 0.1, 0.2, 0.5, 0.6),
        ExemplarRow(LAYER, CHANNEL, 1, 1, 4.0),
        ExemplarRow(LAYER, CHANNEL, 2, 0, 0.5, "weakest"),
        ExemplarRow(LAYER, CHANNEL, 3, 1, 4.0, "random"),
    ]
    bare = study(desk, {"skunk": [1.0, 2.0]})
    job = study(desk, {"kelpie": [1.0, 2.0]}, channels=channels, exemplars=exemplars)
    found = record(desk)
    assert found.studies == (job, bare)
    assert found.chosen_in == (job,)
    assert found.correlated.row() == {"study": job, "channels": ((7, 0.9), (3, 0.5))}
    assert [(one.kind, one.position, one.region) for one in found.exemplars] == [
        ("strongest", 2, (0.1, 0.2, 0.5, 0.6)),
        ("strongest", 1, None),
        ("weakest", 0, None),
        ("random", 1, None),
    ]
    assert found.effects == ()


def test_effects_come_with_the_conclusion(desk):
    spec = StudySpec.build(network="random:0", recipe="sound")
    entries = [desk.entry(number, role="target") for number in range(3)]
    entries.append(desk.entry(3, role="control"))
    job = create_job(desk.database, spec, entries).id
    desk.finish(desk.claim_next(job))
    classes = [ClassRow(0, "kelpie", "target", 3, digest("abc"))]
    finish_choose(
        desk.database,
        desk.claim_next(job),
        [
            ChannelRow(LAYER, one, 2, 0, 3.0, 0.5, 6.0, chosen=True)
            for one in (CHANNEL, CHANNEL + 1)
        ],
        classes=classes,
        by_class=[row_of(0, [1.0, 2.0, 3.0])],
        target_pictures=3,
        control_pictures=0,
        partial="plan",
    )
    while (held := desk.claim_next(job)).stage != "conclude":
        desk.finish(held)
    effects = [
        EffectRow(LAYER, CHANNEL, 0, 5.0, -2.0, -3.0, -1.0, 0.1, -0.1, 0.3, "kelpie", "auroc")
    ]
    assert summary_of(desk.database, job) == Summary()
    said = Summary(3, 1, 1, 1)
    finish_conclude(desk.database, held, partial="evidence", effects=effects, summary=said)
    assert summary_of(desk.database, job) == said
    (found,) = record(desk).effects
    assert (found.target, found.method) == ("kelpie", "auroc")
    assert (found.study, found.rank, found.effect, found.control_effect_high) == (job, 0, -2.0, 0.3)
    listed = channels(desk.database, study=job, chosen=True)
    assert [(one.channel, one.rank, one.score) for one in listed] == [
        (CHANNEL, 0, 5.0), (CHANNEL + 1, None, None)
    ]  # fmt: skip


def test_a_deleted_study_takes_its_classes_along(desk):
    job = study(desk, {"kelpie": [1.0, 2.0]})
    delete(desk.database, job)
    assert channel_records(desk.database, layer=LAYER, channel=CHANNEL) == []
    assert measured_classes(desk.database) == []
    with desk.database.read() as session:
        assert session.query(ChannelClass).count() == 0

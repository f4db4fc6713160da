"""Channels for one class and not for another, by the stated rule."""

from math import sqrt

import pytest

from beholder.errors import InvalidInput, NotFound
from beholder.jobs.channel_models import ChannelClass
from beholder.jobs.contrast_queries import ALL_OTHERS, contrasts, difference
from beholder.jobs.record_views import Strengths
from tests.jobs.test_records import study


def strengths(values):
    return Strengths(
        len(values),
        sum(value > 0 for value in values),
        sum(values),
        sum(value * value for value in values),
        max(values),
    )


KELPIE, SHEPHERD, SKUNK = [4.0, 6.0], [1.0, 3.0], [0.0, 2.0]


@pytest.fixture
def three(desk):
    """Three classes: relu5_1/100 is kelpies', relu5_1/5 and relu5_2/6 are rather the others'."""
    job = study(desk, {"kelpie": KELPIE, "germanshepherd": SHEPHERD, "skunk": SKUNK})
    with desk.database.write() as session:
        for number, sums in enumerate(((1.0, 0.6), (9.0, 41.0), (8.0, 33.0))):
            values = {"active": 2, "sum": sums[0], "squares": sums[1], "maximum": 9.0}
            place = {"job_id": job, "number": number, "layer": 29}
            session.add(ChannelClass(**place, channel=5, **values))
            session.add(
                ChannelClass(**{**place, "layer": 31}, channel=6, **{**values, "active": 1})
            )
    return job


def test_cohens_d():
    assert difference(strengths(KELPIE), strengths(SHEPHERD)) == pytest.approx(3.0)
    assert difference(strengths([2.0, 2.0]), strengths([1.0, 1.0])) == 0.0
    uneven = difference(strengths([1.0, 1.0, 4.0, 6.0]), strengths([0.0, 2.0]))
    assert uneven == pytest.approx((3.0 - 1.0) / sqrt((4 * 4.5 + 2 * 1.0) / 6))


def test_those_of_the_class_come_and_those_of_the_other_do_not(desk, three):
    found = contrasts(desk.database, ["kelpie"], ["GermanShepherd"])
    assert (found.labels, found.others) == ({"kelpie": 2}, {"germanshepherd": 2})
    (row,) = found.channels
    assert row.row() == {
        "layer": 29, "layer_name": "relu5_1", "channel": 100, "difference": pytest.approx(3.0),
        "label": "kelpie", "mean": 5.0, "active": 1.0,
        "other": "germanshepherd", "other_mean": 2.0, "other_active": 1.0,
    }  # fmt: skip


def test_each_pair_has_to_differ(desk, three):
    (row,) = contrasts(desk.database, ["kelpie", "germanshepherd"], ["skunk"]).channels
    assert (row.label, row.difference) == ("germanshepherd", pytest.approx(1.0))
    (row,) = contrasts(desk.database, ["kelpie"], ["skunk", "germanshepherd"]).channels
    assert (row.other, row.difference) == ("germanshepherd", pytest.approx(3.0))


def test_without_others_all_are_held_against_it(desk, three):
    found = contrasts(desk.database, ["kelpie"])
    assert found.others == {ALL_OTHERS: 4}
    assert [row.channel for row in found.channels] == [100]
    assert found.channels[0].other_mean == pytest.approx(1.5)


def test_layers_and_limits(desk, three):
    by_layer = contrasts(desk.database, ["germanshepherd"], ["kelpie"], layers=[31])
    assert [(row.layer, row.channel) for row in by_layer.channels] == [(31, 6)]
    found = contrasts(desk.database, ["germanshepherd"], ["kelpie"])
    assert [(row.layer, row.channel) for row in found.channels] == [(29, 5), (31, 6)]
    assert len(contrasts(desk.database, ["germanshepherd"], ["kelpie"], limit=1).channels) == 1


@pytest.mark.slow
def test_studies_add_up_unless_one_is_named(desk):
    first = study(desk, {"kelpie": KELPIE, "skunk": SKUNK})
    study(desk, {"kelpie": [4.0, 6.0, 8.0], "skunk": SKUNK})
    assert contrasts(desk.database, ["kelpie"]).labels == {"kelpie": 5}
    assert contrasts(desk.database, ["kelpie"]).others == {ALL_OTHERS: 2}  # the same pictures
    assert contrasts(desk.database, ["kelpie"], study=first).labels == {"kelpie": 2}


def test_other_inputs_are_named_not_mixed_in(desk):
    study(desk, {"kelpie": KELPIE, "skunk": SKUNK})
    study(desk, {"kelpie": KELPIE, "skunk": SKUNK}, size=448)
    found = contrasts(desk.database, ["kelpie"])
    assert (found.inputs.size, found.labels) == ("448", {"kelpie": 2})
    assert [inputs.size for inputs in found.elsewhere] == ["224"]


def test_errors_say_which_classes_there_are(desk):
    with pytest.raises(NotFound, match="no study has measured strengths by class"):
        contrasts(desk.database, ["kelpie"])
    study(desk, {"kelpie": KELPIE, "skunk": [1.0]})
    with pytest.raises(InvalidInput, match="class 'cat': classes are kelpie, skunk, as folders of"):
        contrasts(desk.database, ["kelpie"], ["cat"])
    with pytest.raises(InvalidInput, match="class skunk has 1 picture: 2 at least"):
        contrasts(desk.database, ["kelpie"], ["skunk"])
    study(desk, {"cat": KELPIE}, size=448)
    with pytest.raises(InvalidInput, match="kelpie and cat were never measured on one network"):
        contrasts(desk.database, ["kelpie"], ["cat"])
    with pytest.raises(InvalidInput, match="another class to hold this against"):
        contrasts(desk.database, ["cat"])

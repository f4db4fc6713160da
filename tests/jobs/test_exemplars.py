"""A channel's strongest pictures over studies, and the channels that share them."""

from beholder.jobs.control import delete
from beholder.jobs.exemplar_queries import companions, exemplars
from beholder.jobs.finish import finish_choose
from beholder.jobs.outcomes import ExemplarRow


def _study(desk, rows, *, pictures=3):
    job = desk.study(pictures, 0)
    desk.finish(desk.claim_next(job.id))
    held = desk.claim_next(job.id)
    finish_choose(
        desk.database, held, (), exemplars=rows, target_pictures=pictures, control_pictures=0
    )
    return job.id


def test_each_picture_comes_once_strongest_first(desk):
    first = _study(desk, [ExemplarRow(20, 5, 0, 2, 8.0), ExemplarRow(20, 5, 1, 0, 4.0)])
    second = _study(desk, [ExemplarRow(20, 5, 0, 2, 9.0), ExemplarRow(20, 5, 1, 1, 5.0)])
    found = exemplars(desk.database, layer=20, channel=5, studies=[first, second])
    assert [(row.study, row.position, row.strength) for row in found] == [
        (second, 2, 9.0),
        (second, 1, 5.0),
        (first, 0, 4.0),
    ]
    assert found == exemplars(desk.database, layer=19, channel=5, studies=[first, second])
    assert len(exemplars(desk.database, layer=20, channel=5, studies=[first])) == 2
    assert exemplars(desk.database, layer=20, channel=6, studies=[first]) == []


def test_companions_share_strongest_pictures(desk):
    rows = [
        ExemplarRow(20, 5, 0, 0, 8.0), ExemplarRow(20, 5, 1, 1, 4.0), ExemplarRow(20, 6, 0, 1, 2.0),
        ExemplarRow(20, 7, 0, 1, 3.0), ExemplarRow(20, 7, 1, 0, 3.0), ExemplarRow(20, 8, 0, 2, 1.0),
        ExemplarRow(22, 9, 0, 0, 1.0),
    ]  # fmt: skip
    study = _study(desk, rows)
    assert companions(desk.database, layer=20, channel=5, studies=[study]) == [(7, 2), (6, 1)]


def test_a_deleted_study_takes_its_exemplars_along(desk):
    study = _study(desk, [ExemplarRow(20, 5, 0, 0, 8.0)])
    desk.run(study)
    delete(desk.database, study)
    assert exemplars(desk.database, layer=20, channel=5, studies=[study]) == []

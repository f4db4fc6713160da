"""What two studies chose alike, beside what chance would have them share."""

from itertools import combinations

import pytest

from beholder.errors import Conflict, InvalidInput
from beholder.jobs.finish import finish_choose
from beholder.jobs.outcomes import ChannelRow
from beholder.jobs.overlap_queries import LayerOverlap, chance, overlap
from beholder.jobs.queries import get_job

WIDTH = 8


def study(desk, chosen, **fields):
    """One that chose these (layer, channel) of two layers of 8 channels, and a convolution's."""
    job = desk.study(1, 0).id
    desk.finish(desk.claim_next(job))
    rows = [
        ChannelRow(layer, channel, 1, 0, 1.0, 0.5, 1.0, chosen=(layer, channel) in chosen)
        for layer in (29, 31)
        for channel in range(WIDTH)
    ]
    rows.append(ChannelRow(28, 0, 1, 0, 1.0, 0.5, 1.0, chosen=True))
    finish_choose(desk.database, desk.claim_next(job), rows, target_pictures=1, control_pictures=0)
    return get_job(desk.database, job)


def test_what_is_shared_and_what_is_not(desk):
    first = study(desk, {(29, 1), (29, 2), (29, 3), (31, 0)})
    second = study(desk, {(29, 2), (29, 3), (29, 4), (31, 5)})
    found = overlap(desk.database, first, second)
    assert (found.first, found.second, found.alike) == (first.id, second.id, True)
    assert found.shared == ((29, 2), (29, 3))
    assert found.only_first == ((29, 1), (31, 0))
    assert found.only_second == ((29, 4), (31, 5))
    assert found.jaccard == pytest.approx(2 / 6)
    assert found.expected == pytest.approx(3 * 3 / 8 + 1 / 8)
    assert [layer.row() for layer in found.layers] == [
        {"layer": 29, "layer_name": "relu5_1", "width": 8, "first": 3, "second": 3, "shared": 2,
         "expected": 9 / 8},
        {"layer": 31, "layer_name": "relu5_2", "width": 8, "first": 1, "second": 1, "shared": 0,
         "expected": 1 / 8},
    ]  # fmt: skip


def test_chance_is_the_share_of_all_draws():
    """Of every pair of sets of sizes 2 and 3 in one layer of 5, with 1 and 1 in one of 3."""
    layers = [LayerOverlap(29, "", 5, 2, 3, 0, 0.0), LayerOverlap(31, "", 3, 1, 1, 0, 0.0)]
    counts = [
        len({0, 1} & set(drawn)) + (other == 0)
        for drawn in combinations(range(5), 3)
        for other in range(3)
    ]
    for shared in range(4):
        wanted = sum(count >= shared for count in counts) / len(counts)
        assert chance(layers, shared) == pytest.approx(wanted)


@pytest.mark.slow  # imports scipy
def test_chance_in_one_layer_is_the_hypergeometric_tail():
    from scipy.stats import hypergeom

    (layer,) = [LayerOverlap(29, "", 512, 24, 20, 0, 0.0)]
    assert chance([layer], 5) == pytest.approx(hypergeom.sf(4, 512, 24, 20), rel=1e-9)


@pytest.mark.slow
def test_what_can_t_be_compared_is_refused(desk):
    one = study(desk, {(29, 1)})
    with pytest.raises(Conflict, match="chose no channel of a ReLU layer"):
        overlap(desk.database, one, study(desk, set()))
    with pytest.raises(InvalidInput, match="is a dream"):
        overlap(desk.database, one, get_job(desk.database, desk.dream(1).id))
    with pytest.raises(Conflict, match="has chosen no channels yet"):
        overlap(desk.database, get_job(desk.database, desk.study(1, 0).id), one)

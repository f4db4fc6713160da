"""Scores by strengths as scipy and scikit-learn have them; ranking; and the dose rule."""

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu, ttest_ind
from sklearn.metrics import roc_auc_score

from beholder.errors import InvalidInput, InvalidLayer
from beholder.science.dose import Tuned, pick_dose
from beholder.science.scores import auroc, best, candidates, counts, effect_size
from beholder.science.statistics import ChannelStatistics


@pytest.fixture(scope="module")
def groups():
    """Strengths (12, 9) and (30, 9), with ties at zero, as ReLUs leave them; channel 8 is dead."""
    generator = np.random.default_rng(0)
    targets = np.maximum(generator.normal(0.3, 1, (12, 9)), 0).astype(np.float32)
    others = np.maximum(generator.normal(0, 1, (30, 9)), 0).astype(np.float32)
    targets[:, 8] = others[:, 8] = 0
    return targets, others


def test_effect_size_goes_with_students_t(groups):
    targets, others = groups
    t = ttest_ind(targets[:, :8].astype(float), others[:, :8].astype(float)).statistic
    d = effect_size(targets, others)
    np.testing.assert_allclose(d[:8], t * np.sqrt(1 / 12 + 1 / 30), rtol=1e-10)
    assert d[8] == 0


def test_effect_size_of_what_never_varies_is_nothing():
    always = np.full((3, 2), [0.0, 7.0])
    assert effect_size(always, always[:1]).tolist() == [0, 0]
    assert effect_size(always, always + 1).tolist() == [0, 0]
    with pytest.raises(InvalidInput, match="three pictures at least"):
        effect_size(always[:1], always[:1])


def test_auroc_as_others_have_it(groups):
    targets, others = groups
    found = auroc(targets, others)
    np.testing.assert_allclose(found, mannwhitneyu(targets, others).statistic / (12 * 30))
    labels = [1] * 12 + [0] * 30
    for channel, rows in enumerate(np.concatenate(groups).T):
        assert found[channel] == pytest.approx(roc_auc_score(labels, rows))
    assert found[8] == 0.5


def test_counts_are_the_articles(narrow):
    generator = torch.Generator().manual_seed(0)
    rows = [torch.rand((6, width), generator=generator).sub(0.3).relu() for width in narrow.widths]
    rows[5][2] = 0
    statistics = ChannelStatistics.empty(narrow.widths, top=4, threshold=0.6)
    statistics.update(rows, range(6))
    for layer in (5, 22):
        found = counts(rows[layer].numpy(), top=4, threshold=0.6)
        assert found.tolist() == statistics.counts[layer].tolist()
        assert found.sum() > 0


def test_best_is_over_all_layers_with_the_living_first():
    scores = {22: np.array([1.0, 3.0, 0.0]), 20: np.array([3.0, -2.0, 0.0])}
    assert best(scores, 3) == [(20, 0, 3.0), (22, 1, 3.0), (22, 0, 1.0)]
    alive = {20: np.array([True, True, False]), 22: np.array([True, False, False])}
    ranked = [(layer, channel) for layer, channel, _ in best(scores, 9, alive=alive)]
    assert ranked == [(20, 0), (22, 0), (20, 1), (22, 1), (20, 2), (22, 2)]


def test_candidates_are_relus():
    assert candidates() == (20, 22, 24, 26, 29, 31, 33, 35)
    assert candidates(34) == candidates(35) == (35,)
    assert candidates(36) == ()
    with pytest.raises(InvalidLayer):
        candidates(37)


@pytest.mark.parametrize("shapes", [((2, 3), (2, 4)), ((0, 3), (2, 3)), ((2, 3), (3,))])
@pytest.mark.parametrize("score", [auroc, effect_size])
def test_groups_that_can_not_be_compared(score, shapes):
    with pytest.raises(InvalidInput, match="one picture of each"):
        score(*map(np.zeros, shapes))


@pytest.mark.parametrize(
    ("tuned", "dose"),
    [
        ({5: (0.5, 0), 10: (0.02, 0.01), 20: (0, 0.004), 40: (0, 0.004)}, 20),
        ({5: (0.01, 0.0), 10: (0, -0.01), 20: (0, 0.05)}, 5),  # a gain is no better than no loss
        ({5: (0.5, 0.0), 10: (0.2, 0.1), 20: (0.1, 0.3)}, 10),  # none is enough
        ({5: (0.5, 0.1), 10: (0.4, 0.2)}, 5),
        ({8: (0, 0, 0.12), 12: (0, 0.004, 0.01), 16: (0, 0.02, 0)}, 12),  # 8 is a near thing
    ],
)
def test_the_dose_that_is_picked(tuned, dose):
    rows = {number: Tuned(*shares) for number, shares in tuned.items()}
    assert pick_dose(rows) == dose
    assert pick_dose(dict(reversed(rows.items()))) == dose


def test_a_dose_has_to_be_tried():
    with pytest.raises(InvalidInput, match="try one"):
        pick_dose({})

"""What a study hands over for channel records is what its pictures' strengths give."""

import numpy as np
import pytest

from beholder.evidence.answers import Answers
from beholder.evidence.document import ChannelEvidence, Interval
from beholder.evidence.records import (
    CORRELATED_FROM,
    correlated,
    effect_rows,
    exemplar_rows,
)
from beholder.evidence.tally import relu_spans
from beholder.jobs.outcomes import EffectRow
from beholder.layers import LAYERS

WIDTHS = tuple(3 if layer.index < 5 else 4 for layer in LAYERS)
RELUS = [layer.index for layer in LAYERS if layer.kind == "relu"]
TOTAL = sum(WIDTHS[layer] for layer in RELUS)


def answers(strengths, groups=None):
    count = len(strengths)
    groups = groups or ["kelpie"] * count
    return Answers(
        positions=np.arange(10, 10 + count),
        sha256=np.array([f"{number:064x}" for number in range(count)]),
        source=np.array(["a.jpg"] * count),
        role=np.array(["target" if name == "kelpie" else "control" for name in groups]),
        group=np.array(groups),
        hashes=np.zeros(count, np.uint64),
        strengths=np.asarray(strengths, np.float32),
        regions=np.tile(np.array([51, 0, 102, 255], np.uint8), (count, TOTAL, 1)),
        logits=np.zeros((count, 2), np.float32),
    )


@pytest.fixture
def drawn():
    """Twelve pictures of two folders, and one without; a third of the strengths are 0."""
    chance = np.random.default_rng(3)
    strengths = chance.exponential(size=(13, TOTAL)) * (chance.random((13, TOTAL)) > 1 / 3)
    return answers(strengths, ["kelpie"] * 5 + ["skunk"] * 7 + [""])


def test_correlated_channels_are_numpy_s(drawn):
    found = correlated(drawn, WIDTHS)
    assert set(found) == {(layer, channel) for layer in RELUS for channel in range(WIDTHS[layer])}
    r = np.corrcoef(drawn.strengths[:, relu_spans(WIDTHS)[35]].T)
    others = [other for other in np.argsort(-r[2]) if other != 2]
    assert [other for other, _ in found[35, 2]] == others
    assert [value for _, value in found[35, 2]] == pytest.approx([r[2, other] for other in others])


def test_what_never_varies_goes_with_nothing():
    strengths = np.random.default_rng(0).random((CORRELATED_FROM, TOTAL))
    strengths[:, 0] = 0.1
    found = correlated(answers(strengths), WIDTHS)
    assert (1, 0) not in found
    assert [other for other, _ in found[1, 1]] == [2]
    assert correlated(answers(strengths[:-1]), WIDTHS) == {}


def test_exemplars_are_the_extremes_and_a_draw():
    strengths = np.zeros((6, TOTAL))
    strengths[:, 1] = [3.0, 0.0, 5.0, 5.0, 1.0, 2.0]
    rows = [row for row in exemplar_rows(answers(strengths), WIDTHS, seed=0) if row.layer == 1]
    by_kind = {
        kind: [(row.position, row.strength) for row in rows if (row.channel, row.kind) == (1, kind)]
        for kind in ("strongest", "weakest", "random")
    }
    assert by_kind["strongest"] == [(12, 5.0), (13, 5.0), (10, 3.0), (15, 2.0)]
    assert by_kind["weakest"] == [(11, 0.0), (14, 1.0), (15, 2.0), (10, 3.0)]
    assert [row.rank for row in rows if row.channel == 1] == list(range(12))
    assert {row.kind for row in rows if row.channel == 0} == {"weakest", "random"}
    same = [
        {row.position for row in rows if (row.channel, row.kind) == (c, "random")} for c in (0, 1)
    ]
    assert same[0] == same[1]
    assert len(same[0]) == 4
    boxes = {(row.left, row.top, row.right, row.bottom) for row in rows}
    assert boxes == {(0.2, 0.0, 0.4, 1.0)}


def test_effects_are_the_evidence_s():
    effect = Interval(value=-2.0, low=-3.0, high=-1.0, method="bootstrap")
    on_others = Interval(value=0.1, low=-0.1, high=0.3, method="bootstrap")
    tried = ChannelEvidence(
        layer=29, channel=7, rank=0, score=1.5, effect=effect, control_effect=on_others
    )
    other = ChannelEvidence(layer=31, channel=8, rank=1, score=1.0)
    chosen = {"target": "kelpie", "method": "auroc"}
    assert list(effect_rows([tried, other], **chosen)) == [
        EffectRow(29, 7, 0, 1.5, -2.0, -3.0, -1.0, 0.1, -0.1, 0.3, **chosen),
        EffectRow(31, 8, 1, 1.0, **chosen),
    ]

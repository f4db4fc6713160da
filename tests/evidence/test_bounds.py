"""The probe against scikit-learn by hand and against itself, and the target's logit left out."""

import numpy as np
import pytest
from scipy import stats

from beholder.evidence.probe import FEWEST, probe
from beholder.evidence.sample import Sample
from tests.evidence.drawn import FOLDERS, Drawn, condition, draw, of_logits, subjects

pytestmark = pytest.mark.slow  # some tenths of a second each


def probed(drawn: Drawn):  # type: ignore[no-untyped-def]
    return probe(Sample.of(drawn.plan, drawn.readings))


def test_it_reads_what_is_there_and_guesses_what_is_not() -> None:
    plain = draw([condition("main")])
    target = np.array([one.role == "target" for one in plain.plan.subjects])
    chance = np.random.default_rng(0)
    features = chance.normal(size=(2, len(target), 4))
    features[0, target, 2] += 9.0  # the intact network tells them apart, the blinded one does not
    found = probed(of_logits(plain.plan.conditions, plain.plan.subjects, plain.logits,
                             features=features))  # fmt: skip
    assert found.intact == 1.0
    assert found.blinded is not None
    assert 0.2 < found.blinded < 0.75


def test_its_area_is_that_of_ranks_along_the_one_feature() -> None:
    plain = draw([condition("main")])
    who = plain.plan.subjects
    target = np.array([one.role == "target" for one in who])
    chance = np.random.default_rng(7)
    feature = chance.normal(size=len(who)) + target
    features = np.stack([feature[:, None]] * 2)
    found = probed(of_logits(plain.plan.conditions, who, plain.logits, features=features))
    tested = np.array([one.split == "test" for one in who])
    u = stats.mannwhitneyu(feature[tested & target], feature[tested & ~target]).statistic
    area = u / ((tested & target).sum() * (tested & ~target).sum())
    assert found.intact == found.blinded == pytest.approx(area)


def test_it_learns_nothing_from_test_pictures() -> None:
    plain = draw([condition("main")])
    who = plain.plan.subjects
    target = np.array([one.role == "target" for one in who])
    tested = np.array([one.split == "test" for one in who])
    features = np.random.default_rng(1).normal(size=(2, len(who), 1))
    features[:, target & ~tested] += 6.0
    features[:, target & tested] -= 6.0  # the other way round than in those that it learns from
    found = probed(of_logits(plain.plan.conditions, who, plain.logits, features=features))
    assert found.intact == found.blinded
    assert found.intact is not None
    assert found.intact < 0.01


@pytest.mark.parametrize("short", ["spiral", "rings"])
@pytest.mark.parametrize("split", [2, 3])
def test_it_is_not_made_of_too_few(short: str, split: int) -> None:
    folders = {name: FOLDERS[name] for name in ("spiral", "rings")}
    few = [*folders[short]]
    few[split] = FEWEST - 1
    drawn = draw([condition("main")], subjects({**folders, short: tuple(few)}))
    found = probed(drawn)
    assert (found.intact, found.blinded) == (None, None)


def test_without_the_target_s_logit_nothing_of_it_is_seen() -> None:
    drawn = draw([condition("main")])
    logits = drawn.logits.copy()
    others = [one.position for one in drawn.plan.subjects if one.group == "rings"]
    fooled = others[-3:]  # siblings that the intact network takes for the target
    logits[:, fooled, 0] = 30.0
    who = [
        one.model_copy(update={"label": 0}) if one.position in fooled else one
        for one in drawn.plan.subjects
    ]
    found = probed(of_logits(drawn.plan.conditions, who, logits))
    assert found.masked_target_kept == 0
    assert found.masked_others_drop == pytest.approx(3 / 50, abs=1 / 50)
    plain = probed(draw([condition("main")]))
    assert plain.masked_others_drop == 0

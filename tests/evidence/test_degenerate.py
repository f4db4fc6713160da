"""Whatever is missing, the evidence is whole: numbers all the way, and a page that renders."""

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from beholder.evidence.analysis import analyse
from beholder.evidence.document import Evidence
from beholder.report.page import render_page
from tests.evidence.drawn import (
    FOLDERS,
    LABELS,
    Drawn,
    alone,
    condition,
    draw,
    lots,
    of_logits,
    subjects,
)

pytestmark = pytest.mark.slow  # some tenths of a second each

CONDITIONS = [
    condition("main"), condition("by count", method="count"), condition("kept", kind="keep"),
    condition("of rings", kind="matrix", of="rings"), *lots("random", 3), *lots("matched", 2),
    *alone(),
]  # fmt: skip
TARGETS = {"spiral": ("target", 0, 2, 3)}
STUDIES: dict[str, dict[str, tuple[str, int, int, int]]] = {
    "targets alone": TARGETS,
    "no sibling": {**TARGETS, "star": ("control", 6, 2, 3)},
    "no control": {**TARGETS, "rings": ("sibling", 1, 2, 3)},
    "no target": {"rings": ("sibling", 1, 2, 3)},
    "one picture": {"spiral": ("target", 0, 0, 1)},
    "one of each": {"spiral": ("target", 0, 0, 1), "rings": ("sibling", 1, 0, 1)},
    "nothing to test": {"spiral": ("target", 0, 2, 0), "rings": ("sibling", 1, 2, 0)},
    "without folders": {"": ("target", 0, 2, 3)},
    "nothing": {},
}


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from numbers(one)
    elif isinstance(value, float):
        yield value


def whole(drawn: Drawn) -> Evidence:
    """Round-trips through strict JSON, in which there are no numbers but finite ones."""
    found = analyse(drawn.plan, drawn.readings, study="s", name="", labels=LABELS)
    text = found.model_dump_json()
    assert Evidence.model_validate_json(text) == found
    assert all(math.isfinite(one) for one in numbers(found.model_dump(mode="json")))
    json.loads(text, parse_constant=pytest.fail)
    for outcome in found.outcomes:
        for group in (*outcome.roles, *outcome.groups):
            assert 0 <= group.kept.low <= group.kept.value <= group.kept.high <= 1
    assert found.sentence
    assert found.caveats
    return found


@pytest.mark.parametrize("name", STUDIES)
def test_missing_roles(name: str) -> None:
    found = whole(draw(CONDITIONS, subjects(STUDIES[name])))
    has = {one.role for one in found.main.roles}
    assert has == {role for role, _, _, tested in STUDIES[name].values() if tested}
    assert (found.main.selectivity is None) == (len(has) < 2)
    assert (found.main.permutation is None) == (len(has) < 2)
    if "target" not in has:
        assert found.sentence == "Nothing was shown: no target could be tested."


@pytest.mark.slow
@pytest.mark.parametrize("name", ["targets alone", "no target", "nothing"])
def test_a_page_of_little(name: str) -> None:
    found = whole(draw(CONDITIONS, subjects(STUDIES[name])))
    text = render_page(found)
    assert found.sentence.replace("'", "&#39;") in text
    assert "nan" not in text.split('<script type="application/json"')[0].lower().split()


@pytest.mark.parametrize("role", ["target", "sibling", "control"])
def test_all_pictures_of_a_role_failed(role: str) -> None:
    drawn = draw(CONDITIONS, subjects({**STUDIES["no control"], "star": ("control", 6, 2, 3)}))
    failed = [one.position for one in drawn.plan.subjects if one.role == role]
    found = whole(drawn.without(failed))
    assert found.main.role(role) is None
    assert found.pictures["choose"][role] == 2
    assert role not in found.pictures["test"]
    assert any("3 of 9 test pictures could not be read" in one for one in found.caveats)


def test_all_pictures_failed() -> None:
    drawn = draw(CONDITIONS, subjects(STUDIES["no control"]))
    found = whole(drawn.without([one.position for one in drawn.plan.subjects]))
    assert (found.rows, found.went, found.main.roles, found.bands) == ((), (), (), ())


def test_readings_of_pictures_that_nobody_planned_are_left_alone() -> None:
    drawn = draw(CONDITIONS, subjects(FOLDERS))
    fewer = drawn.plan.model_copy(update={"subjects": drawn.plan.subjects[::2]})
    planned = analyse(fewer, drawn.readings, study="s", name="", labels=LABELS)
    read = drawn.without([one.position for one in drawn.plan.subjects[1::2]])
    assert planned == analyse(fewer, read.readings, study="s", name="", labels=LABELS)


def test_ties_and_two_classes() -> None:
    who = subjects({"a": ("target", 0, 0, 4), "b": ("control", 1, 0, 4)})
    found = whole(of_logits(CONDITIONS, who, np.zeros((1 + len(CONDITIONS), 8, 2))))
    target = found.main.role("target")
    assert target is not None
    assert (target.kept.value, target.drop, target.rank, target.top5) == (1, 0, 1, 1)
    assert (target.margin, target.kl, found.main.mcnemar) == (0, 0, 1)
    assert found.main.selectivity is not None
    assert found.main.selectivity.value == 0
    assert found.main.permutation == 1  # every random set ties
    assert "not shown to matter" in found.sentence


def test_certainty_has_log_odds_too() -> None:
    who = subjects({"a": ("target", 0, 0, 4), "b": ("control", 1, 0, 4)})
    logits = np.zeros((1 + len(CONDITIONS), 8, 3))
    logits[0, :4, 0] = logits[:, 4:, 1] = 900.0
    logits[1:, :, 2] = 2_000.0
    found = whole(of_logits(CONDITIONS, who, logits))
    effect, on_others = found.channels[0].effect, found.channels[0].control_effect
    assert effect is not None
    assert on_others is not None
    assert effect.value == pytest.approx(-2_900 + np.log(2))
    assert on_others.value == pytest.approx(-2 * np.log(1e12), rel=1e-4)


def test_a_picture_whose_answers_are_no_numbers_counts_nowhere() -> None:
    drawn = draw(CONDITIONS, subjects(STUDIES["no control"]))
    logits = drawn.logits.copy()
    logits[:, 2, 3] = np.nan  # a target: everywhere
    logits[1, 3, 3] = np.nan  # another: in the headline
    found = whole(of_logits(CONDITIONS, drawn.plan.subjects, logits))
    target, count = found.main.role("target"), found.outcomes[1].role("target")
    assert target is not None
    assert count is not None
    assert (target.n, count.n) == (1, 2)
    assert [row.position for row in found.rows][:3] == [0, 1, 4]


def test_a_set_without_scores_keeps_its_channels() -> None:
    found = whole(draw([condition("main", method="random")], rankings={}))
    assert [(one.rank, one.score) for one in found.channels] == [(1, 0.0), (2, 0.0), (3, 0.0)]
    assert found.channels[0].effect is None

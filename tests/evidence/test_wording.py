"""What a study says of itself: as much as it showed, and what it did not show."""

import re
from typing import Any

import numpy as np
import pytest

from beholder.evidence.analysis import analyse
from beholder.evidence.document import Evidence
from beholder.report.words import percent
from tests.evidence.drawn import (
    FOLDERS,
    LABELS,
    TARGET,
    condition,
    draw,
    full,
    lots,
    of_logits,
    subjects,
)

pytestmark = pytest.mark.slow  # some tenths of a second each

PLAIN = [condition("main"), *lots("random", 39), *lots("matched", 19)]
NEVER = re.compile(r"erase|erasing|prove[sn]?\b|\bnan\b|None\b(?! of)", re.IGNORECASE)


def said(*planned: Any, **given: Any) -> Evidence:
    drawn = draw(*planned, **given)
    return analyse(drawn.plan, drawn.readings, study="s", name="n", labels=LABELS)


@pytest.fixture(scope="module")
def shown() -> Evidence:
    return said(PLAIN)


def counts(evidence: Evidence) -> list[tuple[int, int]]:
    return [(int(a), int(b)) for a, b in re.findall(r"(\d+) of (\d+)", evidence.sentence)]


def test_it_counts_what_was_seen(shown: Evidence) -> None:
    rows = [row for row in shown.rows if row.split == "test"]
    target = [row for row in rows if row.role == "target"]
    seen = sum(row.blinded_label == "spiral" for row in target)
    kept = {
        role: sum(row.blinded_label == LABELS[FOLDERS[row.group][1]] for row in found)
        for role in ("sibling", "control")
        if (found := [row for row in rows if row.role == role])
    }
    assert counts(shown) == [
        (seen, 30), (sum(kept.values()), 50), (kept["sibling"], 20), (kept["control"], 30),
    ]  # fmt: skip
    assert shown.sentence.startswith(
        f"When 3 channels are set to zero, the network still sees spiral in {seen} of 30 held-out "
        "targets (30 with nothing ablated), and"
    )
    assert "None of 39 random sets of as many channels was as selective (p = 0.025)" in (
        shown.sentence
    )


def test_nothing_that_is_not_so_is_ever_said(shown: Evidence) -> None:
    assert not NEVER.search(" ".join([shown.sentence, *shown.caveats]))
    assert "Exploratory" not in shown.sentence
    assert len(shown.caveats) == len(set(shown.caveats))
    assert "other networks" in shown.caveats[-1]


def test_of_several_methods_the_correction_is_said() -> None:
    found = said([condition("main"), condition("by count", method="count"), *lots("random", 39)])
    assert "(p = 0.025; 0.050 corrected for 2 methods)" in found.sentence


@pytest.mark.parametrize(
    ("harm", "wanted"),
    [
        ({"main": (0.0, 0.0)}, "these channels were not shown to matter for spiral"),
        ({"main": (9.0, 40.0)}, "The others lost as much or more|not certain"),
        (
            {name.name: (9.0, 0.3) for name in PLAIN},
            "it was not shown that it matters which channels these are",
        ),
        (
            {one.name: (9.0, 0.3) for one in PLAIN if one.kind != "random"},
            r"1\d of 19 random sets of as many and as strong channels were at least as selective",
        ),
    ],
)
def test_where_nothing_was_shown_it_says_so(harm: dict[str, Any], wanted: str) -> None:
    found = said(PLAIN, harm=harm)
    assert re.search(wanted, found.sentence)
    assert "None of 39" not in found.sentence


def test_two_targets_and_one_other_are_not_certain() -> None:
    who = subjects({"spiral": ("target", 0, 2, 2), "star": ("control", 6, 2, 1)})
    found = said(PLAIN, who, harm={"main": (40.0, 0.0)})
    assert found.main.selectivity is not None
    assert found.main.selectivity.value == 1
    assert "more than the others is not certain: +100.0 (−" in found.sentence


def test_without_random_sets_nothing_is_held_against_it() -> None:
    found = said([condition("main")])
    assert "No random set was held against it" in found.sentence
    assert any("random sets do less: none was drawn" in one for one in found.caveats)


def test_so_few_draws_that_none_could_tell() -> None:
    found = said([condition("main"), *lots("random", 9)])
    assert "was as selective, but so few show little (p = 0.100)." in found.sentence


@pytest.mark.parametrize(
    ("doses", "dose", "pooled", "told"),
    [
        ((4, 2000), None, True, "a dose of 2,000 was asked for, but iterative ranks only 8"),
        ((4, 9), 2000, True, "doses of 9 and 2,000 were asked for, but iterative ranks only 8"),
        ((1, 4), None, False, "ranks only 3 channels for spiral in any one layer, so that 3 is"),
        ((1, 8), 4, True, None),
    ],
)
def test_a_dose_that_no_ranking_fills_is_said(
    doses: tuple[int, ...], dose: int | None, pooled: bool, told: str | None
) -> None:
    record = {"spec": {"doses": doses, "dose": dose}}
    found = said([condition("main", pooled=pooled)], record=record)
    cut = [one for one in found.caveats if one.startswith("Cut short")]
    assert len(cut) == (told is not None)
    assert all(told is not None and told in one for one in cut)


def test_what_the_intact_network_hardly_sees_can_hardly_be_lost() -> None:
    drawn = draw(PLAIN)
    logits = drawn.logits.copy()
    targets = [one.position for one in drawn.plan.subjects if one.role == "target"]
    logits[:, targets[2:], TARGET] = -5.0
    made = of_logits(PLAIN, drawn.plan.subjects, logits)
    found = analyse(made.plan, made.readings, study="s", name="n", labels=LABELS)
    assert found.sentence.startswith(
        "Little can be shown: the intact network itself sees spiral in only 0 of 30 held-out"
    )


def test_too_few_draws_for_so_many_methods() -> None:
    methods = [condition(name, method=name) for name in ("count", "effect", "auroc")]
    tried = [condition("main"), *methods]
    found = said([*tried, *lots("random", 39)], harm={one.name: (9.0, 0.2) for one in tried})
    assert found.main.holm == pytest.approx(4 / 40)
    assert "Corrected for the methods that were tried, p = 0.100" in found.sentence


@pytest.mark.parametrize(
    ("mode", "opening"),
    [
        ("mean", "When 3 channels are set to their means over other pictures, "),
        ("resample", "When 3 channels are replaced by those of other pictures, "),
        ("scale", "When 3 channels are scaled by 0.25, "),
    ],
)
def test_each_mode_has_its_verb(mode: str, opening: str) -> None:
    found = said([condition("main", mode=mode, alpha=0.25 if mode == "scale" else 0.0)])
    assert found.sentence.startswith(opening)
    assert not any("zero" in one for one in found.caveats)


CAVEATS = {
    "few": ({"spiral": ("target", 0, 9, 8), "star": FOLDERS["star"]}, r"with 8 targets, the share"),
    "no sibling": ({"spiral": FOLDERS["spiral"], "star": FOLDERS["star"]}, "no sibling was tested"),
    "no control": ({"spiral": FOLDERS["spiral"], "rings": FOLDERS["rings"]}, "no control was"),
    "no probe": (
        {"spiral": ("target", 0, 3, 30), "star": FOLDERS["star"]}, "too few pictures to train",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CAVEATS)
def test_what_is_missing_is_a_caveat(name: str, shown: Evidence) -> None:
    folders, wanted = CAVEATS[name]
    found = said(PLAIN, subjects(folders))
    assert any(re.search(wanted, one) for one in found.caveats)
    assert not any(re.search(wanted, one) for one in shown.caveats)


def test_who_was_not_spared_is_named() -> None:
    found = said(PLAIN, harm={"main": (9.0, 4.0)})
    sibling = found.main.role("sibling")
    assert sibling is not None
    lost = round(sibling.drop * sibling.n)
    assert lost > 1
    assert f"Not spared: {lost} of 20 siblings lost their label too." in found.caveats


def test_a_milder_mode_that_leaves_more_is_told() -> None:
    mean = condition("by mean", mode="mean")
    found = said([condition("main"), mean], harm={"main": (9.0, 0.3), "by mean": (0.5, 0.1)})
    assert any("by mean, the same channels leave 30 of 30 targets seen" in c for c in found.caveats)
    alone = said([condition("main")])
    assert any("neither mean nor resample was tried" in one for one in alone.caveats)


def test_a_scaled_map_is_no_evidence_of_zero_s_strangeness() -> None:
    scaled = condition("by scale", mode="scale", alpha=0.5)
    found = said([condition("main"), scaled], harm={"main": (9.0, 0.3), "by scale": (0.5, 0.1)})
    assert not any("by scale" in one for one in found.caveats)
    assert any("neither mean nor resample was tried" in one for one in found.caveats)


@pytest.mark.parametrize(
    ("tuned_on", "told"),
    [((8, 30), "picked on 8 targets and 30 other pictures"),
     ((12, 3), "picked on 12 targets and 3 other pictures"), ((12, 30), None), (None, None)],
)  # fmt: skip
def test_a_dose_that_few_have_picked_is_told(
    tuned_on: tuple[int, int] | None, told: str | None
) -> None:
    found = said([condition("main")], tuned_on=tuned_on)
    few = [one for one in found.caveats if one.startswith("Few tuning pictures")]
    assert len(few) == (told is not None)
    assert told is None or f"{told}. Other pictures might have led to another" in few[0]


def test_a_tuned_dose_that_misses_on_test_pictures_is_told() -> None:
    spared = said([condition("main")], harm={"main": (4.0, 0.3)}, tuned_on=(20, 20))
    target = spared.main.role("target")
    assert target is not None
    assert target.kept.value > 0.02
    (missed,) = [one for one in spared.caveats if one.startswith("Missed")]
    wanted = f"leave {percent(target.kept.value)} and {percent(target.p_target)}."
    assert wanted in missed
    hit = said([condition("main")], harm={"main": (40.0, 0.0)}, tuned_on=(20, 20))
    named = said([condition("main")], harm={"main": (4.0, 0.3)})
    for found in (hit, named):
        assert not any(one.startswith("Missed") for one in found.caveats)


def test_few_others_are_told_by_role(shown: Evidence) -> None:
    few = {
        "spiral": FOLDERS["spiral"], "rings": ("sibling", 1, 9, 6), "star": ("control", 6, 8, 40)
    }  # fmt: skip
    found = said(PLAIN, subjects(few))
    (told,) = [one for one in found.caveats if "that keeps its label may" in one]
    assert told.startswith("Few pictures: with 6 siblings, the share")
    assert any("with 20 siblings" in one for one in shown.caveats)


def test_what_leave_one_out_does_not_cover_is_told() -> None:
    who = [
        one.model_copy(update={"fold": one.position}) if one.role == "target" else one
        for one in subjects({"spiral": ("target", 0, 0, 4), "star": FOLDERS["star"]})
    ]
    folds = [condition(f"fold {n}", fold=n) for n in range(4)]
    found = said([condition("main"), *folds], who)
    (told,) = [one for one in found.caveats if one.startswith("Only the headline's targets")]
    assert "those of the matrix, those kept alone and each channel by itself" in told


@pytest.mark.parametrize(("stability", "told"), [(0.2, True), (0.9, False), (None, False)])
def test_a_choice_that_does_not_last_is_told(stability: float | None, told: bool) -> None:
    found = said([condition("main")], stability=stability)
    assert any("sets chosen from redrawn pictures share only" in c for c in found.caveats) == told


def test_the_probe_s_area_is_told_with_its_meaning() -> None:
    drawn = draw([condition("main")])
    target = [one.role == "target" for one in drawn.plan.subjects]
    for lead, wanted in ((9.0, "still reads it"), (0.0, "hardly reads it")):
        features = np.random.default_rng(4).normal(size=(2, len(target), 3))
        features[:, target, 0] += lead
        made = of_logits([condition("main")], drawn.plan.subjects, drawn.logits, features=features)
        found = analyse(made.plan, made.readings, study="s", name="n", labels=LABELS)
        assert sum(wanted in one for one in found.caveats) == 1


def test_everything_at_once_says_nothing_wrong() -> None:
    found = said(full(), exploratory="so it was asked", stability=0.1)
    assert not NEVER.search(" ".join([found.sentence, *found.caveats]))

"""Splits follow from hashes, nothing that chooses tests, and copies serve nothing."""

from collections import Counter

import numpy as np
import pytest

from beholder.evidence.duplicates import NEAR, fingerprint, near_duplicates
from beholder.evidence.splits import ENOUGH_TARGETS, divide
from beholder.evidence.target import Target, labels_of
from beholder.specimens.draw import draw
from tests.evidence.answered import answered

MANY = {"kelpie": ("target", 40, 1), "skunk": ("control", 20, 2), "dingo": ("sibling", 10, 3)}


def split_of(division):
    return {one.sha256: one.split for one in division.subjects}


def divided(answers, seed=0):
    labels = labels_of(Target(1, "b", "vote"), "abcd", answers)
    return divide(answers, labels, seed=seed)


def counted(division):
    return Counter((one.role, one.split) for one in division.subjects)


def test_every_folder_is_shared_out_alike():
    division = divided(answered(MANY))
    assert division.exploratory is None
    assert counted(division) == {
        ("target", "choose"): 16, ("target", "tune"): 8, ("target", "test"): 16,
        ("control", "choose"): 8, ("control", "tune"): 4, ("control", "test"): 8,
        ("sibling", "choose"): 4, ("sibling", "tune"): 2, ("sibling", "test"): 4,
    }  # fmt: skip
    assert {one.fold for one in division.subjects} == {None}
    assert [one.position for one in division.subjects] == list(range(70))


def test_a_picture_s_place_follows_from_its_hash_and_the_seed():
    answers = answered(MANY)
    turned = type(answers)(**{name: rows[::-1] for name, rows in vars(answers).items()})
    splits = split_of(divided(answers))
    assert split_of(divided(turned)) == splits
    assert split_of(divided(answers, seed=1)) != splits
    without = {name: group for name, group in MANY.items() if name != "dingo"}
    fewer = split_of(divided(answered(without)))
    assert fewer.items() <= splits.items()


def test_a_target_counts_for_its_class_and_others_for_what_is_seen():
    division = divided(answered({**MANY, "cat": ("target", 1, 0)}))
    labels = {(one.role, one.label) for one in division.subjects}
    assert labels == {("target", 1), ("control", 2), ("sibling", 3)}


def test_few_targets_are_each_left_out_once():
    groups = {"kelpie": ("target", ENOUGH_TARGETS - 1, 1), "skunk": ("control", 5, 2)}
    division = divided(answered(groups))
    assert "19 targets are too few" in division.exploratory
    folds = [one.fold for one in division.subjects if one.role == "target"]
    assert sorted(folds) == list(range(19))
    assert counted(division) == {
        ("target", "test"): 19, ("control", "test"): 3, ("control", "choose"): 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("others", "told"), [(1, "1 other picture is"), (19, "19 other"), (20, "")]
)
def test_few_others_are_exploratory_though_targets_are_held_out(others, told):
    groups = {"kelpie": ("target", ENOUGH_TARGETS, 1), "skunk": ("control", others, 2)}
    division = divided(answered(groups))
    assert (division.exploratory or "").startswith(told)
    assert (division.exploratory is None) == (told == "")
    assert {one.fold for one in division.subjects} == {None}
    assert counted(division)["target", "choose"] == 8


def test_few_of_both_are_both_told():
    division = divided(answered({"kelpie": ("target", 2, 1), "skunk": ("control", 5, 2)}))
    assert "2 targets are too few" in division.exploratory
    assert division.exploratory.endswith(
        "5 other pictures are too few to show what is spared (20 are enough): 3 of them tested, "
        "the rest helped to choose."
    )
    assert counted(division)["control", "test"] == 3


def test_a_single_other_is_not_said_to_have_company():
    division = divided(answered({"kelpie": ("target", 2, 1), "skunk": ("control", 1, 2)}))
    assert division.exploratory.endswith("(20 are enough).")


def test_small_folders_of_a_role_are_shared_out_together():
    groups = {f"dog {number}": ("target", 1, 1) for number in range(25)}
    division = divided(answered({**groups, "skunk": ("control", 20, 2)}))
    assert counted(division)["target", "choose"] == 10
    assert counted(division)["target", "test"] == 10


def test_copies_serve_nothing_and_a_target_stays_rather_than_a_control():
    distinct = np.random.default_rng(1).integers(2**63, size=27).astype(np.uint64)
    distinct[25] = distinct[3] ^ np.uint64(0b111)  # a control that is nearly target 3
    distinct[26] = distinct[25] ^ np.uint64(0b1000)  # and one nearly the same as both
    answers = answered({"kelpie": ("target", 25, 1), "skunk": ("control", 2, 2)}, hashes=distinct)
    division = divided(answers)
    copies = {one.position: one.duplicate_of for one in division.subjects if one.duplicate_of}
    assert copies == {25: 3, 26: 3}
    assert {one.split for one in division.subjects if one.duplicate_of} == {"duplicate"}


def test_near_is_so_many_bits_and_not_passed_on():
    base = 0b1010
    near, far = base ^ ((1 << NEAR) - 1) << 8, base ^ ((1 << 2 * NEAR) - 1) << 8
    hashes = np.array([base, near, far], np.uint64)
    assert near_duplicates(hashes, [0, 1, 2]) == {1: 0}  # far is near only to what does not stay
    assert near_duplicates(hashes, [1, 0, 2]) == {0: 1, 2: 1}


@pytest.mark.parametrize("size", [(160, 160), (200, 150)])
def test_a_resized_copy_is_near_and_another_drawing_is_not(size):
    one, other = draw("spiral", seed=1, size=224), draw("spiral", seed=2, size=224)
    hashes = np.array([fingerprint(p) for p in (one, one.resize(size), other)], np.uint64)
    assert near_duplicates(hashes, [0, 1, 2]) == {1: 0}

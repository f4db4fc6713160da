"""The target is a label, the class that a folder is named after, or what most targets show."""

import pytest

from beholder.errors import InvalidInput
from beholder.evidence.target import find_target, labels_of
from tests.evidence.answered import answered

LABELS = ("tabby", "German shepherd", "toy poodle", "kelpie")


def pictures(folder="kelpies"):
    return answered({folder: ("target", 4, 1), "other": ("target", 3, 3), "x": ("control", 9, 0)})


@pytest.mark.parametrize(
    ("asked", "folder", "index", "by"),
    [
        ("vote", "kelpies", 1, "vote of the intact network, 4 of 7 targets"),
        ("folder", "kelpies", 3, "folder"),
        ("folder", "german_shepherd", 1, "folder"),
        ("germanshepherd", "kelpies", 1, "label"),
        ("Toy Poodle", "kelpies", 2, "label"),
    ],
)
def test_found(asked, folder, index, by):
    found = find_target(asked, LABELS, pictures(folder))
    assert (found.index, found.label, found.by) == (index, LABELS[index], by)


@pytest.mark.parametrize(
    ("asked", "words"),
    [("kelpi", "no class 'kelpi'.*such as kelpie"), ("folder", "the folder 'zoo' names no class")],
)
def test_not_found(asked, words):
    with pytest.raises(InvalidInput, match=words):
        find_target(asked, LABELS, pictures("zoo"))


def test_by_folder_others_count_for_theirs_and_else_for_what_is_seen():
    groups = {"kelpie": ("target", 2, 1), "tabby": ("control", 2, 2), "x": ("control", 1, 2)}
    own = answered(groups)
    assert labels_of(find_target("folder", LABELS, own), LABELS, own) == [3, 3, 0, 0, 2]
    assert labels_of(find_target("vote", LABELS, own), LABELS, own) == [1, 1, 2, 2, 2]

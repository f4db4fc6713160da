"""Which picture serves what: `subjects` splits a study's pictures by their hashes.

What chooses channels never tests them. With few targets each is tested by channels that were chosen
without it (leave-one-out), and the study is exploratory, as it is with few others.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from beholder.evidence.answers import Answers
from beholder.evidence.duplicates import near_duplicates
from beholder.evidence.names import Role, Split
from beholder.evidence.plan import Subject
from beholder.plurals import plural

_OWN_SPLIT = 5  # pictures: smaller folders of a role are shared out together
ENOUGH_TARGETS = 20  # for some to choose by, some to tune by and some to test on
ENOUGH_OTHERS = 20  # for the same
_SHARES: dict[Split, float] = {"choose": 0.4, "tune": 0.2, "test": 0.4}


@dataclass(frozen=True)
class Division:
    """Every picture with what it serves, in the answers' order.

    exploratory: why the study proves nothing by itself; None if there was enough to hold out.
    """

    subjects: tuple[Subject, ...]
    exploratory: str | None
    seed: int

    def rows(self, split: Split, *, others: bool) -> list[int]:
        """The answers' rows that serve as `split`, in an order of chance: targets, or all `others`.

        In leave-one-out the targets that test are those that choose.
        """
        folded = split == "choose" and not others
        found = [
            row
            for row, one in enumerate(self.subjects)
            if (one.role != "target") is others
            and (one.split == split or (folded and one.fold is not None))
        ]
        return sorted(found, key=lambda row: _lot(self.subjects[row].sha256, self.seed))


def divide(answers: Answers, labels: Sequence[int], *, seed: int) -> Division:
    """Split the pictures of each role and folder, once near-duplicates are put aside.

    labels: (N,) class indices that the pictures count for. A picture's place follows from the seed,
    its hash, and those of its own folder; small folders of a role share one order, and a copy of a
    picture in another folder gives way to it.
    """
    count = len(answers.positions)
    rows = sorted(range(count), key=lambda row: _lot(str(answers.sha256[row]), seed))
    # A target stays rather than a control that is nearly the same.
    rows.sort(key=lambda row: answers.role[row] != "target")
    copies = near_duplicates(answers.hashes, rows)
    kept = [row for row in rows if row not in copies]
    targets = [row for row in kept if answers.role[row] == "target"]
    few = len(targets) < ENOUGH_TARGETS
    folds = {row: fold for fold, row in enumerate(targets)} if few else {}
    splits = _splits(answers, kept, few)
    splits |= dict.fromkeys(copies, "duplicate")
    originals = {row: int(answers.positions[original]) for row, original in copies.items()}
    subjects = (
        _subject(answers, row, labels[row], splits[row], folds.get(row), originals.get(row))
        for row in range(count)
    )
    tested = sum(splits[row] == "test" for row in kept if answers.role[row] != "target")
    reason = _reason(len(targets), len(kept) - len(targets), tested)
    return Division(tuple(subjects), reason, seed)


def _reason(targets: int, others: int, tested: int) -> str | None:
    """None where there are enough of both. tested: how many of the others test."""
    said = []
    if targets < ENOUGH_TARGETS:
        said.append(
            f"{plural(targets, 'target')} {_is(targets)} too few to hold some out "
            f"({ENOUGH_TARGETS} are enough): each was tested with channels chosen by the others."
        )
    if others < ENOUGH_OTHERS:
        went = f": {tested} of them tested, the rest helped to choose." if tested < others else "."
        said.append(
            f"{plural(others, 'other picture')} {_is(others)} too few to show what is spared "
            f"({ENOUGH_OTHERS} are enough){went}"
        )
    return " ".join(said) or None


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _splits(answers: Answers, rows: Sequence[int], few: bool) -> dict[int, Split]:
    """By row. With few targets all of them test, and others choose or test, half and half."""
    names = [
        (str(role), str(group)) for role, group in zip(answers.role, answers.group, strict=True)
    ]
    sizes = Counter(names[row] for row in rows)
    folders: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        role, group = names[row]
        folder = group if sizes[role, group] >= _OWN_SPLIT else ""
        folders.setdefault((role, folder), []).append(row)
    found: dict[int, Split] = {}
    for (role, _), own in folders.items():
        if not few:
            found |= _shared_out(own)
        elif role == "target":
            found |= dict.fromkeys(own, "test")
        else:
            found |= {row: "choose" if place % 2 else "test" for place, row in enumerate(own)}
    return found


def _shared_out(rows: Sequence[int]) -> dict[int, Split]:
    """The rows in their order, by `_SHARES`; a single one tests."""
    first = round(_SHARES["choose"] * len(rows))
    second = first + round(_SHARES["tune"] * len(rows))
    return {
        row: "choose" if place < first else "tune" if place < second else "test"
        for place, row in enumerate(rows)
    }


def _lot(sha256: str, seed: int) -> str:
    """What puts pictures into an order of chance that is theirs for good."""
    return hashlib.sha256(f"{seed}:{sha256}".encode()).hexdigest()


def _subject(
    answers: Answers,
    row: int,
    label: int,
    split: Split,
    fold: int | None,
    duplicate_of: int | None,
) -> Subject:
    role: Role = answers.role[row].item()
    return Subject(
        position=int(answers.positions[row]),
        sha256=str(answers.sha256[row]),
        source=str(answers.source[row]),
        role=role,
        group=str(answers.group[row]) or role,
        label=label,
        split=split,
        fold=fold,
        duplicate_of=duplicate_of,
    )

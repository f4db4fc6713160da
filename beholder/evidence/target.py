"""Which class a sound study is about: `find_target`; what its pictures count for: `labels_of`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from beholder.evidence.answers import Answers
from beholder.labels import BY_FOLDER, BY_VOTE, called, find_label, label_of_folder


@dataclass(frozen=True)
class Target:
    """A class of the network. by: how it was found, in words."""

    index: int
    label: str
    by: str


def find_target(asked: str, labels: Sequence[str], answers: Answers) -> Target:
    """The class that was `asked` for: one of `labels` or its number, "folder" or "vote".

    "folder": the class that the first target's folder is named after. "vote": what the intact
    network sees in most targets, the lower class index among equals. Raises InvalidSpec for a name
    that is no class, or that of several.
    """
    own = answers.role == "target"
    if asked == BY_VOTE:
        seen = Counter(answers.logits[own].argmax(axis=1).tolist())
        index, votes = min(seen.items(), key=lambda pair: (-pair[1], pair[0]))
        by = f"vote of the intact network, {votes:,} of {int(own.sum()):,} targets"
        return Target(index, labels[index], by)
    if asked == BY_FOLDER:
        index = label_of_folder(str(answers.group[own][0]), labels)
        return Target(index, labels[index], BY_FOLDER)
    index = find_label(asked, labels)
    return Target(index, labels[index], "label")


def labels_of(target: Target, labels: Sequence[str], answers: Answers) -> list[int]:
    """The class index that each picture counts for: the target's own for a target.

    Another counts for what the intact network sees in it; where the target is known by its folder,
    for the class that its own folder is named after, if it is named after one.
    """
    seen = answers.logits.argmax(axis=1).tolist()
    named: dict[str, int | None] = {}
    if target.by == BY_FOLDER:
        named = {group: _named(group, labels) for group in set(answers.group.tolist())}
    found = []
    for row, group in enumerate(answers.group.tolist()):
        own = named.get(group)
        other = seen[row] if own is None else own
        found.append(target.index if answers.role[row] == "target" else other)
    return found


def _named(folder: str, labels: Sequence[str]) -> int | None:
    found = called(folder, labels)
    return found[0] if len(found) == 1 else None

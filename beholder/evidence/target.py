"""Which class a sound study is about: `find_target`; what its pictures count for: `labels_of`."""

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from beholder.errors import InvalidInput
from beholder.evidence.answers import Answers

BY_FOLDER = "folder"
_NEAREST = 3


@dataclass(frozen=True)
class Target:
    """A class of the network. by: how it was found, in words."""

    index: int
    label: str
    by: str


def find_target(asked: str, labels: Sequence[str], answers: Answers) -> Target:
    """The class that was `asked` for: one of `labels`, "folder" or "vote".

    "folder": the class that the first target's folder is named after. "vote": what the intact
    network sees in most targets, the lower class index among equals. Raises InvalidInput for a name
    that is no class.
    """
    own = answers.role == "target"
    if asked == "vote":
        seen = Counter(answers.logits[own].argmax(axis=1).tolist())
        index, votes = min(seen.items(), key=lambda pair: (-pair[1], pair[0]))
        by = f"vote of the intact network, {votes:,} of {int(own.sum()):,} targets"
        return Target(index, labels[index], by)
    name = str(answers.group[own][0]) if asked == "folder" else asked
    index = _named(name, labels)
    if index is None:
        raise InvalidInput(_unknown(name, labels, by_folder=asked == "folder"))
    return Target(index, labels[index], BY_FOLDER if asked == "folder" else "label")


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


def _named(name: str, labels: Sequence[str]) -> int | None:
    """The class of this name, whatever its case and its signs; a plural will do."""
    if name in labels:
        return labels.index(name)
    plain = [_letters(label) for label in labels]
    for wanted in (_letters(name), _letters(name).removesuffix("s")):
        if wanted and wanted in plain:
            return plain.index(wanted)
    return None


def _letters(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def _unknown(name: str, labels: Sequence[str], *, by_folder: bool) -> str:
    near = difflib.get_close_matches(name, labels, _NEAREST, cutoff=0.5) or labels[:_NEAREST]
    what = f"the folder {name!r} names no class" if by_folder else f"no class {name!r}"
    return f"target: {what} of this network; write vote, or a label such as {', '.join(near)}."

"""What a network's classes are called: `known_labels`, without loading it, and `find_label`."""

import difflib
import json
import re
import struct
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files

from beholder.errors import InvalidSpec
from beholder.layers import is_number

# Words that stand for a study's class instead of its label.
BY_FOLDER, BY_VOTE = "folder", "vote"
_NEAREST = 3


def known_labels(network: str) -> tuple[str, ...] | None:
    """The labels of the network of this name, in order; None where only its file knows them."""
    if network == "specimens":
        return _specimens()
    return imagenet_labels() if network == "vgg19" or network.startswith("random:") else None


def find_label(asked: str, labels: Sequence[str], field: str = "target") -> int:
    """The class of this label or number. Case and signs don't matter, and a plural will do.

    field: of the spec that asks. Raises InvalidSpec with the nearest labels, or the numbers of all
    that are called so.
    """
    if asked not in labels and is_number(asked) and int(asked) < len(labels):
        return int(asked)
    exact = [number for number, label in enumerate(labels) if label == asked]
    unknown = f"no class {asked[:80]!r}"
    return _only(asked, exact or called(asked, labels), labels, unknown, field)


def label_of_folder(folder: str, labels: Sequence[str]) -> int:
    """The class that a folder is named after. Raises InvalidSpec as `find_label` does."""
    unknown = f"the folder {folder[:80]!r} names no class"
    return _only(folder, called(folder, labels), labels, unknown)


def check_target(network: str, asked: str, folder: str | None = None) -> None:
    """Raise InvalidSpec where a study's target is known not to be a class of its network.

    folder: of its first target, if it is known already.
    """
    labels = known_labels(network)
    if labels is None or asked == BY_VOTE:
        return
    if asked != BY_FOLDER:
        find_label(asked, labels)
    elif folder is not None:
        label_of_folder(folder, labels)


def called(name: str, labels: Sequence[str]) -> list[int]:
    """All classes of this name, whatever its case and its signs; else those it is a plural of."""
    plain = [_letters(label) for label in labels]
    for wanted in _singulars(_letters(name)):
        found = [number for number, label in enumerate(plain) if wanted and label == wanted]
        if found:
            return found
    return []


def _only(
    name: str, found: Sequence[int], labels: Sequence[str], unknown: str, field: str = "target"
) -> int:
    """The one found. Raises InvalidSpec for several, and for none with what is `unknown`."""
    if len(found) > 1:
        each = ", ".join(f"{number} ({labels[number]})" for number in found)
        raise InvalidSpec(
            f"{field}: {len(found)} classes of this network are called {name[:80]!r}: write the "
            f"number of the one that is meant, {each}."
        )
    if not found:
        instead = "vote" if field == "target" else f"a number from 0 to {len(labels) - 1}"
        raise InvalidSpec(
            f"{field}: {unknown} of this network; write {instead}, or a label such as "
            f"{', '.join(_nearest(name, labels))}."
        )
    return found[0]


def _nearest(name: str, labels: Sequence[str]) -> list[str]:
    """Some labels that look like it, or the first of all."""
    by_letters = {_letters(label): label for label in labels}
    near = difflib.get_close_matches(_letters(name[:80]), by_letters, _NEAREST, cutoff=0.6)
    return [by_letters[one] for one in near] or list(labels[:_NEAREST])


def _letters(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def _singulars(name: str) -> Iterator[str]:
    """The name itself, then what it may be the plural of: kelpies, foxes, ponies."""
    yield name
    for ending, instead in (("s", ""), ("es", ""), ("ies", "y")):
        if name.endswith(ending):
            yield name.removesuffix(ending) + instead


@cache
def imagenet_labels() -> tuple[str, ...]:
    """ImageNet-1k's 1000 categories, as torchvision has them."""
    text = files("beholder").joinpath("imagenet_labels.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


@cache
def _specimens() -> tuple[str, ...] | None:
    """From the head of its file: eight bytes of length, then JSON."""
    path = files("beholder.specimens").joinpath("specimens.safetensors")
    if not path.is_file():
        return None  # the worker says what to do about it
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        head = json.loads(file.read(length))
    return tuple(json.loads(head["__metadata__"]["labels"]))

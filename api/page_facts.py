"""What a job's page lists under "What was asked": `facts(spec)`, a name and words for each setting.

What a job has no use for is left out, and what it left to Beholder is said as what that becomes.
"""

from collections.abc import Iterator
from typing import Any

from api.page_words import CONTROLS, layers_words
from beholder.layers import numbers_text
from beholder.specs import OF_SOUND, DreamSpec, Spec, StudySpec
from beholder.terms import number_text

_WHERE_UNSAID = {  # of what is None or empty
    "channels": "the whole layer",
    "snapshots": "the last",
    "dose": "tuning pictures decide",
    "doses": "the dose alone",
}
_OF_A_FILM = ("zoom", "frames", "carry")
_OF_COUNTS = ("top", "norm_threshold")  # a sound study has them where it scores by counting
_OF_THE_ARTICLE = ("most_common", "threshold", "pre_relu")


def facts(spec: Spec) -> list[tuple[str, str]]:
    """Every setting that counts with a name for people, in the order of the spec."""
    without = set(_without(spec) if isinstance(spec, DreamSpec) else _without_of_study(spec))
    return [
        (name.replace("_", " ").capitalize(), _words(spec, name))
        for name in type(spec).model_fields
        if name not in without
    ]


def _without(spec: DreamSpec) -> Iterator[str]:
    yield "network"  # stands among what ran, with its hash
    yield from ("layers", "channels") if spec.objective else ("objective",)
    usual = spec.model_construct()
    for name in (*CONTROLS, "recipe", *_OF_A_FILM):
        if getattr(spec, name) == getattr(usual, name):
            yield name


def _without_of_study(spec: StudySpec) -> Iterator[str]:
    yield "network"
    if spec.recipe == "article":
        yield from OF_SOUND
        return
    yield from _OF_THE_ARTICLE
    if "count" not in spec.methods:
        yield from _OF_COUNTS
    if "scale" not in spec.modes:
        yield "alpha"


def _words(spec: Spec, name: str) -> str:
    value = getattr(spec, name)
    if isinstance(spec, StudySpec) and name in ("methods", "modes"):
        return ", ".join(value) or (spec.method if name == "methods" else spec.mode)
    if value is None or value == ():
        return _WHERE_UNSAID[name]
    if name == "doses":
        return ", ".join(map(str, value))
    if name == "layers":
        return f"{numbers_text(value)} ({layers_words(value)})"
    if name == "min_layer":
        return f"{value} ({layers_words([value])})"
    return _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return numbers_text(value)
    return number_text(value) if isinstance(value, float) else str(value)

"""Specs and numbers in words for the page, and the command line that would ask for the same."""

import math
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from beholder import durations
from beholder.defaults import DEFAULT_SIZE
from beholder.devices import DEFAULT_DEVICE, Device
from beholder.layers import LAYERS, numbers_text
from beholder.objective import parse_objective
from beholder.precisions import DEFAULT_PRECISION
from beholder.priorities import DEFAULT_PRIORITY, Priority
from beholder.recipes import DEFAULT_RECIPE
from beholder.specs import DreamSpec, Spec, StudySpec
from beholder.terms import number_text, objective_of

SHOWN_LAYERS = 4
CONTROLS = (  # a dream's fields that the article's has not
    "measure",
    "octaves",
    "octave_scale",
    "jitter",
    "gradient",
    "smoothing",
    "optimiser",
    "schedule",
    "parameters",
    "transforms",
    "mask",
    "guide",
    "keep_colour",
    "blend",
)


def duration(seconds: float) -> str:
    """As everywhere, with a tenth for what took less than ten seconds."""
    return f"{max(0.1, seconds):.1f} s" if seconds < 10 else durations.duration(seconds)


def bytes_words(count: int) -> str:
    """ "12.3 kB"."""
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def number_words(number: float) -> str:
    """To three digits, as people write it: "-4,770", "0.0123"; "3.1e-09" where that is too long."""
    size = abs(number)
    if not 1e-5 <= size < 1e15:
        return f"{number:.3g}"
    rounded = float(f"{number:.3g}")
    places = max(0, 2 - math.floor(math.log10(size)))
    text = f"{rounded:,.{places}f}"
    return text.rstrip("0").rstrip(".") if places else text


def short(text: str, length: int = 28) -> str:
    """The text, its middle left out when it is long."""
    if len(text) <= length:
        return text
    half = (length - 1) // 2
    return f"{text[: length - 1 - half]}…{text[-half:]}"


_STUDY_OPTIONS = (
    "recipe",
    "target",
    "top",
    "min_layer",
    "most_common",
    "threshold",
    "alpha",
    "dose",
    "draws",
    "seed",
)


def layers_words(chosen: Sequence[int]) -> str:
    """ "relu5_4", a few by name, or "37 layers, conv1_1 to pool5"."""
    names = [LAYERS[layer].name for layer in chosen]
    if len(names) <= SHOWN_LAYERS:
        return ", ".join(names)
    ends = LAYERS[min(chosen)].name, LAYERS[max(chosen)].name
    return f"{len(names)} layers, {ends[0]} to {ends[1]}"


def ask_words(spec: Spec) -> str:
    """What a job asks for, on one line."""
    if isinstance(spec, StudySpec) and spec.recipe == "sound":
        dose = f"{spec.dose} channels" if spec.dose else "as many channels as tuning asks for"
        return f"sound study: {spec.method} scores, {spec.mode} ablation, {dose}"
    if isinstance(spec, StudySpec):
        return (
            f"top {spec.top} channels a picture, blinding from {LAYERS[spec.min_layer].name} on "
            f"what {spec.threshold} share"
        )
    what = short(spec.objective, 80) if spec.objective else layers_words(spec.layers)
    words = [what, f"{spec.steps:,} step{'s' * (spec.steps != 1)}"]
    if spec.recipe != DEFAULT_RECIPE:
        words.insert(0, spec.recipe)
    if spec.channels:
        noun = "channel" if len(spec.channels) == 1 else "channels"
        words.insert(1, f"{noun} {short(numbers_text(spec.channels), 40)}")
    return " · ".join(words)


_MEASURES: dict[str, str] = {
    "norm": "the L2 norm of",
    "squared": "half the squared L2 norm of",
    "mean": "the mean of",
    "caricature": "the caricature at",
    "guide": "likeness to the guide at",
}


def climb_words(spec: DreamSpec, layer: int) -> str:
    """What the steps of its dreams at one of its layers climb."""
    if spec.objective is None:
        (term,) = objective_of(layer, spec.channels).terms
        return f"{_MEASURES[spec.measure]} {short(str(term), 60)}"
    unsaid = any(
        term.layer is not None and term.measure is None
        for term in parse_objective(spec.objective).terms
    )
    if not unsaid:
        return spec.objective
    return f"{spec.objective}, with {_MEASURES[spec.measure]} layers that name no measure"


def command(
    spec: Spec,
    name: str = "",
    priority: Priority = DEFAULT_PRIORITY,
    *,
    device: Device = DEFAULT_DEVICE,
    pictures: bool = False,
    others: Collection[str] = ("control",),
) -> str:
    """The command that asks for the same. DIR stands for the folder of pictures.

    pictures: whether a dream has any besides its noise; without noise it always has.
    others: which of "sibling" and "control" a study's pictures are, besides its targets.

    Empty for a study with a norm threshold, which only the API can ask for.
    """
    if isinstance(spec, StudySpec) and spec.norm_threshold:
        return ""
    words = [
        "beholder",
        *(_dream(spec, pictures) if isinstance(spec, DreamSpec) else _study(spec, others)),
    ]
    words += ["--network", spec.network]
    if isinstance(spec, DreamSpec):
        words += _looks(spec.overrides)
    else:
        words += ["--size", str(spec.size)] if spec.size != DEFAULT_SIZE else []
        words += ["--normalize"] * spec.normalize
    words += ["--pre-relu"] * spec.pre_relu
    words += ["--name", name] if name else []
    words += ["--priority", priority] if priority != DEFAULT_PRIORITY else []
    words += ["--device", device] if device != DEFAULT_DEVICE else []
    return shlex.join(words)


def _dream(spec: DreamSpec, pictures: bool) -> Iterator[str]:
    changed = spec.overrides
    yield "submit"
    if spec.recipe != DEFAULT_RECIPE:
        yield from ("--recipe", spec.recipe)
    if pictures or not spec.noise:
        yield from ("--dir", "DIR")
    if spec.noise:
        yield from ("--noise", str(spec.noise))
    if spec.noise or spec.seed:
        yield from ("--seed", str(spec.seed))
    if spec.objective:
        yield from ("--objective", spec.objective)
    else:
        yield from ("--layer", _layers_text(spec.layers))
    if spec.channels:
        yield from ("--channel", numbers_text(spec.channels))
    for field in ("steps", "learning_rate"):
        if spec.recipe == DEFAULT_RECIPE or field in changed:
            yield from _option(field, getattr(spec, field))
    for field in CONTROLS:
        if field in changed:
            yield from _option(field, changed[field])
    if spec.snapshots:
        yield from ("--snapshots", ",".join(map(str, sorted(spec.snapshots))))
    if spec.zoom:
        yield from ("--zoom", number_text(spec.zoom), "--frames", str(spec.frames))
    if spec.carry:
        yield from ("--carry", number_text(spec.carry))
    if spec.precision != DEFAULT_PRECISION:
        yield from ("--precision", spec.precision)


def _option(field: str, value: object) -> Iterator[str]:
    """A control as the command line takes it; of a file, a word that stands for it."""
    yield f"--{field.replace('_', '-')}"
    if field in ("mask", "guide"):
        yield field.upper()
    elif not isinstance(value, bool):
        yield number_text(value) if isinstance(value, float) else str(value)


def _looks(changed: Mapping[str, Any]) -> Iterator[str]:
    """What is not the recipe's of how pictures are shown to the network."""
    if "size" in changed:
        yield from ("--size", str(changed["size"]))
    if "normalize" in changed:
        yield "--normalize" if changed["normalize"] else "--raw"


def _layers_text(chosen: Sequence[int]) -> str:
    if len(chosen) == len(LAYERS):
        return "all"
    ascending = all(left < right for left, right in pairwise(chosen))
    return numbers_text(chosen) if ascending else ",".join(map(str, chosen))


def _study(spec: StudySpec, others: Collection[str]) -> Iterator[str]:
    yield from ("study", "--dir", "TARGETS")
    for role in ("sibling", "control"):
        if role in others:
            yield from (f"--{role}", f"{role.upper()}S")
    standard = StudySpec()
    for field in _STUDY_OPTIONS:
        if getattr(spec, field) != getattr(standard, field):
            yield from (f"--{field.replace('_', '-')}", str(getattr(spec, field)))
    for option, values in (("--method", spec.methods), ("--mode", spec.modes)):
        for value in values:
            yield from (option, value)
    if spec.doses != standard.doses:
        yield from ("--doses", ",".join(map(str, spec.doses)))
    yield from ["--per-layer"] * spec.per_layer + ["--matrix"] * spec.matrix

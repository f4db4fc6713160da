"""Specs, layers and numbers in words, for tables, remarks and titles."""

from collections.abc import Iterator, Sequence

from beholder.layers import LAYERS
from beholder.names import channels_text
from beholder.precisions import DEFAULT_PRECISION
from beholder.recipes import DEFAULT_RECIPE
from beholder.specs import DEFAULT_SIZE, DreamSpec, Spec, StudySpec
from beholder.terms import number_text

SHOWN_LAYERS = 6
SHOWN_LETTERS = 80  # of an objective, on a sheet
_SAID = (  # in words of their own
    "steps",
    "learning_rate",
    "layers",
    "channels",
    "objective",
    "snapshots",
    "noise",
    "seed",
    "zoom",
    "frames",
    "carry",
    "precision",
    "size",
    "normalize",
    "pre_relu",
)


def spec_words(spec: Spec) -> str:
    """What a job asks for, on one line; settings at their defaults are left out where they may."""
    return ", ".join(_words(spec))


def sheet_words(spec: DreamSpec) -> str:
    """How the dreams of a sheet were made, beside the layers, steps and starts that it shows."""
    goal = [shortened(spec.objective)] if spec.objective else []
    return " · ".join(_climb_words(spec, goal))


def shortened(text: str) -> str:
    """A text such as an objective, its end left out where it is long."""
    return text if len(text) <= SHOWN_LETTERS else f"{text[: SHOWN_LETTERS - 1]}…"


def _words(spec: Spec) -> Iterator[str]:
    if isinstance(spec, DreamSpec):
        yield from _dream_words(spec)
    elif spec.recipe == "sound":
        yield from _sound_words(spec)
    else:
        yield f"each layer's top {spec.top} channels a picture"
        yield (
            f"blinding from {layer_words(spec.min_layer)} on up to {spec.most_common} channels "
            f"a layer that at least {spec.threshold} pictures share"
        )
        if spec.norm_threshold:
            yield f"strengths above {number_text(spec.norm_threshold)}"
    if spec.size != DEFAULT_SIZE:
        yield "own size" if spec.size == "keep" else f"size {spec.size}"
    if spec.normalize:
        yield "normalized"
    if spec.pre_relu:
        yield "read before the ReLU"


def _sound_words(spec: StudySpec) -> Iterator[str]:
    yield (
        f"sound: target by {spec.target}"
        if spec.target in ("vote", "folder")
        else (f"sound: target {spec.target}")
    )
    yield f"channels by {' + '.join(spec.methods or (spec.method,))}"
    yield f"ablated by {' + '.join(spec.modes or (spec.mode,))}"
    of_each = " of each layer" if spec.per_layer else ""
    yield f"{spec.dose} channels{of_each}" if spec.dose else f"a tuned dose{of_each}"
    yield f"from {layer_words(spec.min_layer)} on"
    yield f"{spec.draws} random sets"
    if spec.matrix:
        yield "a matrix of all folders"


def _dream_words(spec: DreamSpec) -> Iterator[str]:
    yield from _climb_words(spec, [spec.objective or layers_words(spec.layers)])
    if spec.snapshots:
        yield f"kept at steps {', '.join(str(step) for step in spec.steps_kept)}"
    if spec.noise:
        yield f"{spec.noise:,} from noise (seed {spec.seed})"
    if spec.zoom:
        yield f"{spec.frames:,} frames, each {number_text(spec.zoom)} times the one before"
    if spec.carry:
        yield f"frames of a film, {number_text(spec.carry)} of each carried into the next"
    if spec.precision != DEFAULT_PRECISION:
        yield f"in {spec.precision}"


def _climb_words(spec: DreamSpec, goal: Sequence[str]) -> Iterator[str]:
    """Recipe, steps, learning rate, goal, what differs from the recipe, and channels."""
    if spec.recipe != DEFAULT_RECIPE:
        yield spec.recipe
    yield f"{spec.steps:,} {'step' if spec.steps == 1 else 'steps'}"
    yield f"learning rate {number_text(spec.learning_rate)}"
    yield from goal
    for field, value in spec.overrides.items():
        if field not in _SAID:
            yield _control_words(field, value)
    if spec.channels:
        noun = "channel" if len(spec.channels) == 1 else "channels"
        yield f"{noun} {channels_text(spec.channels)}"


def _control_words(field: str, value: object) -> str:
    words = field.replace("_", " ")
    if value is True:
        return words
    if field in ("mask", "guide"):
        return f"{words} {str(value)[:12]}"
    return f"{words} {number_text(value) if isinstance(value, float) else value}"


def layers_words(layers: Sequence[int]) -> str:
    """ "35 relu5_4", a few by name, or "37 layers, 0 conv1_1 to 36 pool5"."""
    if len(layers) <= SHOWN_LAYERS:
        return " + ".join(layer_words(layer) for layer in layers)
    ends = layer_words(min(layers)), layer_words(max(layers))
    return f"{len(layers)} layers, {ends[0]} to {ends[1]}"


def layer_words(layer: int) -> str:
    """ "35 relu5_4"."""
    return f"{layer} {LAYERS[layer].name}"


def network_words(name: str, sha256: str | None) -> str:
    """A network with the beginning of its weights' hash, once a worker has loaded it."""
    return f"{name} ({sha256[:8]})" if sha256 else name

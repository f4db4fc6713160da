"""`DreamSpec`: what a dream job asks for, with its recipe's defaults and its limits."""

from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import Field, ValidationInfo, model_validator

from beholder.defaults import DEFAULT_LAYER
from beholder.job_spec import (
    MAX_ITEMS,
    MAX_SIZE,
    MAX_WHOLE_SIZE,
    MIN_SIZE,
    STORED,
    JobSpec,
    LayerIndex,
)
from beholder.labels import known_labels
from beholder.layers import LAYERS
from beholder.networks import check_channels_of, width_divisor
from beholder.objective import parse_objective
from beholder.octaves import octave_side
from beholder.precisions import DEFAULT_PRECISION, DreamPrecision
from beholder.recipes import (
    DEFAULT_RECIPE,
    DreamRecipe,
    Gradient,
    Optimiser,
    Parameters,
    Schedule,
    Transforms,
    recipe_defaults,
)
from beholder.terms import OF_A_GUIDE, Objective, Plain, objective_of

MAX_STEPS = 100_000
MAX_FRAMES = 100_000
# Of one dream, all its kept steps together: they stay in memory, 12 bytes each, so 3 GiB.
MAX_KEPT_PIXELS = 4 * MAX_SIZE**2
MAX_GUIDED_PLACES = 112**2  # each is compared with each of the guide's: 630 MB
_OF_PIXELS = ("octaves", "jitter", "smoothing", "gradient", "mask", "keep_colour", "blend")
_CONTROLS = (*_OF_PIXELS, "schedule", "optimiser", "parameters", "transforms")
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class DreamSpec(JobSpec):
    """A climb of an objective, one dream a picture and layer.

    recipe: whose defaults hold where a field is not given; `beholder.recipes` has the table.
    layers: the objective is each of these in turn. channels: of these channels only; None takes
        the whole layer. objective: in the place of both, as `beholder.objective` reads it; `layers`
        is then the deepest layer that it looks at.
    measure: what makes a number of a layer's maps where the objective does not say: the L2 "norm",
        half the "squared" norm, the "mean", or likeness to a guide ("caricature", "guide").
    steps: of all octaves together. learning_rate: what a step multiplies the gradient by; of the
        article `picture = clip(picture + learning_rate * gradient, 0, 1)`.
    schedule: what becomes of the learning rate: it falls to 0 along a line, or half a cosine.
    optimiser: "ascent" takes the gradient; "adam" and "nadam" its running mean by its deviation.
    gradient: "scaled" divides it by the mean of its absolute values.
    smoothing: deviation in pixels of the Gaussians that it is smoothed with; 0 leaves it alone.
    octaves: in how many sizes the picture is dreamt, each `octave_scale` times the one before.
    jitter: pixels by which each step's picture is shifted at most, anew at each step.
    parameters: what is changed: "pixels", the "fourier" spectrum in decorrelated colours, or only
        its "phase". transforms: what each step looks at the picture through.
    mask: SHA-256 of a picture that is kept already: black stays as it is, white dreams.
    guide: SHA-256 of the picture that a "guide" or "caricature" goes toward; a caricature without
        one goes toward the picture itself.
    keep_colour: only the luminance dreams. blend: how much of the start is mixed into the dream.
    snapshots: steps after which the dream is also kept, besides the last; 250 at most, and fewer
        of large pictures (`too_many_kept`), since they stay in memory until the batch is through.
    noise: how many dreams start from Gaussian noise (deviation 0.2) instead of a picture.
    seed: noise start i is drawn after seeding with `seed + i`; what is random in a picture's dream
        is drawn with `seed`.
    zoom: each start becomes a film of so many `frames`, each of which starts from the middle of the
        one before, so many times as large. carry: the pictures are a film's frames in their order,
        and each starts as itself with so much of the dream before it mixed in.
    precision: of the arithmetic. "auto" takes float32 on a CPU, and on a GPU the fastest with which
        test pictures' dreams stay the same; "exact" repeats the published code operation by
        operation. An item's result says which it was.
    """

    recipe: DreamRecipe = DEFAULT_RECIPE
    layers: tuple[LayerIndex, ...] = (DEFAULT_LAYER,)
    channels: tuple[int, ...] | None = None
    objective: str | None = None
    measure: Plain = "norm"
    steps: Annotated[int, Field(ge=1, le=MAX_STEPS)] = 30
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.01
    schedule: Schedule = "constant"
    optimiser: Optimiser = "ascent"
    gradient: Gradient = "plain"
    smoothing: Annotated[float, Field(ge=0, le=32)] = 0.0
    octaves: Annotated[int, Field(ge=1, le=16)] = 1
    octave_scale: Annotated[float, Field(ge=1.05, le=4)] = 1.4
    jitter: Annotated[int, Field(ge=0, le=512)] = 0
    parameters: Parameters = "pixels"
    transforms: Transforms = "none"
    mask: Sha256 | None = None
    guide: Sha256 | None = None
    keep_colour: bool = False
    blend: Annotated[float, Field(ge=0, lt=1)] = 0.0
    snapshots: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(max_length=250)] = ()
    noise: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    seed: Annotated[int, Field(ge=0, lt=2**62)] = 0
    zoom: Annotated[float, Field(gt=1, le=4)] | None = None
    frames: Annotated[int, Field(ge=1, le=MAX_FRAMES)] = 1
    carry: Annotated[float, Field(gt=0, lt=1)] | None = None
    precision: DreamPrecision = DEFAULT_PRECISION

    @model_validator(mode="before")
    @classmethod
    def _of_its_recipe(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {**recipe_defaults(given.get("recipe"), given.get("network")), **given}

    @model_validator(mode="before")
    @classmethod
    def _objective_names_layers(cls, given: Any) -> Any:
        """An objective says which layer; who writes both means the same, or is mistaken."""
        text = given.get("objective") if isinstance(given, dict) else None
        if not isinstance(text, str):
            return given
        found = parse_objective(text)
        if given.get("channels") is not None:
            raise ValueError("channels: the objective names its own; leave them out")
        layers = given.get("layers", ())
        if not isinstance(layers, list | tuple):
            return given  # the field itself says of it what it should be
        if layers and tuple(layers) != (found.layer,):
            raise ValueError("layers: the objective names its own; leave them out")
        return {**given, "objective": str(found), "layers": (found.layer,)}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.layers:  # here, since a minimum would also complain of each wrong layer
            raise ValueError("layers: name one at least")
        late = [step for step in self.snapshots if step > self.steps]
        if late:
            raise ValueError(
                f"snapshots: step {late[0]} is past the last of {self.steps} steps; ask for "
                f"{max(late)} steps or leave it out"
            )
        if self.noise and self.size == "keep":
            raise ValueError("size: noise has no size of its own; write a number of pixels")
        if len(set(self.layers)) < len(self.layers):
            raise ValueError("layers: each layer once")
        return self

    @model_validator(mode="after")
    def _frames_fit(self) -> Self:
        if self.zoom is not None and self.frames == 1:
            raise ValueError("frames: a zoom needs 2 at least")
        if self.zoom is None and self.frames > 1:
            raise ValueError("frames: they are a zoom's; say how far each goes in, such as 1.05")
        if self.carry is not None and (self.zoom is not None or self.noise):
            raise ValueError("carry: it is for pictures that are a film already; no zoom, no noise")
        return self

    @model_validator(mode="after")
    def _controls_fit(self, info: ValidationInfo) -> Self:
        stored = bool(info.context and info.context.get(STORED))
        if not stored and (mistake := next(self._mistakes(), None)):
            raise ValueError(mistake)
        return self

    def _mistakes(self) -> Iterator[str]:
        if self.noise * self.passes > MAX_ITEMS:
            yield (
                f"noise: {self.noise * self.passes:,} items are more than {MAX_ITEMS:,}; name "
                "fewer layers, frames or noise"
            )
        if self.octaves > self.steps:
            yield f"octaves: {self.octaves} of them need a step each; got {self.steps} steps"
        measures = self.objective_at(self.layers[0]).measures
        if self.objective is not None:
            self.objective_at(self.layers[0]).check_labels(known_labels(self.network))
        if "caricature" in measures and self.noise and self.guide is None:
            yield "noise: a caricature is of a picture; name pictures, or a guide"
        if "guide" in measures and self.guide is None:
            yield "guide: the dream goes toward a picture; name one"
        if self.guide is not None and not measures.intersection(OF_A_GUIDE):
            yield "guide: nothing goes toward it; write recipe guide or caricature, or leave it out"
        if self.size != "keep" and (reason := self.unfit(self.size, self.size)):
            yield reason
        if self.parameters != "pixels":
            yield from self._mistakes_of_spectra()
        elif self.transforms != "none":
            yield "transforms: they are for a spectrum; write parameters fourier or phase"

    def _mistakes_of_spectra(self) -> Iterator[str]:
        for name in (*_OF_PIXELS, "octave_scale"):
            if getattr(self, name) != type(self).model_fields[name].default:
                yield f"{name}: a spectrum has none; leave it out, or write parameters pixels"
        if self.optimiser == "ascent":
            yield "optimiser: a spectrum takes adam or nadam"
        if self.size == "keep":
            yield "size: a spectrum needs a number of pixels"
        measures = self.objective_at(self.layers[0]).measures
        if self.transforms == "crops" and "caricature" in measures:
            yield "transforms: a caricature compares place by place, which crops have not"

    @model_validator(mode="after")
    def _channels_exist(self) -> Self:
        divisor = width_divisor(self.network)
        if self.objective is not None and divisor:
            self.objective_at(self.layers[0]).check_channels(self.network)
        if self.channels is None:
            return self
        if not self.channels:
            raise ValueError("channels: name one at least, or leave them out")
        for layer in self.layers if divisor else ():  # a file's own width is seen when it is loaded
            check_channels_of(self.network, LAYERS[layer], self.channels)
        if min(self.channels) < 0:
            raise ValueError(f"channels: they count from 0; got {min(self.channels)}")
        return self

    @property
    def overrides(self) -> dict[str, Any]:
        """The fields that are not as the recipe has them on this network, network apart."""
        usual = DreamSpec.model_construct(**recipe_defaults(self.recipe, self.network))
        names = [name for name in type(self).model_fields if name not in ("recipe", "network")]
        return {n: getattr(self, n) for n in names if getattr(self, n) != getattr(usual, n)}

    @property
    def passes(self) -> int:
        """How many items each of its pictures and noise starts becomes."""
        return len(self.layers) * self.frames

    @property
    def steps_kept(self) -> tuple[int, ...]:
        """Every step whose picture is kept, ascending; the last step is always among them."""
        return tuple(sorted({*self.snapshots, self.steps}))

    def objective_at(self, layer: int) -> Objective:
        """What the dreams of one of `layers` climb, every term with its measure."""
        if self.objective is not None:
            return parse_objective(self.objective).measured(self.measure)
        return objective_of(layer, self.channels).measured(self.measure)

    @property
    def plain(self) -> bool:
        """Whether its dreams are the article's: bare ascent on one norm, at one size."""
        bare = all(getattr(self, n) == type(self).model_fields[n].default for n in _CONTROLS)
        return bare and self.objective_at(self.layers[0]).is_norm

    @property
    def channels_apart(self) -> bool:
        """Whether dreams of other channels may share its batch: spectra are asked one by one."""
        return self.channels is not None and self.parameters != "pixels"

    @property
    def tiles(self) -> bool:
        """Whether its dreams of large pictures can go tile by tile."""
        return self.objective_at(self.layers[0]).tiles

    def unfit(self, width: int, height: int) -> str | None:
        """Why a picture of this size can't be dreamt of as asked, or None if it can."""
        return (
            self.too_many_kept(width, height)
            or self._too_large(width, height)
            or self._too_small(width, height)
        )

    def _too_small(self, width: int, height: int) -> str | None:
        """Why an objective's maps have not the places that it asks for, or None if they have."""
        smallest = [
            octave_side(side, 0, self.octaves, self.octave_scale) for side in (width, height)
        ]
        for layer in self.layers:
            objective = self.objective_at(layer)
            reason = objective.misplaced(width, height)
            if reason is None and self.transforms != "crops":  # which are large enough for any
                reason = objective.too_few_places(*smallest)
            if reason:
                return reason
        return None

    def _too_large(self, width: int, height: int) -> str | None:
        """Why an objective can't be computed of a picture of this size, or None if it can."""
        if not self.tiles and width * height > MAX_WHOLE_SIZE**2:
            return (
                f"size: {MAX_WHOLE_SIZE} x {MAX_WHOLE_SIZE} pixels at most, unless all terms are "
                f"norms of whole maps, which go tile by tile; got {width} x {height}"
            )
        terms = [term for layer in self.layers for term in self.objective_at(layer).terms]
        for term in terms:
            if term.measure != "guide" or term.layer is None:
                continue
            layer = LAYERS[term.layer]
            places = (width // layer.stride) * (height // layer.stride)
            if places > MAX_GUIDED_PLACES:
                return (
                    f"guide: {layer.name} has {places:,} places to compare, {MAX_GUIDED_PLACES:,} "
                    "are the most; use a deeper layer, or a smaller size"
                )
        return None

    def guide_size(self, layer: int, width: int, height: int) -> tuple[int, int]:
        """How large a guide of this size is looked at: no larger than the limits of pictures."""
        terms = [term for term in self.objective_at(layer).terms if term.measure == "guide"]
        strides = [LAYERS[term.layer].stride for term in terms if term.layer is not None]
        most = min(MAX_WHOLE_SIZE**2, *(MAX_GUIDED_PLACES * stride**2 for stride in strides))
        factor = min(1.0, (most / (width * height)) ** 0.5)
        sides = [
            min(max(MIN_SIZE, int(side * factor)), most // MIN_SIZE) for side in (width, height)
        ]
        return sides[0], sides[1]

    def too_many_kept(self, width: int, height: int) -> str | None:
        """Why not so many steps of a picture of this size are kept, or None if they are."""
        kept, most = len(self.steps_kept), MAX_KEPT_PIXELS // (width * height)
        if kept <= max(1, most):
            return None
        return (
            f"snapshots: {kept} steps of {width} x {height} pixels are too much for the memory in "
            f"which they wait; keep {most} with the last one, or use a smaller size"
        )

"""What a job asks for: DreamSpec and StudySpec, their limits and their defaults.

Both are frozen and serialise to JSON. `DreamSpec.build(...)` and `StudySpec.build(...)` raise
InvalidSpec (or InvalidLayer, InvalidChannel) with one line that says what to change.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from beholder.defaults import DEFAULT_DOSES
from beholder.defaults import DEFAULT_LAYER as DEFAULT_LAYER
from beholder.defaults import DEFAULT_SIZE as DEFAULT_SIZE
from beholder.errors import InvalidSpec
from beholder.evidence.names import Method, Mode
from beholder.layers import LAST_LAYER, LAYERS, check_channels
from beholder.networks import check_network, width_divisor
from beholder.precisions import DEFAULT_PRECISION, DreamPrecision

JobKind = Literal["dream", "study"]
Recipe = Literal["article", "sound"]

MAX_STEPS = 100_000
MIN_SIZE, MAX_SIZE = 32, 8192  # five 2x2 pools need 32 pixels a side
# Of one dream, all its kept steps together: they stay in memory, 12 bytes each, so 3 GiB.
MAX_KEPT_PIXELS = 4 * MAX_SIZE**2

_OF_SOUND = (
    "target",
    "methods",
    "modes",
    "alpha",
    "doses",
    "dose",
    "per_layer",
    "draws",
    "matrix",
    "seed",
)
LayerIndex = Annotated[int, Field(ge=0, le=LAST_LAYER)]
Size = int | Literal["keep"]


class _Spec(BaseModel):
    """What both kinds of job share.

    network: a name that `beholder networks` lists, or a state dict's path.
    size: side in pixels of the centre crop, or "keep" for the picture's own size.
    normalize: subtract ImageNet's mean and divide by its deviation before the first layer.
    pre_relu: read a convolution before its in-place ReLU; the published method reads it after.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: str = "vgg19"
    size: Size = DEFAULT_SIZE
    normalize: bool = False
    pre_relu: bool = False

    @field_validator("size", mode="before")
    @classmethod
    def _fits(cls, size: object) -> object:
        if size == "keep" or (type(size) is int and MIN_SIZE <= size <= MAX_SIZE):
            return size
        raise ValueError(
            f'size: {MIN_SIZE} to {MAX_SIZE} pixels, or "keep" for the picture\'s own; '
            f"got {_shown(size)}"
        )

    @field_validator("network")
    @classmethod
    def _known_network(cls, name: str) -> str:
        return check_network(name)

    @classmethod
    def build(cls, **fields: Any) -> Self:
        """The spec of these fields. Raises InvalidInput with every mistake on one line."""
        try:
            return cls(**fields)
        except ValidationError as error:
            raise InvalidSpec(_sentence(error)) from None


class DreamSpec(_Spec):
    """Gradient ascent on the L2 norm of each of `layers`, one dream a picture and layer.

    channels: the objective is the norm of these channels only; None takes the whole layer.
    learning_rate: of `picture = clip(picture + learning_rate * gradient, 0, 1)`.
    snapshots: steps after which the dream is also kept, besides the last; 250 at most, and fewer
        of large pictures (`too_many_kept`), since they stay in memory until the batch is through.
    noise: how many dreams start from Gaussian noise (deviation 0.2) instead of a picture.
    seed: noise start i is drawn after seeding with `seed + i`.
    precision: of the arithmetic. "auto" takes float32 on a CPU, and on a GPU the fastest with which
        test pictures' dreams stay the same; "exact" repeats the published code operation by
        operation. An item's result says which it was.
    """

    layers: tuple[LayerIndex, ...] = (DEFAULT_LAYER,)
    channels: tuple[int, ...] | None = None
    steps: Annotated[int, Field(ge=1, le=MAX_STEPS)] = 30
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.01
    snapshots: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(max_length=250)] = ()
    noise: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    seed: Annotated[int, Field(ge=0, lt=2**62)] = 0
    precision: DreamPrecision = DEFAULT_PRECISION

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
        if self.size != "keep" and (reason := self.too_many_kept(self.size, self.size)):
            raise ValueError(reason)
        return self

    @model_validator(mode="after")
    def _channels_exist(self) -> Self:
        if self.channels is None:
            return self
        if not self.channels:
            raise ValueError("channels: name one at least, or leave them out")
        divisor = width_divisor(self.network)
        for layer in self.layers if divisor else ():  # a file's own width is seen when it is loaded
            check_channels(LAYERS[layer], self.channels, width_divisor=divisor or 1)
        if min(self.channels) < 0:
            raise ValueError(f"channels: they count from 0; got {min(self.channels)}")
        return self

    @property
    def steps_kept(self) -> tuple[int, ...]:
        """Every step whose picture is kept, ascending; the last step is always among them."""
        return tuple(sorted({*self.snapshots, self.steps}))

    def too_many_kept(self, width: int, height: int) -> str | None:
        """Why not so many steps of a picture of this size are kept, or None if they are."""
        kept, most = len(self.steps_kept), MAX_KEPT_PIXELS // (width * height)
        if kept <= max(1, most):
            return None
        return (
            f"snapshots: {kept} steps of {width} x {height} pixels are too much for the memory in "
            f"which they wait; keep {most} with the last one, or use a smaller size"
        )


class StudySpec(_Spec):
    """Which channels do the target pictures share, and what happens without them?

    top: how many of a layer's strongest channels are a picture's top channels.
    norm_threshold: a top channel's strength is above this.
    min_layer: layers below it are left alone.
    most_common: how many of a layer's channels are blinded at most.
    threshold: in how many target pictures a channel has to be a top channel to be blinded.

    recipe: "article" is the published study, of all pictures, exactly. "sound" chooses channels on
        some pictures and tests them on others, against controls and random sets; what follows is
        for it alone.
    target: the class to be blinded to: a label of the network, "folder" for the class that the
        first target folder is named after, or "vote" for what the intact network sees most often.
    methods: how channels are scored. The first is the headline's, the others are held against it;
        none stands for "iterative".
    modes: what becomes of the chosen channels' maps, the headline's first; none stands for "zero".
    alpha: what "scale" multiplies maps by.
    doses: how many channels are ablated, in turn. dose: the headline's; None picks it on tuning
        pictures. per_layer: a dose is of each layer, not of all together.
    draws: random sets of the headline's dose; other doses, modes and methods have 19.
    matrix: also choose for each other folder, and test every set on every folder.
    seed: of splits, draws and donors.
    """

    top: Annotated[int, Field(ge=1, le=512)] = 10
    norm_threshold: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    min_layer: LayerIndex = 20
    most_common: Annotated[int, Field(ge=1, le=512)] = 5
    threshold: Annotated[int, Field(ge=1)] = 4
    recipe: Recipe = "article"
    target: Annotated[str, Field(min_length=1, max_length=200)] = "vote"
    methods: tuple[Method, ...] = ()
    modes: tuple[Mode, ...] = ()
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.5
    doses: Annotated[tuple[Annotated[int, Field(ge=1, le=5504)], ...], Field(max_length=20)] = (
        DEFAULT_DOSES
    )
    dose: Annotated[int, Field(ge=1, le=5504)] | None = None
    per_layer: bool = False
    draws: Annotated[int, Field(ge=19, le=9_999)] = 199
    matrix: bool = False
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0

    @model_validator(mode="after")
    def _fits_the_recipe(self) -> Self:
        if self.recipe == "article":
            given = [name for name in _OF_SOUND if name in self.model_fields_set]
            changed = [n for n in given if getattr(self, n) != type(self).model_fields[n].default]
            if changed:
                raise ValueError(
                    f"{changed[0]}: the article's recipe has none of its own to choose; write "
                    "recipe sound"
                )
            return self
        if self.size == "keep":
            raise ValueError("size: a sound study's pictures have one size; write a number")
        if self.pre_relu:
            raise ValueError("pre_relu: a sound study ablates what the ReLUs leave; leave it out")
        for name in ("methods", "modes", "doses"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name}: each once")
        if not self.doses and self.dose is None:
            raise ValueError("doses: name one at least")
        return self

    @property
    def method(self) -> Method:
        """The headline's."""
        return self.methods[0] if self.methods else "iterative"

    @property
    def mode(self) -> Mode:
        """The headline's."""
        return self.modes[0] if self.modes else "zero"


Spec = DreamSpec | StudySpec


def spec_of(kind: JobKind, fields: dict[str, Any]) -> Spec:
    """The spec that was stored as JSON for a job of this kind."""
    return DreamSpec.build(**fields) if kind == "dream" else StudySpec.build(**fields)


def _sentence(error: ValidationError) -> str:
    return "; ".join(dict.fromkeys(_clause(detail) for detail in error.errors()))


def _clause(detail: Any) -> str:
    where = str(detail["loc"][0]) if detail["loc"] else ""
    cause = detail.get("ctx", {}).get("error")
    if detail["type"] == "value_error" and cause is not None:
        return str(cause)
    message = detail["msg"][:1].lower() + detail["msg"][1:]
    return f"{where}: {message}; got {_shown(detail['input'])}" if where else message


def _shown(given: object) -> str:
    try:
        return repr(given)[:80]
    except ValueError:  # a number of more digits than Python writes
        return "a number of thousands of digits"

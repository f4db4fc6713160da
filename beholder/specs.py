"""What a job asks for: DreamSpec and StudySpec, their limits and their defaults.

Both are frozen and serialise to JSON. `DreamSpec.build(...)` and `StudySpec.build(...)` raise
InvalidSpec (or InvalidLayer, InvalidChannel) with one line that says what to change.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, model_validator

from beholder.defaults import DEFAULT_DOSES
from beholder.defaults import DEFAULT_LAYER as DEFAULT_LAYER
from beholder.defaults import DEFAULT_SIZE as DEFAULT_SIZE
from beholder.dream_spec import DreamSpec as DreamSpec
from beholder.evidence.names import Method, Mode
from beholder.job_spec import MAX_WHOLE_SIZE, STORED, JobSpec, LayerIndex

JobKind = Literal["dream", "study"]
Recipe = Literal["article", "sound"]

OF_SOUND = (  # a study's fields that the article's has no use for
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


class StudySpec(JobSpec):
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
    def _fits_into_memory(self, info: ValidationInfo) -> Self:
        stored = bool(info.context and info.context.get(STORED))
        if not stored and self.size != "keep" and (reason := self.unfit(self.size, self.size)):
            raise ValueError(reason)
        return self

    @model_validator(mode="after")
    def _fits_the_recipe(self) -> Self:
        if self.recipe == "article":
            given = [name for name in OF_SOUND if name in self.model_fields_set]
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
        if "scale" not in self.modes and self.alpha != type(self).model_fields["alpha"].default:
            raise ValueError("alpha: scale alone multiplies by it; add mode scale, or leave it out")
        if not self.doses and self.dose is None:
            raise ValueError("doses: name one at least")
        return self

    def unfit(self, width: int, height: int) -> str | None:
        """Why a picture of this size can't be studied, or None if it can."""
        if width * height <= MAX_WHOLE_SIZE**2:
            return None
        return (
            f"size: a study measures whole maps, of {MAX_WHOLE_SIZE} x {MAX_WHOLE_SIZE} pixels at "
            f"most; got {width} x {height}"
        )

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
    return DreamSpec.stored(fields) if kind == "dream" else StudySpec.stored(fields)

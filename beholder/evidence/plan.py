"""A sound study's plan: which picture serves what, and every ablation that is to be tried.

Made once, when the channels are chosen; kept as JSON beside the study's results.
"""

from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field

from beholder.evidence.names import Kind, Method, Mode, Role, Split

METHODS: tuple[Method, ...] = get_args(Method)
MODES: tuple[Mode, ...] = get_args(Mode)
Layer = Annotated[int, Field(ge=0, le=36)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Subject(_Frozen):
    """One picture of the study.

    position: of its item. group: the folder it came with. label: the class that it counts for
    (`beholder.evidence.target.labels_of`).
    fold: of a target in leave-one-out, the set that was chosen without it; None otherwise.
    duplicate_of: position of the picture that it is nearly the same as; its split is "duplicate".
    """

    position: int
    sha256: str
    source: str
    role: Role
    group: str
    label: int
    split: Split
    fold: int | None = None
    duplicate_of: int | None = None


class Condition(_Frozen):
    """One ablation that the test pictures are run under.

    name: unique in a plan. kind: "chosen" by `method`; "random" draws from the same layers as the
    headline's set, or as that `of` another method; "matched" draws of like strength too; "keep"
    ablates all but the channels; "matrix" is a set chosen for another group (`of`); "alone" is one
    channel of the headline's set.
    dose: how many channels, or how many of each layer where not `pooled`. alpha: what "scale"
    multiplies by. draw: number of a random set. fold: of leave-one-out; None: of all targets.
    channels: by layer index, ReLU layers; of "keep" those that are left.
    """

    name: str
    kind: Kind = "chosen"
    method: Method
    mode: Mode = "zero"
    alpha: float = 0.0
    dose: int
    pooled: bool = True
    draw: int | None = None
    of: str | None = None
    fold: int | None = None
    channels: dict[Layer, tuple[int, ...]]

    @property
    def size(self) -> int:
        """How many channels it names."""
        return sum(map(len, self.channels.values()))


class Ranked(_Frozen):
    """A channel's place in a method's ranking, best first; higher scores are better."""

    layer: Layer
    channel: int
    score: float


class Profile(_Frozen):
    """A channel of the headline's set over the choosing pictures.

    target_mean, control_mean: mean strengths of the targets, and of siblings and controls; None
    where there are none. fraction_active: share of all whose strength is above 0.
    """

    layer: Layer
    channel: int
    target_mean: float | None = None
    control_mean: float | None = None
    fraction_active: float


class Plan(_Frozen):
    """All of it. headline: the name of the condition that the study's sentence is about.

    target: class index and label; target_by: how it was found. exploratory: why the study proves
    nothing by itself; None if it was held out properly.
    rankings: by method, for all targets. means: by layer and channel, what "mean" puts in.
    donors: positions of the controls that "resample" takes maps from. profiles: of the channels of
    the headline's set.
    tuned_on: how many targets, and how many others, picked the dose; None where nothing was tuned.
    stability: mean Jaccard index of the headline's set over redrawn choosing pictures.
    """

    format: int = 1
    target: int
    target_label: str
    target_by: str
    exploratory: str | None = None
    seed: int
    subjects: tuple[Subject, ...]
    conditions: tuple[Condition, ...]
    headline: str
    rankings: dict[Method, tuple[Ranked, ...]]
    means: dict[Layer, dict[int, float]] = {}
    donors: tuple[int, ...] = ()
    profiles: tuple[Profile, ...] = ()
    tuned_on: tuple[int, int] | None = None
    stability: float | None = None
    record: dict[str, Any] = {}

    def condition(self, name: str) -> Condition:
        """The condition of this name. Raises KeyError."""
        for condition in self.conditions:
            if condition.name == name:
                return condition
        raise KeyError(name)

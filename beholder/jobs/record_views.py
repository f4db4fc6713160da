"""One channel's record over studies: `ChannelRecord`, and the `Strengths` that merge into it.

Records are kept apart by network and weights, and by how pictures reached the network (`Inputs`):
strengths of other sizes or normalisations can't be compared.
"""

from dataclasses import dataclass, field
from math import sqrt
from typing import Any, NamedTuple

from beholder.jobs.exemplar_queries import ExemplarView
from beholder.jobs.outcomes import StoredFile
from beholder.jobs.views import View

FLAGGED_FROM = 20  # pictures; of fewer it is not said that they always, or never, drive a channel


class Inputs(NamedTuple):
    """What studies have to share for their strengths to merge. size: pixels, or "keep"."""

    network: str
    network_sha256: str | None
    size: str
    normalize: bool

    def words(self) -> str:
        """For people."""
        size = "pictures' own size" if self.size == "keep" else f"{self.size} pixels"
        weights = f" ({self.network_sha256[:12]})" if self.network_sha256 else ""
        return f"{self.network}{weights}, {size}{', normalized' if self.normalize else ''}"


class Strengths(NamedTuple):
    """A channel's strengths over n pictures, as sums, so that groups of pictures add up exactly.

    active: pictures in which it is above 0.
    """

    n: int
    active: int
    sum: float
    squares: float
    maximum: float

    @property
    def mean(self) -> float:
        """0 without pictures."""
        return self.sum / max(self.n, 1)

    @property
    def variance(self) -> float:
        """Of the n pictures themselves, divided by n."""
        return max(self.squares / max(self.n, 1) - self.mean**2, 0.0)

    @property
    def deviation(self) -> float:
        """The variance's root."""
        return sqrt(self.variance)

    @property
    def fraction_active(self) -> float:
        """Share of pictures in which the channel is above 0."""
        return self.active / max(self.n, 1)

    def row(self) -> dict[str, Any]:
        """What is shown of them."""
        return {
            "n": self.n,
            "active": self.active,
            "fraction_active": self.fraction_active,
            "mean": self.mean,
            "deviation": self.deviation,
            "maximum": self.maximum,
        }


@dataclass(frozen=True)
class ClassStrengths:
    """Of one class, over all studies that have it. as_target: in how many it was one."""

    label: str
    studies: int
    as_target: int
    strengths: Strengths

    def row(self) -> dict[str, Any]:
        """For JSON or a table."""
        sums = {"sum": self.strengths.sum, "squares": self.strengths.squares}
        head = {"class": self.label, **self.strengths.row(), **sums}
        return {**head, "studies": self.studies, "as_target": self.as_target}


@dataclass(frozen=True)
class EffectView(View):
    """What a study found of ablating the channel alone; see `beholder.jobs.channel_models`."""

    study: str
    target: str | None
    method: str | None
    rank: int
    score: float | None
    effect: float | None
    effect_low: float | None
    effect_high: float | None
    control_effect: float | None
    control_effect_low: float | None
    control_effect_high: float | None


@dataclass(frozen=True)
class Correlated(View):
    """Channels of the same layer with like strengths, (channel, r), over one study's pictures."""

    study: str
    channels: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class ChannelRecord:
    """All that studies found of one ReLU channel on one network, from like inputs.

    classes: strongest mean first. studies: ids of the newest. chosen_in: those of them that ablated
    it; effects, exemplars and correlated are theirs, too.
    """

    inputs: Inputs
    layer: int
    layer_name: str
    channel: int
    classes: tuple[ClassStrengths, ...]
    studies: tuple[str, ...]
    chosen_in: tuple[str, ...] = ()
    effects: tuple[EffectView, ...] = ()
    correlated: Correlated | None = None
    exemplars: tuple[ExemplarView, ...] = field(default=(), repr=False)
    dreams: tuple[StoredFile, ...] = ()

    @property
    def n(self) -> int:
        """Pictures of all classes."""
        return sum(one.strengths.n for one in self.classes)

    @property
    def active(self) -> int:
        """Those that drive it at all."""
        return sum(one.strengths.active for one in self.classes)

    @property
    def always_on(self) -> bool | None:
        """Whether every picture of every class drives it; None of too few pictures."""
        return self.active == self.n if self.n >= FLAGGED_FROM else None

    @property
    def dead(self) -> bool | None:
        """Whether no picture drives it; None of too few pictures."""
        return self.active == 0 if self.n >= FLAGGED_FROM else None

    def row(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **self.inputs._asdict(),
            "layer": self.layer,
            "layer_name": self.layer_name,
            "channel": self.channel,
            "n": self.n,
            "active": self.active,
            "fraction_active": self.active / max(self.n, 1),
            "always_on": self.always_on,
            "dead": self.dead,
            "classes": [one.row() for one in self.classes],
            "studies": list(self.studies),
            "chosen_in": list(self.chosen_in),
            "effects": [one.row() for one in self.effects],
            "correlated": self.correlated.row() if self.correlated else None,
            "exemplars": [one.row() for one in self.exemplars],
            "dreams": [vars(file) for file in self.dreams],
        }

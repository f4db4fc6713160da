"""What workers hand over, and what the database answers.

`DreamOutcome`, `VerdictOutcome` or `ItemFailure` for each item of a chunk, `ChannelRow` for each
channel of a study, `ExemplarRow` for each of its strongest pictures; `Finished` comes back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

VerdictKind = Literal["intact", "blinded"]


@dataclass(frozen=True)
class StoredFile:
    """A result picture that is in the store: after `step` steps, at `path`."""

    step: int
    path: str
    sha256: str
    bytes: int
    width: int
    height: int


@dataclass(frozen=True)
class DreamOutcome:
    """A dream's files and what else is to be kept of it, such as the objective's curve."""

    position: int
    files: tuple[StoredFile, ...]
    result: Mapping[str, object] = field(default_factory=dict)  # anything that JSON can hold
    seconds: float = 0.0


@dataclass(frozen=True)
class Judgement:
    """A classification. confidence: softmax probability; top5: (label, confidence), best first."""

    label: str
    class_index: int
    confidence: float
    top5: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class VerdictOutcome:
    """What the network made of one picture, in the measure (intact) or classify (blinded) stage."""

    position: int
    verdict: Judgement
    seconds: float = 0.0


@dataclass(frozen=True)
class ItemFailure:
    """Why this picture could not be worked on, in one line. The others are not affected."""

    position: int
    reason: str


@dataclass(frozen=True)
class ChannelRow:
    """A channel's statistics; the control ones are None in a study without controls."""

    layer: int
    channel: int
    count: int
    controls: int
    mean: float
    deviation: float
    maximum: float
    control_mean: float | None = None
    control_deviation: float | None = None
    control_maximum: float | None = None
    chosen: bool = False


@dataclass(frozen=True)
class ExemplarRow:
    """That the item at `position` drives a channel most (rank 0), or nearly so."""

    layer: int
    channel: int
    rank: int
    position: int
    strength: float


@dataclass(frozen=True)
class Finished:
    """new_chunks: how many it put into the queue. job_state: where the job stands after this."""

    new_chunks: int
    job_state: str

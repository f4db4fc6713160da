"""What workers hand over, and what the database answers.

`DreamOutcome`, `VerdictOutcome` or `ItemFailure` for each item of a chunk, `ChannelRow` for each
channel of a study, `ExemplarRow` for each of its pictures; for channel records, `ClassRow`s with
their `ChannelClassRow`s, and an `EffectRow` for each channel of a sound study's set. `Finished`
comes back.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

VerdictKind = Literal["intact", "blinded"]
ExemplarKind = Literal["strongest", "weakest", "random"]


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
    """A channel's statistics; the control ones are None in a study without controls.

    correlated: (channel, r) of the same layer over all pictures, most correlated first; None
    where nobody looked.
    """

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
    correlated: tuple[tuple[int, float], ...] | None = None


@dataclass(frozen=True)
class ExemplarRow:
    """That the item at `position` drives a channel most (rank 0), or nearly so, or least.

    rank: once in a channel, over all kinds: the strongest from 0 on, then the weakest, then those
    that were drawn. left to bottom: what of the picture drives the channel, a box in 0 to 1.
    """

    layer: int
    channel: int
    rank: int
    position: int
    strength: float
    kind: ExemplarKind = "strongest"
    left: float | None = None
    top: float | None = None
    right: float | None = None
    bottom: float | None = None


@dataclass(frozen=True)
class ClassRow:
    """Measured pictures of a study that count as one class in channel records.

    number: from 0, as its `ChannelClassRow`s say. label: the folder that they came with, or their
    class; records of other studies merge by it. n: pictures. pictures: `digest` of their hashes.
    """

    number: int
    label: str
    role: str
    n: int
    pictures: str


@dataclass(frozen=True)
class ChannelClassRow:
    """A ReLU layer's channel over one class: what of its strengths merges exactly.

    active: pictures in which it is above 0. sum, squares: of strengths and of their squares.
    """

    number: int
    layer: int
    channel: int
    active: int
    sum: float
    squares: float
    maximum: float


@dataclass(frozen=True)
class EffectRow:
    """A channel of the set that a sound study is about; see `beholder.jobs.channel_models`."""

    layer: int
    channel: int
    rank: int
    score: float | None = None
    effect: float | None = None
    effect_low: float | None = None
    effect_high: float | None = None
    control_effect: float | None = None
    control_effect_low: float | None = None
    control_effect_high: float | None = None
    target: str | None = None
    method: str | None = None


def digest(hashes: Iterable[str]) -> str:
    """One hash of pictures' hashes, whatever their order: `ClassRow.pictures`.

    A picture that is there twice is in it twice, as it is in the class's sums.
    """
    return hashlib.sha256("".join(sorted(hashes)).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Finished:
    """new_chunks: how many it put into the queue. job_state: where the job stands after this."""

    new_chunks: int
    job_state: str

"""What a worker has in hand: a `Claim`, which is a chunk with all that its work needs."""

from dataclasses import dataclass, field

from beholder.devices import Device
from beholder.jobs.frames import Before, Frames
from beholder.jobs.stages import Stage
from beholder.priorities import DEFAULT_PRIORITY, Priority
from beholder.specs import JobKind, Spec


@dataclass(frozen=True)
class ClaimedItem:
    """One item to work on: a stored picture, or a noise start's seed."""

    position: int
    picture_sha256: str | None
    seed: int | None
    role: str | None
    layer: int | None
    source: str
    group: str | None = None


@dataclass(frozen=True)
class Claim:
    """A chunk that is ours while its lease lasts.

    network_sha256: of the weights that the job began with; None if this is its first chunk.
    stale_tokens: of earlier claims of this chunk; their result folders are to be removed.
    device: what the job asks to run on.
    priority: the job's. new: whether no claim had served it before. again: whether the latest one
        had, in any worker: what comes now and had waited would have come between the two.
    partials: in the choose stage, where the measured statistics are, and in the conclude stage,
        where the readings are; by first position.
    chosen: in the classify stage, the channels to blind of each layer, most common first.
    plan: in the last two stages of a sound study, the folder of its plan.
    frames: how a film's items are laid out. before: the dream that each of its later frames starts
        from, by position; None where the frame before has none.
    """

    chunk_id: int
    token: str
    attempt: int
    job_id: str
    kind: JobKind
    stage: Stage
    spec: Spec
    network_sha256: str | None
    items: tuple[ClaimedItem, ...]
    stale_tokens: tuple[str, ...] = ()
    partials: tuple[str, ...] = ()
    chosen: dict[int, tuple[int, ...]] | None = None
    plan: str | None = None
    device: Device = "any"
    priority: Priority = DEFAULT_PRIORITY
    new: bool = False
    again: bool = False
    frames: Frames | None = None
    before: Before = field(default_factory=dict)

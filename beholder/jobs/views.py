"""What queries give back: plain frozen dataclasses. `.row()` is ready for JSON, CSV or a table."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from beholder.devices import Device
from beholder.jobs.outcomes import Judgement, StoredFile
from beholder.layers import LAYERS
from beholder.priorities import Priority


class View:
    """Row form of a dataclass: times as ISO 8601, the rest as it is."""

    def row(self) -> dict[str, Any]:
        """Column names and values, in the order of the fields."""
        values = asdict(self)  # type: ignore[call-overload]
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in values.items()
        }


@dataclass(frozen=True)
class JobView(View):
    """A job and how far it is. stage: what it is at; None when it has finished.

    measured: of a study's items. target_pictures, control_pictures: what its channels cover.
    paused: why nothing happens to an open job for now, such as a full disk. waits: what a queued
    job waits for while every worker that could take it is busy.
    """

    id: str
    kind: str
    state: str
    name: str
    priority: Priority
    device: Device
    stage: str | None
    total: int
    queued: int
    running: int
    done: int
    failed: int
    cancelled: int
    measured: int
    error: str | None
    network: str
    network_sha256: str | None
    target_pictures: int | None
    control_pictures: int | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    spec: dict[str, Any]
    paused: str | None = None
    waits: str | None = None

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.state in ("done", "failed", "cancelled")

    @property
    def cursor(self) -> str:
        """Give this to `list_jobs(before=...)` for the jobs older than this one."""
        return f"{self.created_at:%Y%m%dT%H%M%S.%f}-{self.id}"


@dataclass(frozen=True)
class Progress(View):
    """A job's counters alone, cheap for any number of items."""

    state: str
    stage: str | None
    total: int
    queued: int
    running: int
    done: int
    failed: int
    cancelled: int
    measured: int


SILENT_WORDS = "the layer is silent, or has no gradient: nothing was dreamt"


@dataclass(frozen=True)
class ItemView(View):
    """An item with its results. verdicts: by kind, "intact" and "blinded"."""

    id: int
    job_id: str
    position: int
    state: str
    source: str
    role: str | None
    group: str | None
    layer: int | None
    seed: int | None
    picture_sha256: str | None
    error: str | None
    seconds: float | None
    result: dict[str, Any] | None
    files: tuple[StoredFile, ...]
    verdicts: dict[str, Judgement]

    @property
    def silent(self) -> bool:
        """Whether it is a dream that changed nothing: its layer was silent, or had no gradient."""
        return bool((self.result or {}).get("silent"))


@dataclass(frozen=True)
class VerdictView(View):
    """One verdict of a study, with the picture that it is about."""

    study: str
    position: int
    source: str
    role: str | None
    group: str | None
    kind: str
    label: str
    class_index: int
    confidence: float
    top5: tuple[tuple[str, float], ...]


def verdict_rows(item: ItemView, kind: str | None = None) -> Iterator[VerdictView]:
    """An item's verdicts, all or of one kind, the intact one first."""
    for name, verdict in sorted(item.verdicts.items(), reverse=True):
        if kind in (None, name):
            yield VerdictView(
                item.job_id,
                item.position,
                item.source,
                item.role,
                item.group,
                name,
                verdict.label,
                verdict.class_index,
                verdict.confidence,
                verdict.top5,
            )


@dataclass(frozen=True)
class ChannelView(View):
    """A channel's statistics in one study; see `beholder.jobs.models.Channel`.

    rank, score: of the set that a sound study is about, once it has concluded; see `ChannelEffect`.
    """

    study: str
    layer: int
    layer_name: str
    channel: int
    count: int
    controls: int
    mean: float
    deviation: float
    maximum: float
    control_mean: float | None
    control_deviation: float | None
    control_maximum: float | None
    chosen: bool
    rank: int | None = None
    score: float | None = None


def columns_of(view: type[Any]) -> tuple[str, ...]:
    """A view's column names, for a header."""
    return tuple(field.name for field in fields(view))


def layer_name(layer: int) -> str:
    """conv1_1 to pool5."""
    return LAYERS[layer].name

"""The tables. A job has items (what was asked) and chunks (what one worker runs at a time).

Read `Job`, `Item`, `Chunk`, then what comes out: `File`, `Verdict`; a study's channels are in
`beholder.jobs.channel_models`.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Text,
    TypeDecorator,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from beholder.devices import DEFAULT_DEVICE, Device
from beholder.priorities import DEFAULT_PRIORITY, PRIORITIES, Priority

OPEN = ("queued", "running")  # states of items and chunks that are not at their end
FINISHED = ("done", "failed", "cancelled")

ITEM_STATES = (*OPEN, *FINISHED)
INCOMING = "incoming"  # state of a job that is still being written: nobody is to see it

_BIG = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers only INTEGER keys by itself


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime on every database; SQLite alone would forget the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Ranked(TypeDecorator[Priority]):
    """A priority, kept as its rank, so that an index has the jobs to be served first in front."""

    impl = SmallInteger
    cache_ok = True

    def process_bind_param(self, value: Priority | None, dialect: Dialect) -> int | None:
        return None if value is None else PRIORITIES.index(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> Priority | None:
        return None if value is None else PRIORITIES[value]


def utc_now() -> datetime:
    """The time as the tables keep it."""
    return datetime.now(UTC)


def _partial(name: str, *columns: str, where: str) -> Index:
    """An index of some rows, by the condition that its migration has.

    Here it is a note: as an option of the index it would load every dialect at every start.
    """
    return Index(name, *columns, info={"where": where})


class Base(DeclarativeBase):
    """The models' metadata, with every constraint named so that migrations can reach it."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it as it stands
        datetime: UtcDateTime,
        dict[str, Any]: JSON,
        list[Any]: JSON,
    }


class Picture(Base):
    """An input picture, once, whatever number of jobs use it. Its bytes are in the store.

    used_at: when a request last named it by its hash; None if none did.
    """

    __tablename__ = "pictures"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    width: Mapped[int]
    height: Mapped[int]
    format: Mapped[str] = mapped_column(String(16))
    bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    used_at: Mapped[datetime | None]


class Job(Base):
    """One request. `queued` to `cancelled` count its items by state, always in step with them.

    Its end is that of its open items in the same moment; their rows may follow later.
    stage: what its open chunks do; None once it has finished.
    measured: how many of a study's items have been measured.
    target_pictures, control_pictures: what the channels' statistics cover; None until chosen.
    targets_judged, controls_judged: how many have both verdicts; ..._kept: the same label in both.
    turn: the number of the claim that served it last; the least is served next in its priority.
    batch_key: jobs with the same one may share a GPU batch where their layers are the same.
    device: the class of workers that may run it, or "any".
    unsettled: rows of the job, which ended early, are still to follow it; None if not. False: it is
        about to run again, and rows of it are queued already.
    kept: it is never removed for its age; None if it may be.
    """

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    kind: Mapped[str] = mapped_column(String(8))
    state: Mapped[str] = mapped_column(String(9))
    name: Mapped[str] = mapped_column(Text)
    spec: Mapped[dict[str, Any]]
    network: Mapped[str] = mapped_column(Text)
    network_sha256: Mapped[str | None] = mapped_column(String(64))
    stage: Mapped[str | None] = mapped_column(String(8))
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    chunk_size: Mapped[int]
    total: Mapped[int]
    queued: Mapped[int]
    running: Mapped[int] = mapped_column(default=0)
    done: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    cancelled: Mapped[int] = mapped_column(default=0)
    measured: Mapped[int] = mapped_column(default=0)
    target_pictures: Mapped[int | None]
    control_pictures: Mapped[int | None]
    targets_judged: Mapped[int] = mapped_column(default=0, server_default="0")
    targets_kept: Mapped[int] = mapped_column(default=0, server_default="0")
    controls_judged: Mapped[int] = mapped_column(default=0, server_default="0")
    controls_kept: Mapped[int] = mapped_column(default=0, server_default="0")
    priority: Mapped[Priority] = mapped_column(
        Ranked, default=DEFAULT_PRIORITY, server_default=str(PRIORITIES.index(DEFAULT_PRIORITY))
    )
    turn: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    batch_key: Mapped[str | None] = mapped_column(String(16))
    device: Mapped[Device] = mapped_column(
        String(3), default=DEFAULT_DEVICE, server_default=DEFAULT_DEVICE
    )
    unsettled: Mapped[bool | None]
    kept: Mapped[bool | None]

    __table_args__ = (
        Index(None, "created_at", "id"),
        Index(None, "state", "created_at", "id"),
        Index(None, "kind", "created_at", "id"),
        Index("ix_jobs_round", "finished_at", "priority", "turn", "created_at"),
        Index("ix_jobs_batch", "finished_at", "batch_key", "priority", "turn", "created_at"),
        Index(None, "turn"),
        _partial("ix_jobs_unsettled", "unsettled", where="unsettled IS NOT NULL"),
    )


class Item(Base):
    """One picture's (or noise start's) place in a job. A dream's items run layer by layer.

    source: what to show people, such as "kelpies/kelpie1.jpg".
    role, group: a study's "target", "sibling" or "control", and the folder or label it came with.
    """

    __tablename__ = "items"

    id: Mapped[int] = mapped_column(_BIG, primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    position: Mapped[int]
    picture_sha256: Mapped[str | None] = mapped_column(ForeignKey("pictures.sha256"))
    source: Mapped[str] = mapped_column(Text)
    role: Mapped[str | None] = mapped_column(String(8))
    group: Mapped[str | None] = mapped_column(Text)
    layer: Mapped[int | None]
    seed: Mapped[int | None] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(9))
    measured: Mapped[bool] = mapped_column(default=False)
    error: Mapped[str | None] = mapped_column(Text)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    seconds: Mapped[float | None] = mapped_column(Float(53))

    __table_args__ = (
        Index(None, "job_id", "position", unique=True),
        Index(None, "job_id", "state", "position"),
        _partial("ix_items_controls", "job_id", "position", where="role = 'control'"),
    )


class File(Base):
    """A result picture in the store. step: after how many dream steps."""

    __tablename__ = "files"

    item_id: Mapped[int] = mapped_column(
        _BIG, ForeignKey("items.id", ondelete="CASCADE"), primary_key=True
    )
    step: Mapped[int] = mapped_column(primary_key=True)
    path: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64))
    bytes: Mapped[int] = mapped_column(BigInteger)
    width: Mapped[int]
    height: Mapped[int]


class Verdict(Base):
    """What the network, intact or blinded, takes an item's picture for.

    confidence: softmax probability of `label`. top5: [label, confidence] pairs, best first.
    """

    __tablename__ = "verdicts"

    item_id: Mapped[int] = mapped_column(
        _BIG, ForeignKey("items.id", ondelete="CASCADE"), primary_key=True
    )
    kind: Mapped[str] = mapped_column(String(8), primary_key=True)
    label: Mapped[str] = mapped_column(Text)
    class_index: Mapped[int]
    confidence: Mapped[float] = mapped_column(Float(53))
    top5: Mapped[list[Any]]


class Chunk(Base):
    """Consecutive positions of a job that one worker runs as one batch in one stage.

    Its items are the open ones from first_position to last_position that its stage wants.
    token: proves that a worker holds the chunk; a new one at each claim.
    progress: how much of its work its worker has done, from 0 to 1, as of the last renewal.
    lease_until: seconds since the epoch by its worker's clock; each renewal changes it, and others
        ask only whether it has changed (`beholder.jobs.silence`).
    layer: of a dream's items, which share one; None in a study.
    stale_tokens: of earlier claims, whose files may lie around: its next claim removes them, and of
        a failed chunk, which has none, a worker's tidying.
    partial: folder in the store of what a study's chunk hands on: a measure chunk's statistics, a
        sound study's plan (choose), readings (classify) and evidence (conclude).
    error: why the last attempt ended early, if its worker could still say so.
    """

    __tablename__ = "chunks"

    id: Mapped[int] = mapped_column(_BIG, primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    stage: Mapped[str] = mapped_column(String(8))
    first_position: Mapped[int]
    last_position: Mapped[int]
    layer: Mapped[int | None]
    state: Mapped[str] = mapped_column(String(9), default="queued")
    token: Mapped[str | None] = mapped_column(String(12))
    stale_tokens: Mapped[list[Any]] = mapped_column(default=list)
    lease_until: Mapped[float | None] = mapped_column(Float(53))
    attempts: Mapped[int] = mapped_column(default=0)
    progress: Mapped[float] = mapped_column(Float(53), default=0.0)
    worker: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    finished_at: Mapped[datetime | None]
    partial: Mapped[str | None] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        Index(None, "job_id", "state", "first_position"),
        Index(None, "job_id", "state", "layer", "first_position"),
        Index(None, "state"),
    )

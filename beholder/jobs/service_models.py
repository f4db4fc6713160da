"""The tables around jobs: `IdempotencyKey`, `Webhook`, the `Worker`s that are alive, `Identity`."""

from datetime import datetime
from typing import Literal

from sqlalchemy import BigInteger, Float, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from beholder.jobs.models import Base, utc_now

Order = Literal["pause", "drain"]


class IdempotencyKey(Base):
    """A request that made a job, so that repeating it makes no other.

    owner: the name of the token that came with it. fingerprint: SHA-256 of what it asked.
    """

    __tablename__ = "idempotency_keys"

    owner: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Webhook(Base):
    """Whom to tell when a job has ended. state: waiting, delivered or failed (given up).

    next_at: when to try (again), in seconds since the epoch by the database's clock.
    """

    __tablename__ = "webhooks"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    url: Mapped[str] = mapped_column(Text)
    secret: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(9), default="waiting")
    attempts: Mapped[int] = mapped_column(default=0)
    next_at: Mapped[float] = mapped_column(Float(53), default=0.0)
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    delivered_at: Mapped[datetime | None]

    __table_args__ = (Index(None, "state", "next_at"),)


class Worker(Base):
    """One worker process, as of its last heartbeat (`seen_at`).

    chunk_id: what it works on, and `since` when. chunks, chunk_seconds: how many it has run since
    it started, and for how long in all. items: how many of theirs it brought to their end, and
    rate: how many a second lately. gpu_bytes: GPU memory that it holds; None on the CPU. paused:
    why it takes no work for now, such as a full disk, or why it leaves one job to others
    (`pauses.has_paused` tells which). told: "pause" or "drain" by an operator.
    """

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    host: Mapped[str] = mapped_column(Text)
    pid: Mapped[int]
    device: Mapped[str] = mapped_column(Text)
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    chunk_id: Mapped[int | None] = mapped_column(BigInteger)
    chunks: Mapped[int] = mapped_column(default=0)
    chunk_seconds: Mapped[float] = mapped_column(Float(53), default=0.0)
    gpu_bytes: Mapped[int | None] = mapped_column(BigInteger)
    paused: Mapped[str | None] = mapped_column(Text)
    since: Mapped[datetime | None]
    items: Mapped[int] = mapped_column(default=0, server_default="0")
    rate: Mapped[float | None] = mapped_column(Float(53))
    told: Mapped[Order | None] = mapped_column(String(5))


class Identity(Base):
    """The database's own name, in one row, by which its store knows it. id: 1."""

    __tablename__ = "identity"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(32))

"""What studies find of each channel: `Channel`, its statistics, and `Exemplar`, its pictures.

What merges over studies is kept by class: `StudyClass`, and for each its `ChannelClass` rows;
`ChannelEffect` is of the few channels that a sound study ablated.
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import JSON, Delete, Float, ForeignKey, Index, String, Text, delete
from sqlalchemy.orm import Mapped, mapped_column

from beholder.jobs.bulk import table_of
from beholder.jobs.models import Base


class Channel(Base):
    """One channel's statistics in one study: strengths over its pictures, counts of top places.

    count, mean, deviation, maximum: over the targets; controls (a count) and control_...: over
    the controls, None where there were none. chosen: it was blinded.
    correlated: [channel, r] pairs of the same layer, most correlated first; None if not measured.
    """

    __tablename__ = "channels"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    layer: Mapped[int] = mapped_column(primary_key=True)
    channel: Mapped[int] = mapped_column(primary_key=True)
    count: Mapped[int]
    controls: Mapped[int]
    mean: Mapped[float] = mapped_column(Float(53))
    deviation: Mapped[float] = mapped_column(Float(53))
    maximum: Mapped[float] = mapped_column(Float(53))
    control_mean: Mapped[float | None] = mapped_column(Float(53))
    control_deviation: Mapped[float | None] = mapped_column(Float(53))
    control_maximum: Mapped[float | None] = mapped_column(Float(53))
    chosen: Mapped[bool] = mapped_column(default=False)
    correlated: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True))

    __table_args__ = (
        Index("ix_channels_top", "job_id", "layer", "count", "chosen", "mean"),  # read backwards
        Index("ix_channels_across", "layer", "channel", "job_id"),
        {"sqlite_with_rowid": False},  # half the size: the key is most of a row
    )


class Exemplar(Base):
    """One of the few pictures of a study that stand for a channel; rank 0 is the strongest.

    Only ReLU and pool layers have rows: a convolution is read after its ReLU.
    kind: "strongest", "weakest" or "random"; ranks go on from one kind to the next.
    position: of the study's item. left to bottom: what of the picture drives the channel, from 0
    to 1 of the width and height that the network saw; None where that was not looked at.
    """

    __tablename__ = "exemplars"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    layer: Mapped[int] = mapped_column(primary_key=True)
    channel: Mapped[int] = mapped_column(primary_key=True)
    rank: Mapped[int] = mapped_column(primary_key=True)
    position: Mapped[int]
    strength: Mapped[float] = mapped_column(Float(53))
    kind: Mapped[str] = mapped_column(String(9), server_default="strongest")
    left: Mapped[float | None] = mapped_column(Float(53))
    top: Mapped[float | None] = mapped_column(Float(53))
    right: Mapped[float | None] = mapped_column(Float(53))
    bottom: Mapped[float | None] = mapped_column(Float(53))

    __table_args__ = ({"sqlite_with_rowid": False},)


class StudyClass(Base):
    """Pictures of a study that count as one class in channel records.

    number: from 0. label: the folder that they came with, or their class. n: how many there are.
    pictures: a digest of their hashes; classes with the same one are the same pictures.
    """

    __tablename__ = "study_classes"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(String(8))
    n: Mapped[int]
    pictures: Mapped[str] = mapped_column(String(32))


class ChannelClass(Base):
    """A channel's strengths over one class of one study, in a form that merges exactly.

    Only ReLU layers have rows: a convolution is read after its ReLU, a pool is a function of one.
    The key leads from a study's class to its channels, so that no second index is written.
    active: pictures with a strength above 0. sum, squares: of strengths and of their squares.
    """

    __tablename__ = "channel_classes"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    layer: Mapped[int] = mapped_column(primary_key=True)
    channel: Mapped[int] = mapped_column(primary_key=True)
    active: Mapped[int]
    sum: Mapped[float] = mapped_column(Float(53))
    squares: Mapped[float] = mapped_column(Float(53))
    maximum: Mapped[float] = mapped_column(Float(53))

    __table_args__ = ({"sqlite_with_rowid": False},)


class ChannelEffect(Base):
    """What a sound study found of one channel of the set that it is about.

    rank: its place there, best first. score: by the study's method. effect: what ablating it alone
    does to the targets' log-odds, with a 95% interval, None where it was not ablated alone;
    control_effect: what it does to siblings' and controls' log-odds of their own labels. target,
    method: the class that the study is about, and how its set was chosen; None of earlier studies.
    """

    __tablename__ = "channel_effects"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    layer: Mapped[int] = mapped_column(primary_key=True)
    channel: Mapped[int] = mapped_column(primary_key=True)
    rank: Mapped[int]
    score: Mapped[float | None] = mapped_column(Float(53))
    effect: Mapped[float | None] = mapped_column(Float(53))
    effect_low: Mapped[float | None] = mapped_column(Float(53))
    effect_high: Mapped[float | None] = mapped_column(Float(53))
    control_effect: Mapped[float | None] = mapped_column(Float(53))
    control_effect_low: Mapped[float | None] = mapped_column(Float(53))
    control_effect_high: Mapped[float | None] = mapped_column(Float(53))
    target: Mapped[str | None] = mapped_column(Text)
    method: Mapped[str | None] = mapped_column(String(16))

    __table_args__ = (Index(None, "layer", "channel"),)


_OF_A_STUDY = (Channel, Exemplar, ChannelClass, StudyClass, ChannelEffect)


def removals(job_id: str) -> Iterator[Delete]:
    """The statements that remove all that a study found: some tens of thousands of rows."""
    for table in map(table_of, _OF_A_STUDY):
        yield delete(table).where(table.c.job_id == job_id)

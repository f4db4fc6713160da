"""What studies find of each channel: `Channel`, its statistics, and `Exemplar`, its pictures."""

from sqlalchemy import Float, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from beholder.jobs.models import Base


class Channel(Base):
    """One channel's statistics in one study: strengths over its pictures, counts of top places.

    count, mean, deviation, maximum: over the targets; controls (a count) and control_...: over
    the controls, None where there were none. chosen: it was blinded.
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

    __table_args__ = (
        Index("ix_channels_top", "job_id", "layer", "count", "chosen", "mean"),  # read backwards
        Index("ix_channels_across", "layer", "channel", "job_id"),
        {"sqlite_with_rowid": False},  # half the size: the key is most of a row
    )


class Exemplar(Base):
    """One of the few pictures of a study that drive a channel most; rank 0 is the strongest.

    Only ReLU and pool layers have rows: a convolution is read after its ReLU.
    position: of the study's item.
    """

    __tablename__ = "exemplars"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    layer: Mapped[int] = mapped_column(primary_key=True)
    channel: Mapped[int] = mapped_column(primary_key=True)
    rank: Mapped[int] = mapped_column(primary_key=True)
    position: Mapped[int]
    strength: Mapped[float] = mapped_column(Float(53))

    __table_args__ = ({"sqlite_with_rowid": False},)

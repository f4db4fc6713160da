"""Geometry of the page's drawings. Templates draw it as SVG; nothing here knows HTML."""

from collections.abc import Sequence
from dataclasses import dataclass

from api.page_words import number_words
from beholder.jobs.views import ChannelView

CURVE_WIDTH, CURVE_HEIGHT = 480.0, 150.0
_MAX_POINTS = 400
_TICK_GAP = 16.0  # below which two numbers of the axis would touch


@dataclass(frozen=True)
class Curve:
    """An objective over its steps, scaled into CURVE_WIDTH x CURVE_HEIGHT with 0 among the values.

    ticks: heights of the axis's lines, each with its number.
    """

    line: str
    area: str
    first: float
    last: float
    steps: int
    end: tuple[float, float]
    ticks: tuple[tuple[float, str], ...]

    @property
    def words(self) -> str:
        """What the curve says."""
        ends = f"From {number_words(self.first)} to {number_words(self.last)}"
        if self.last < self.first:
            return f"{ends}: it fell."
        if self.first > 0:
            return f"{ends}, {self.last / self.first:,.1f} times."
        return f"{ends}."


def curve(values: Sequence[float]) -> Curve | None:
    """The curve of an objective; None for fewer than two values."""
    if len(values) < 2:
        return None
    low, high = min(0.0, *values), max(0.0, *values)
    scale = CURVE_HEIGHT / ((high - low) or 1.0)
    stride = max(1, len(values) // _MAX_POINTS)
    places = sorted({*range(0, len(values), stride), len(values) - 1})
    bottom = high * scale if low < high else CURVE_HEIGHT  # where 0 is
    points = [
        (place / (len(values) - 1) * CURVE_WIDTH, bottom - values[place] * scale)
        for place in places
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    area = f"0,{bottom:g} {line} {CURVE_WIDTH:g},{bottom:g}"
    ends = (value for value in {low, high} - {0.0} if abs(value * scale) >= _TICK_GAP)
    ticks = [(bottom, "0"), *((bottom - value * scale, number_words(value)) for value in ends)]
    return Curve(line, area, values[0], values[-1], len(values), points[-1], tuple(sorted(ticks)))


@dataclass(frozen=True)
class Bar:
    """A channel's bar: shares of the chart's height, for targets and for controls."""

    channel: int
    count: int
    controls: int
    share: float
    control_share: float
    chosen: bool


@dataclass(frozen=True)
class LayerChart:
    """The channels of one layer that most of a study's targets share, most shared first."""

    layer: int
    name: str
    bars: tuple[Bar, ...]
    shared: int
    chosen: int
    limit: float


def layer_charts(
    rows: Sequence[ChannelView], *, targets: int, controls: int, threshold: int
) -> list[LayerChart]:
    """A chart a layer; `rows` come layer by layer, ranked."""
    layers: dict[int, list[ChannelView]] = {}
    for row in rows:
        layers.setdefault(row.layer, []).append(row)
    return [
        LayerChart(
            layer,
            found[0].layer_name,
            tuple(_bar(row, targets, controls) for row in found),
            sum(row.count >= threshold for row in found),
            sum(row.chosen for row in found),
            min(1.0, threshold / max(1, targets)),
        )
        for layer, found in layers.items()
    ]


def _bar(row: ChannelView, targets: int, controls: int) -> Bar:
    return Bar(
        row.channel,
        row.count,
        row.controls,
        row.count / max(1, targets),
        row.controls / max(1, controls),
        row.chosen,
    )


@dataclass(frozen=True)
class Mark:
    """One channel in the strip of its layer: its place and height, both from 0 to 1."""

    channel: int
    place: float
    height: float
    here: bool


def strip(strengths: Sequence[float], here: int) -> list[Mark]:
    """All channels of a layer by their mean strength, in the order of their numbers."""
    top = max(strengths, default=0.0) or 1.0
    return [
        Mark(channel, channel / len(strengths), strength / top, channel == here)
        for channel, strength in enumerate(strengths)
    ]

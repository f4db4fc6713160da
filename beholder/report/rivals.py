"""Rivals at the headline's dose: each method and way of ablating, against sets drawn by lot."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from beholder.evidence.document import Band, Evidence, Interval, Outcome
from beholder.evidence.names import Role
from beholder.report.axes import WIDTH, percent_axis, ruled
from beholder.report.palette import ROLE_LOOKS
from beholder.report.selection import BANDS, band_at, rivals, way
from beholder.report.words import mode_name, percent

_ROW_PX, _MARGIN_PX = 26, 110
_OFFSET = {"target": 0.0, "sibling": 0.16, "control": -0.16}


@dataclass(frozen=True)
class _Row:
    """A line of the figure: what is kept, by role. main: it is the headline's."""

    label: str
    kept: dict[Role, Interval | Band]
    main: bool = False


def fits(evidence: Evidence) -> bool:
    """Whether the headline has anything beside it."""
    return len(_rows(evidence)) > 1


def size(evidence: Evidence) -> tuple[float, float]:
    """Width and height in pixels."""
    return WIDTH, max(220, _MARGIN_PX + _ROW_PX * len(_rows(evidence)))


def draw(figure: Figure, evidence: Evidence) -> None:
    """A row each; a point a role with its 95% interval, or the central 95% of the draws."""
    axes = figure.add_subplot()
    ruled(axes, "x")
    rows = _rows(evidence)
    for role in ("control", "sibling", "target"):
        _points(axes, rows, role)
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    for row, tick in zip(rows, axes.get_yticklabels(), strict=True):
        tick.set_fontweight("bold" if row.main else "normal")
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(-0.03, 1.03)
    axes.tick_params(axis="y", length=0)
    percent_axis(axes, "x")
    axes.set_xlabel("pictures that keep their label")
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, handletextpad=0.2
    )


def describe(evidence: Evidence) -> str:
    """In words, for who does not see the figure."""
    said = "; ".join(
        f"{row.label}: " + ", ".join(f"{role}s {percent(_centre(kept))}" for role, kept in kept_by)
        for row in _rows(evidence)
        if (kept_by := list(row.kept.items()))
    )
    return f"Chart of pictures that keep their label, a row a condition. {said}."


def _rows(evidence: Evidence) -> list[_Row]:
    main = evidence.main
    rows = [
        _Row(_label(one), {group.role: group.kept for group in one.roles}, main=one is main)
        for one in rivals(evidence)
    ]
    for kind, label in BANDS:
        band = band_at(evidence, kind)
        if band is not None:
            rows.append(_Row(label, dict(band.kept)))
    return rows


def _label(outcome: Outcome) -> str:
    return f"{outcome.method}, {mode_name(*way(outcome))}"


def _points(axes: Axes, rows: Sequence[_Row], role: Role) -> None:
    shown = [(place, row.kept[role]) for place, row in enumerate(rows) if role in row.kept]
    if not shown:
        return
    centres = [_centre(kept) for _, kept in shown]
    below = [max(0.0, _centre(kept) - kept.low) for _, kept in shown]
    above = [max(0.0, kept.high - _centre(kept)) for _, kept in shown]
    look = ROLE_LOOKS[role]
    axes.errorbar(
        centres,
        [place + _OFFSET[role] for place, _ in shown],
        xerr=[below, above],
        fmt=look.marker,
        color=look.colour,
        markersize=6,
        capsize=2.5,
        linewidth=1.4,
        label=f"{role}s",
    )


def _centre(kept: Interval | Band) -> float:
    return kept.value if isinstance(kept, Interval) else kept.median

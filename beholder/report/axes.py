"""Empty figures in the page's look, 1 pixel a point: `canvas`, `panel`, `mark_exploratory`.

matplotlib's settings belong to the whole process and its font cache to no thread, so whoever draws
does it inside `drawing()`.
"""

import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from beholder.report.palette import LIGHT
from beholder.report.words import EXPLORATORY, MINUS

WIDTH, HEIGHT = 420, 310  # of a usual figure, in pixels; a phone shows it at three quarters
TEXT_PX, SMALL_PX = 12, 10.5
_MARK_PX, _PAD_PX = 19, 3
_PANEL_PX = 330  # of a usual figure's width, that its axis takes
_DIGIT_PX, _GAP_PX = 6.5, 5  # of a tick's number, and between two
_DPI = 72  # so that matplotlib's points are pixels
_STYLE: dict[Any, Any] = {
    "figure.dpi": _DPI,
    "font.size": TEXT_PX,
    "axes.edgecolor": LIGHT["quiet"],
    "axes.labelcolor": LIGHT["ink"],
    "axes.labelsize": TEXT_PX,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "grid.color": LIGHT["line"],
    "grid.linewidth": 0.8,
    "legend.fontsize": SMALL_PX,
    "legend.frameon": False,
    "legend.labelcolor": LIGHT["ink"],
    "text.parse_math": False,  # names of classes and folders are no formulas, whatever they hold
    "text.color": LIGHT["ink"],
    "xtick.color": LIGHT["quiet"],
    "ytick.color": LIGHT["quiet"],
    "xtick.labelcolor": LIGHT["ink"],
    "ytick.labelcolor": LIGHT["ink"],
    "xtick.labelsize": SMALL_PX,
    "ytick.labelsize": SMALL_PX,
    "svg.fonttype": "none",  # text stays text: it can be read out, and searched for
    "svg.hashsalt": "beholder",  # the same figure is the same file
    "pdf.fonttype": 42,
}
_DRAWING = threading.Lock()


@contextmanager
def drawing() -> Iterator[None]:
    """The look, for one thread at a time. Saving belongs inside as well."""
    with _DRAWING, rc_context(_STYLE), warnings.catch_warnings():
        # Names may be in any script; a page has fonts for what matplotlib has none for.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def canvas(width: float = WIDTH, height: float = HEIGHT) -> Figure:
    """An empty figure, sizes in pixels."""
    return Figure(figsize=(width / _DPI, height / _DPI), layout="constrained")


def panel(figure: Figure, *, grid: str = "y") -> Axes:
    """The figure's only axes. grid: "x", "y", "both" or ""."""
    axes = figure.add_subplot()
    ruled(axes, grid)
    return axes


def ruled(axes: Axes, grid: str) -> None:
    """Rules under what is drawn, across the axis named."""
    axes.set_axisbelow(True)
    if grid in ("x", "y", "both"):
        axes.grid(True, axis=grid)  # type: ignore[arg-type]


def percent_axis(axes: Axes, which: str) -> None:
    """Shares from 0 to 1 written as percents."""
    axis = axes.yaxis if which == "y" else axes.xaxis
    axis.set_major_formatter(lambda value, _: f"{100 * value:.3g}%".replace("-", MINUS))


def dose_axis(axes: Axes, doses: Sequence[int], main: int) -> None:
    """Numbers of channels, doubling from tick to tick, with room for none at all.

    main: the dose that is named whatever happens; the others as far as there is room.
    """
    shown = sorted(set(doses))
    axes.set_xscale("symlog", base=2, linthresh=1)
    named = _with_room(axes, shown, main)
    axes.set_xticks(shown, [f"{dose:,}" if dose in named else "" for dose in shown], minor=False)
    axes.set_xticks([], minor=True)
    axes.set_xlim(-0.15, max([*shown, 1]) * 1.12)


def _with_room(axes: Axes, doses: Sequence[int], main: int) -> set[int]:
    """The doses whose numbers fit side by side, `main` among them."""
    transform = axes.xaxis.get_transform()
    at = {dose: float(transform.transform([dose])[0]) for dose in {0, main, *doses}}
    pixels = _PANEL_PX / (max(at.values()) or 1)
    named = [main]
    for dose in doses:
        letters = {other: len(f"{dose:,}{other:,}") / 2 for other in named}
        if all(
            abs(at[dose] - at[other]) * pixels > letters[other] * _DIGIT_PX + _GAP_PX
            for other in named
        ):
            named.append(dose)
    return set(named)


def add_room(figure: Figure, height: float) -> float:
    """Make the figure taller, for what stands over its panels; where that begins, from 0 to 1.

    height: in pixels. Each call adds its room below that of the one before.
    """
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    old = figure.get_figheight() * _DPI
    panels = float(engine.get()["rect"][3])
    new = old + height
    figure.set_figheight(new / _DPI)
    engine.set(rect=(0, 0, 1, panels * old / new))
    return 1 - ((1 - panels) * old + _PAD_PX) / new


def mark_exploratory(figure: Figure) -> None:
    """The word, over the figure's top right, so that no copy of it goes without."""
    top = add_room(figure, _MARK_PX)
    figure.text(
        0.995,
        top,
        EXPLORATORY,
        ha="right",
        va="top",
        fontsize=SMALL_PX,
        fontweight="bold",
        color=LIGHT["amber"],
    )

"""Target against control: what each condition took from the targets, and what from the others."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from beholder.evidence.document import Evidence, Outcome
from beholder.report.axes import SMALL_PX, panel, percent_axis
from beholder.report.palette import LIGHT, METHOD_LOOKS
from beholder.report.selection import best_trade, chosen, others_drop, sweep, target_drop, way
from beholder.report.words import lost, outcome_name

_LINE = 0.045  # of the targets' axis, that a number takes


def draw(figure: Figure, evidence: Evidence) -> None:
    """One point a condition; up and to the left is better. The line joins the best."""
    axes = panel(figure, grid="both")
    drawn = [one for one in evidence.outcomes if one.kind in ("random", "matched")]
    _points(axes, drawn, LIGHT["band"], "o", "random sets", alpha=0.35, size=70)
    found = chosen(evidence)
    for method in dict.fromkeys(one.method for one in found):
        look = METHOD_LOOKS[method]
        same = [one for one in found if one.method == method]
        _points(axes, same, look.colour, look.marker, method, alpha=0.85)
    _frontier(axes, found)
    _doses(axes, sweep(evidence, evidence.main.method, way(evidence.main)))
    _ring(axes, evidence.main)
    _damage(axes)
    axes.axhline(0, color=LIGHT["quiet"], linewidth=0.8)
    axes.axvline(0, color=LIGHT["quiet"], linewidth=0.8)
    percent_axis(axes, "x")
    percent_axis(axes, "y")
    axes.set_xlabel("other pictures that lost their label")
    axes.set_ylabel("targets that lost theirs")
    axes.legend(loc="best", labelspacing=0.3, handletextpad=0.3)


def describe(evidence: Evidence) -> str:
    """In words, for who does not see the figure."""
    best = best_trade(chosen(evidence))
    said = "; ".join(
        f"{outcome_name(one)}: targets {lost(target_drop(one))}, others {lost(others_drop(one))}"
        for one in best[:6]
    )
    return (
        "Scatter chart of the share that targets lost against the share that others lost, in "
        f"percentage points. Beaten by none in both: {said or 'none'}."
    )


def fits(evidence: Evidence) -> bool:
    """Whether there are targets and others to set against each other."""
    return others_drop(evidence.main) is not None and target_drop(evidence.main) is not None


def _measured(outcomes: list[Outcome]) -> list[tuple[float, float]]:
    """Others' and targets' losses."""
    return [
        (other, target)
        for one in outcomes
        if (other := others_drop(one)) is not None and (target := target_drop(one)) is not None
    ]


def _points(
    axes: Axes,
    outcomes: list[Outcome],
    colour: str,
    marker: str,
    label: str,
    *,
    alpha: float,
    size: float = 34,
) -> None:
    at = _measured(outcomes)
    if at:
        xs, ys = zip(*at, strict=True)
        axes.scatter(
            xs, ys, s=size, color=colour, marker=marker, alpha=alpha, linewidths=0, label=label
        )


def _frontier(axes: Axes, outcomes: list[Outcome]) -> None:
    at = _measured(best_trade(outcomes))
    if len(at) > 1:
        xs, ys = zip(*at, strict=True)
        axes.plot(
            xs,
            ys,
            color=LIGHT["quiet"],
            linestyle="--",
            linewidth=1,
            drawstyle="steps-post",
            label="beaten by none in both",
            zorder=1,
        )


def _doses(axes: Axes, outcomes: list[Outcome]) -> None:
    """How many channels each point of the headline's sweep is of, where there is room to say so."""
    said: list[float] = []
    for one in reversed(outcomes):
        for at in _measured([one]):
            if all(abs(at[1] - other) > _LINE for other in said):
                said.append(at[1])
                axes.annotate(
                    f"{one.dose:,}",
                    at,
                    xytext=(-7, 0),
                    textcoords="offset points",
                    ha="right",
                    va="center",
                    fontsize=SMALL_PX,
                )


def _damage(axes: Axes) -> None:
    """Where targets lose as much as others, over the whole width."""
    axes.margins(x=0.1)
    left, right = axes.get_xlim()
    end = max(right, 0.01)
    colour = LIGHT["alarm"]
    axes.plot([0, end], [0, end], color=colour, linestyle=":", linewidth=1.4, label="mere damage")
    axes.set_xlim(min(left, -0.005), end)


def _ring(axes: Axes, main: Outcome) -> None:
    at = _measured([main])
    if at:
        axes.scatter(
            [at[0][0]],
            [at[0][1]],
            s=150,
            facecolors="none",
            edgecolors=LIGHT["ink"],
            linewidths=1.6,
            label="the headline",
        )

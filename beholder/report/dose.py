"""Dose-response: how many pictures keep their label as more channels are ablated."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from beholder.evidence.document import Evidence, Outcome
from beholder.evidence.names import Kind, Role
from beholder.report.axes import HEIGHT, WIDTH, dose_axis, panel, percent_axis
from beholder.report.palette import LIGHT, METHOD_LOOKS, ROLE_LOOKS, Look
from beholder.report.selection import (
    BANDS,
    OTHERS,
    bands,
    chosen,
    intact_kept,
    methods,
    sweep,
    way,
)
from beholder.report.words import percent, plural

_INSIDE, _ENTRY_PX = 7, 16  # a legend with more entries stands under the figure
_DASHES: dict[Kind, str] = {"random": "-", "matched": "--"}


def draw_targets(figure: Figure, evidence: Evidence) -> None:
    """A line a method for the targets, over the random bands."""
    _draw_role(figure, evidence, "target")


def draw_others(figure: Figure, evidence: Evidence) -> None:
    """The same for those who should keep their labels: controls, else siblings."""
    _draw_role(figure, evidence, other_role(evidence))


def draw_keep(figure: Figure, evidence: Evidence) -> None:
    """All but so many channels ablated: a line a role."""
    axes = panel(figure)
    kept = keep_sweep(evidence)
    for role, look in ROLE_LOOKS.items():
        shown = [(one.dose, group) for one in kept if (group := one.role(role))]
        if shown:
            axes.plot(
                [dose for dose, _ in shown],
                [group.kept.value for _, group in shown],
                color=look.colour,
                marker=look.marker,
                linestyle=look.dash,
                label=f"{role}s",
            )
    doses = [one.dose for one in kept]
    _finish(figure, axes, doses, evidence.main.dose, "pictures that keep their label")
    axes.set_xlabel(_count_words(evidence, "left"))


def describe_targets(evidence: Evidence) -> str:
    """In words, for who does not see the figure."""
    return _describe(evidence, "target")


def describe_others(evidence: Evidence) -> str:
    """In words, for who does not see the figure."""
    return _describe(evidence, other_role(evidence))


def describe_keep(evidence: Evidence) -> str:
    """In words, for who does not see the figure."""
    said = [
        f"{plural(one.dose, 'channel')} {percent(group.kept.value)}"
        for one in keep_sweep(evidence)
        if (group := one.role("target"))
    ]
    return f"Line chart. Targets that keep their label when all is ablated but: {', '.join(said)}."


def size(evidence: Evidence) -> tuple[float, float]:
    """Width and height in pixels, with room for the legend of many methods."""
    entries = len(methods(evidence)) + len(BANDS) + 2
    return WIDTH, HEIGHT + (_ENTRY_PX * -(-entries // 2) if entries > _INSIDE else 0)


def other_role(evidence: Evidence) -> Role:
    """Controls, or siblings where there are none."""
    return "control" if evidence.main.role("control") else "sibling"


def has_others(evidence: Evidence) -> bool:
    """Whether there is anybody but targets."""
    return any(evidence.main.role(role) for role in OTHERS)


def keep_sweep(evidence: Evidence) -> list[Outcome]:
    """Outcomes that keep so many channels alone, by the headline's method, by dose."""
    found = [
        one
        for one in evidence.outcomes
        if one.kind == "keep" and one.method == evidence.main.method
    ]
    return sorted(found, key=lambda one: one.dose)


def _draw_role(figure: Figure, evidence: Evidence, role: Role) -> None:
    axes = panel(figure)
    for kind, label in BANDS:
        _band(axes, evidence, role, kind, label)
    for method in reversed(methods(evidence)):  # the headline's on top
        found = sweep(evidence, method, way(evidence.main))
        _line(axes, evidence, found, role, METHOD_LOOKS[method], method)
    if role == "control" and evidence.main.role("sibling"):
        found = sweep(evidence, evidence.main.method, way(evidence.main))
        label = f"{evidence.main.method}, siblings"
        _line(axes, evidence, found, "sibling", ROLE_LOOKS["sibling"], label)
    _star(axes, evidence, role)
    doses = [one.dose for one in chosen(evidence)]
    _finish(figure, axes, doses, evidence.main.dose, f"{_whose(evidence, role)} their label")
    axes.set_xlabel(_count_words(evidence, "ablated"))


def _band(axes: Axes, evidence: Evidence, role: Role, kind: Kind, label: str) -> None:
    shown = [one for one in bands(evidence, kind, evidence.main.mode) if role in one.kept]
    if not shown:
        return
    doses = [one.dose for one in shown]
    colour = LIGHT["band"]
    if len(shown) == 1:  # nothing to lay a band between
        band = shown[0].kept[role]
        reach = [[band.median - band.low], [band.high - band.median]]
        axes.errorbar(doses, [band.median], reach, fmt="_", color=colour, capsize=4, label=label)
        return
    lows, highs = [one.kept[role].low for one in shown], [one.kept[role].high for one in shown]
    axes.fill_between(doses, lows, highs, color=colour, alpha=0.22, linewidth=0)
    medians = [one.kept[role].median for one in shown]
    axes.plot(doses, medians, color=colour, linestyle=_DASHES[kind], linewidth=1.6, label=label)


def _line(
    axes: Axes, evidence: Evidence, found: Sequence[Outcome], role: Role, look: Look, label: str
) -> None:
    shown = [(one.dose, group.kept.value) for one in found if (group := one.role(role))]
    if not shown:
        return
    start = intact_kept(evidence, role)
    if start is not None and len(shown) > 1 and shown[0][0] > 0:
        shown.insert(0, (0, start))
    axes.plot(
        [dose for dose, _ in shown],
        [kept for _, kept in shown],
        color=look.colour,
        marker=look.marker,
        markersize=5,
        linestyle=look.dash,
        linewidth=2.2 if look.dash == "-" else 1.5,
        label=label,
    )


def _star(axes: Axes, evidence: Evidence, role: Role) -> None:
    """The headline with its interval."""
    main, group = evidence.main, evidence.main.role(role)
    if group is None:
        return
    kept = group.kept
    reach = [[max(0.0, kept.value - kept.low)], [max(0.0, kept.high - kept.value)]]
    axes.errorbar(
        [main.dose],
        [kept.value],
        reach,
        fmt="o",
        color=METHOD_LOOKS[main.method].colour,
        markersize=8,
        markeredgecolor=LIGHT["raised"],
        capsize=4,
        linewidth=1.6,
        zorder=5,
        label="the headline, with 95% interval",
    )


def _whose(evidence: Evidence, role: Role) -> str:
    """Siblings are drawn beside controls."""
    siblings = role == "control" and evidence.main.role("sibling")
    return f"{role}s{' and siblings' if siblings else ''} that keep"


def _finish(figure: Figure, axes: Axes, doses: Sequence[int], main: int, words: str) -> None:
    dose_axis(axes, [0, *doses], main)
    axes.set_ylim(-0.03, 1.05)
    percent_axis(axes, "y")
    axes.set_ylabel(words)
    handles, labels = axes.get_legend_handles_labels()
    if len(labels) <= _INSIDE:
        axes.legend(loc="best", handlelength=2.2, labelspacing=0.3)
    else:
        figure.legend(handles, labels, loc="outside lower center", ncols=2, labelspacing=0.3)


def _count_words(evidence: Evidence, done: str) -> str:
    return f"channels {done}" if evidence.main.pooled else f"channels {done}, of each layer"


def _describe(evidence: Evidence, role: Role) -> str:
    main = evidence.main
    said = [
        f"{one.method} {percent(group.kept.value)}"
        for one in chosen(evidence)
        if one.dose == main.dose and way(one) == way(main) and one.pooled == main.pooled
        if (group := one.role(role))
    ]
    for kind, label in BANDS:
        found = [one for one in bands(evidence, kind, main.mode) if one.dose == main.dose]
        said += [
            f"{label} median {percent(one.kept[role].median)}" for one in found if role in one.kept
        ]
    return (
        f"Line chart of {role}s that keep their label against the number of channels ablated. "
        f"With {plural(main.dose, 'channel')}{'' if main.pooled else ' of each layer'}: "
        f"{', '.join(said)}."
    )

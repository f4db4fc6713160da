"""Bars: where the target's probability went, and which layers the channels are of."""

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from beholder.evidence.document import Evidence
from beholder.report.axes import SMALL_PX, panel, percent_axis
from beholder.report.palette import LIGHT
from beholder.report.words import layer_name, points, short

MAX_LABELS = 12
_LETTERS = 24  # of a class's name
_NUMBER = 0.21  # of the bars' width, that a number beside one takes
_LEAST = 0.0005  # of a probability: less reads as nothing


def draw_went(figure: Figure, evidence: Evidence) -> None:
    """A bar a class: the mean probability that it gained, or lost, on the targets."""
    axes = panel(figure, grid="x")
    shown = list(reversed(_went(evidence)))
    gains = [gain for _, gain in shown]
    colours = [LIGHT["leaf"] if gain >= 0 else LIGHT["alarm"] for gain in gains]
    axes.barh(range(len(shown)), gains, color=colours, height=0.7)
    axes.set_yticks(range(len(shown)), [short(label, _LETTERS) for label, _ in shown])
    ends = min([*gains, 0]), max([*gains, 0])
    span = ends[1] - ends[0] or 1
    for place, gain in enumerate(gains):
        axes.text(
            gain + (0.015 if gain >= 0 else -0.015) * span,
            place,
            points(gain),
            ha="left" if gain >= 0 else "right",
            va="center",
            fontsize=SMALL_PX,
        )
    axes.axvline(0, color=LIGHT["quiet"], linewidth=0.8)
    axes.set_xlim(ends[0] - _NUMBER * span, ends[1] + _NUMBER * span)
    left, right = axes.get_xlim()  # the room for numbers is beyond what a probability can lose
    axes.set_xticks([at for at in axes.get_xticks() if max(left, -1) <= at <= min(right, 1)])
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    percent_axis(axes, "x")
    axes.set_xlabel("mean probability gained on targets")


def describe_went(evidence: Evidence) -> str:
    """In words, for who does not see the figure."""
    said = ", ".join(f"{label} {points(gain)}" for label, gain in _went(evidence))
    return f"Bar chart of mean probability gained on targets, in percentage points: {said}."


def draw_layers(figure: Figure, evidence: Evidence) -> None:
    """A bar a layer: how many of the headline's channels are its."""
    axes = panel(figure)
    layers = sorted(evidence.layers)
    counts = [evidence.layers[layer] for layer in layers]
    axes.bar(range(len(layers)), counts, color=LIGHT["iris"], width=0.7)
    for place, count in enumerate(counts):
        axes.text(place, count, f" {count}", ha="center", va="bottom", fontsize=SMALL_PX)
    axes.set_xticks(range(len(layers)), [layer_name(layer) for layer in layers])
    if len(layers) > 6:
        axes.tick_params(axis="x", rotation=45)
    axes.set_ylim(0, max(counts, default=1) * 1.15)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("channels of the headline's set")


def describe_layers(evidence: Evidence) -> str:
    """In words, for who does not see the figure."""
    said = ", ".join(f"{layer_name(layer)} {count}" for layer, count in evidence.layers.items())
    return f"Bar chart of the headline's channels by layer: {said}."


def _went(evidence: Evidence) -> list[tuple[str, float]]:
    """The classes that changed most, by what they gained; the target among them."""
    most = sorted(evidence.went, key=lambda one: -abs(one[1]))[:MAX_LABELS]
    most = [one for one in most if abs(one[1]) >= _LEAST] or most
    return sorted(most, key=lambda one: -one[1])

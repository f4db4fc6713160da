"""What the report draws: a table of figures, each with the words that a teacher would say to it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from matplotlib.figure import Figure

from beholder.evidence.document import Evidence
from beholder.report import bars, dose, matrix, rivals, slopes, trade
from beholder.report.axes import HEIGHT, WIDTH, canvas, mark_exploratory

Fits = Callable[[Evidence], bool]


@dataclass(frozen=True)
class Sort:
    """A sort of figure.

    name: in file names and addresses. meaning: how to read it, in plain words. describe: what this
    one shows, for who does not see it. fits: whether the evidence has what it takes. size: in
    pixels.
    """

    name: str
    title: str
    meaning: str
    draw: Callable[[Figure, Evidence], None]
    describe: Callable[[Evidence], str]
    fits: Fits = lambda evidence: True
    size: Callable[[Evidence], tuple[float, float]] = lambda evidence: (WIDTH, HEIGHT)


SORTS = (
    Sort(
        "dose-targets",
        "The more channels, the fewer targets",
        "Each line or mark is a way of choosing channels; the further down, the more targets the "
        "network no longer sees. The grey band is where sets drawn by lot come out: a line inside "
        "it shows nothing about the channels, only that damage does harm.",
        dose.draw_targets,
        dose.describe_targets,
        lambda evidence: evidence.main.role("target") is not None,
        dose.size,
    ),
    Sort(
        "dose-others",
        "What the same channels do to others",
        "The same lines for pictures that are no targets. A selective set stays at the top: who "
        "can no longer see anything has not been blinded to one class.",
        dose.draw_others,
        dose.describe_others,
        dose.has_others,
        dose.size,
    ),
    Sort(
        "trade",
        "What was taken from targets, and what from others",
        "Every set that a method chose for the target is a point, and every random one. The "
        "upper left corner is the aim: all targets lost, nobody "
        "else. Points on the dashed line are beaten by none in both; on the dotted line "
        "targets lose no more than others do, which is mere damage.",
        trade.draw,
        trade.describe,
        trade.fits,
    ),
    Sort(
        "slopes",
        "The target's log-odds, intact and blinded",
        "Each line is a test picture, from the intact to the blinded network. Log-odds have no "
        "ceiling: 0 is as likely as not, +5 is 99.3%, −5 is 0.7%, so a fall shows even where the "
        "label stays. Coloured lines changed their label; the heavy line is the mean.",
        slopes.draw,
        slopes.describe,
        lambda evidence: bool(slopes.roles(evidence)),
    ),
    Sort(
        "went",
        "Where the target's probability went",
        "A network that no longer sees the target must see something else: what the target lost, "
        "others gained. Over all classes it adds up to nothing.",
        bars.draw_went,
        bars.describe_went,
        lambda evidence: bool(evidence.went),
    ),
    Sort(
        "rivals",
        "Against other ways to choose and to ablate",
        "All with as many channels as the headline. Targets should be far to the left and the "
        "others to the right. Setting a map to zero gives later layers what they never met; where "
        "mean or resample do less, part of zero's effect may be that strangeness.",
        rivals.draw,
        rivals.describe,
        rivals.fits,
        rivals.size,
    ),
    Sort(
        "keep",
        "The other way round: what so few channels keep",
        "Everything from the lowest layer on is ablated but the channels chosen. Targets that keep "
        "their label now show how far these channels suffice, not only that they are needed.",
        dose.draw_keep,
        dose.describe_keep,
        lambda evidence: len(dose.keep_sweep(evidence)) > 1,
    ),
    Sort(
        "layers",
        "Which layers the channels are of",
        "Low layers see edges and textures, high ones whole things.",
        bars.draw_layers,
        bars.describe_layers,
        lambda evidence: bool(evidence.layers),
    ),
    Sort(
        "matrix",
        "Each group's channels on each group's pictures",
        "Numbers are percentage points lost. A dark diagonal on a light ground means that sets are "
        "their group's own; a dark row is a set that harms whatever it meets.",
        matrix.draw,
        matrix.describe,
        lambda evidence: bool(evidence.matrix),
        matrix.size,
    ),
)


def fitting(evidence: Evidence) -> Iterator[Sort]:
    """The sorts that there is something to draw for."""
    return (sort for sort in SORTS if sort.fits(evidence))


def drawn(sort: Sort, evidence: Evidence) -> Figure:
    """The figure, marked where the study is exploratory. Call it inside `drawing()`."""
    figure = canvas(*sort.size(evidence))
    if evidence.exploratory:
        mark_exploratory(figure)
    sort.draw(figure, evidence)
    return figure

"""Picture by picture: the target's log-odds with the network intact, and with it blinded."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from beholder.evidence.document import Evidence, PictureRow
from beholder.evidence.names import Role
from beholder.report.axes import ruled
from beholder.report.palette import LIGHT, ROLE_LOOKS
from beholder.report.words import number, plural, short

MAX_LINES = 300  # of a role; more would be a blot
_NAMES: dict[Role, str] = {"target": "targets", "sibling": "siblings", "control": "controls"}


def tested(evidence: Evidence, role: Role) -> list[PictureRow]:
    """The pictures of a role that the figures are about."""
    return [row for row in evidence.rows if row.role == role and row.split == "test"]


def roles(evidence: Evidence) -> list[Role]:
    """Those that have test pictures."""
    return [role for role in _NAMES if tested(evidence, role)]


def draw(figure: Figure, evidence: Evidence) -> None:
    """A panel a role, a line a picture; what changed its label is drawn stronger."""
    shown = roles(evidence)
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axes, role in zip(panels, shown, strict=True):
        _panel(axes, tested(evidence, role), role)
    panels[0].set_ylabel(f"log-odds of {short(evidence.target_label, 30)}")


def describe(evidence: Evidence) -> str:
    """In words, for who does not see the figure."""
    said = []
    for role in roles(evidence):
        rows = tested(evidence, role)
        fell = sum(row.blinded_log_odds < row.intact_log_odds for row in rows)
        mean = sum(row.blinded_log_odds - row.intact_log_odds for row in rows) / len(rows)
        said.append(f"{fell} of {plural(len(rows), role)} fall; the mean change is {number(mean)}")
    return f"Slope chart of the target's log-odds, from intact to blinded. {'. '.join(said)}."


def _panel(axes: Axes, rows: list[PictureRow], role: Role) -> None:
    ruled(axes, "y")
    look = ROLE_LOOKS[role]
    for row in rows[:MAX_LINES]:
        lost = row.blinded_label != row.intact_label
        axes.plot(
            [0, 1],
            [row.intact_log_odds, row.blinded_log_odds],
            color=look.colour if lost else LIGHT["band"],
            linewidth=1.1,
            alpha=0.65,
            marker=look.marker,
            markersize=3,
        )
    if rows:
        count = len(rows)
        means = [
            sum(row.intact_log_odds for row in rows) / count,
            sum(row.blinded_log_odds for row in rows) / count,
        ]
        axes.plot([0, 1], means, color=LIGHT["ink"], linewidth=2.6, marker="o", markersize=5)
    axes.axhline(0, color=LIGHT["quiet"], linewidth=0.9, linestyle=":")
    axes.set_xticks([0, 1], ["intact", "blinded"])
    axes.set_xlim(-0.25, 1.25)
    axes.set_title(plural(len(rows), role), fontsize=12)

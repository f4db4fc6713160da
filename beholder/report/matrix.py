"""The matrix: what the channels chosen for one group do to each group's pictures."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from beholder.evidence.document import Cell, Evidence
from beholder.report.axes import HEIGHT, SMALL_PX, WIDTH
from beholder.report.palette import LIGHT
from beholder.report.words import MINUS, lost, short

_DEEPEST = 0.6  # opacity of a cell that lost all: the number on it stays readable
_CELL_PX, _ROW_PX, _MARGIN_PX = 38, 28, 130
_LETTERS = 18  # of a group's name


def groups(evidence: Evidence) -> tuple[list[str], list[str]]:
    """The sets' groups in the order met, and the pictures' groups in that of their own sets."""
    sets = list(dict.fromkeys(cell.of for cell in evidence.matrix))
    pictures = list(dict.fromkeys(cell.group for cell in evidence.matrix))
    places = {cell.group: sets.index(cell.of) for cell in evidence.matrix if cell.own}
    return sets, sorted(pictures, key=lambda name: places.get(name, len(sets)))


def size(evidence: Evidence) -> tuple[float, float]:
    """Width and height in pixels that give each cell room for its number."""
    sets, pictures = groups(evidence)
    width = max(WIDTH, _MARGIN_PX + _CELL_PX * len(pictures))
    return width, max(HEIGHT, _MARGIN_PX + _ROW_PX * len(sets))


def draw(figure: Figure, evidence: Evidence) -> None:
    """A row a set, a column a group of pictures; the darker, the more of them was lost."""
    axes = figure.add_subplot()
    sets, pictures = groups(evidence)
    for cell in evidence.matrix:
        _cell(axes, cell, pictures.index(cell.group), sets.index(cell.of))
    axes.set_xlim(0, len(pictures))
    axes.set_ylim(len(sets), 0)
    axes.set_xticks(
        [place + 0.5 for place in range(len(pictures))],
        [short(name, _LETTERS) for name in pictures],
    )
    axes.set_yticks(
        [place + 0.5 for place in range(len(sets))], [short(name, _LETTERS) for name in sets]
    )
    axes.tick_params(axis="x", rotation=_turn(len(pictures)))
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel("pictures of")
    axes.set_ylabel("channels chosen for")


def describe(evidence: Evidence) -> str:
    """In words, for who does not see the figure."""
    own = [f"{cell.group} {lost(cell.drop)}" for cell in evidence.matrix if cell.own]
    other = [cell for cell in evidence.matrix if not cell.own]
    worst = max(other, key=lambda cell: cell.drop, default=None)
    said = f"Each group under its own set, in percentage points: {', '.join(own) or 'none'}."
    if worst is not None:
        said += (
            f" The most that another's set takes: {lost(worst.drop)} of {worst.group}, under "
            f"that of {worst.of}."
        )
    return f"Heat map of pictures that lost their label. {said}"


def _cell(axes: Axes, cell: Cell, column: int, row: int) -> None:
    axes.add_patch(
        Rectangle(
            (column + 0.03, row + 0.04),
            0.94,
            0.92,
            facecolor=LIGHT["iris"],
            alpha=0.04 + (_DEEPEST - 0.04) * min(1.0, max(0.0, cell.drop)),
            linewidth=0,
        )
    )
    if cell.own:
        axes.add_patch(
            Rectangle(
                (column + 0.03, row + 0.04),
                0.94,
                0.92,
                facecolor="none",
                edgecolor=LIGHT["ink"],
                linewidth=1.2,
            )
        )
    axes.text(
        column + 0.5,
        row + 0.5,
        f"{round(100 * cell.drop)}".replace("-", MINUS),
        ha="center",
        va="center",
        fontsize=SMALL_PX,
    )


def _turn(columns: int) -> int:
    """Degrees by which names turn so that they find room side by side."""
    if columns <= 4:
        return 0
    return 35 if columns <= 8 else 90

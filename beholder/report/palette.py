"""The report's colours, light and dark, and how methods look: told apart by mark as by colour.

Figures are drawn in the light ones. Each stands here once, so that the page can find it in an SVG
and put the custom property in its place that dark redefines.
"""

from dataclasses import dataclass

from beholder.evidence.names import Method, Role

LIGHT = {
    "ground": "#faf9f6",
    "raised": "#ffffff",
    "sunken": "#f0eee8",
    "ink": "#23222a",
    "quiet": "#66626f",
    "line": "#dedbd2",
    "iris": "#5340b3",
    "leaf": "#1d6b4f",
    "alarm": "#b3261e",
    "amber": "#a05a00",
    "sky": "#0072b2",
    "teal": "#00806a",
    "ochre": "#8f6b00",
    "rose": "#a83f7a",
    "rust": "#c04a00",
    "azure": "#2a83b8",
    "band": "#8d8998",
}
DARK = {
    "ground": "#141318",
    "raised": "#1d1c23",
    "sunken": "#26242d",
    "ink": "#eceaf1",
    "quiet": "#a5a1b0",
    "line": "#35323f",
    "iris": "#b3a5ff",
    "leaf": "#7fd6b0",
    "alarm": "#ff9d92",
    "amber": "#f0bd72",
    "sky": "#63b8ec",
    "teal": "#4fd0b4",
    "ochre": "#e0bf5c",
    "rose": "#f09bc6",
    "rust": "#ff9a5c",
    "azure": "#8fd0f5",
    "band": "#8f8b9c",
}


@dataclass(frozen=True)
class Look:
    """How a line of a figure is drawn: colour, marker and dash in matplotlib's words."""

    colour: str
    marker: str
    dash: str = "-"


def _look(name: str, marker: str, dash: str = "-") -> Look:
    return Look(LIGHT[name], marker, dash)


METHOD_LOOKS: dict[Method, Look] = {
    "iterative": _look("iris", "o"),
    "contrastive": _look("sky", "s", "--"),
    "gradient": _look("teal", "^", "-."),
    "effect": _look("ochre", "D", ":"),
    "auroc": _look("rose", "v", "--"),
    "count": _look("rust", "X", "-."),
    "single": _look("azure", "P", ":"),
    "random": _look("band", ".", ":"),
}
ROLE_LOOKS: dict[Role, Look] = {
    "target": _look("alarm", "o"),
    "sibling": _look("amber", "^", "--"),
    "control": _look("leaf", "s", "-."),
}

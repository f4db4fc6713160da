"""Contact sheets like the article's figures, drawn with Pillow alone (no torch, no numpy).

`layers_sheet`, `steps_sheet` and `grid_sheet` (dreams.py) show dreams, `study_sheet` (studies.py)
shows verdicts. All of them are a `Page` (page.py) of captioned tiles; text.py fits the words.
"""

from beholder.sheets.dreams import GridRow, grid_sheet, layers_sheet, steps_sheet
from beholder.sheets.page import Line, Page, Picture, Section, Tile
from beholder.sheets.studies import Group, Subject, study_sheet

__all__ = [
    "GridRow",
    "Group",
    "Line",
    "Page",
    "Picture",
    "Section",
    "Subject",
    "Tile",
    "grid_sheet",
    "layers_sheet",
    "steps_sheet",
    "study_sheet",
]

"""The figures as files of their own: `figures_pdf`, a page each, and `figures_png`, a file each."""

import io
from collections.abc import Iterator

from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from beholder import __version__
from beholder.evidence.document import Evidence
from beholder.report.axes import add_room, drawing
from beholder.report.figures import Sort, drawn, fitting
from beholder.report.palette import LIGHT
from beholder.report.words import EXPLORATORY, short

PNG_DPI = 216  # three pixels for one of the page's
_HEAD_PX, _TITLE_PX = 40, 18


def figures_pdf(evidence: Evidence) -> bytes:
    """All figures, a page each, titled."""
    buffer = io.BytesIO()
    about = {"Title": _title(evidence), "Creator": f"Beholder {__version__}", "CreationDate": None}
    with drawing(), PdfPages(buffer, metadata=about) as pages:
        for _, figure in _titled(evidence):
            pages.savefig(figure)
    return buffer.getvalue()


def figures_png(evidence: Evidence) -> dict[str, bytes]:
    """The figures by file name, titled."""
    files = {}
    with drawing():
        for number, (sort, figure) in enumerate(_titled(evidence), start=1):
            buffer = io.BytesIO()
            about = {"Title": _title(evidence), "Software": f"Beholder {__version__}"}
            figure.savefig(
                buffer, format="png", dpi=PNG_DPI, facecolor=LIGHT["raised"], metadata=about
            )
            files[f"{number:02d}-{sort.name}.png"] = buffer.getvalue()
    return files


def _title(evidence: Evidence) -> str:
    mark = f"{EXPLORATORY}: " if evidence.exploratory else ""
    return f"{mark}{short(evidence.name or evidence.target_label, 200)} (study {evidence.study})"


def _titled(evidence: Evidence) -> Iterator[tuple[Sort, Figure]]:
    about = f"{short(evidence.target_label, 30)} · {evidence.main.name} · study {evidence.study}"
    for sort in fitting(evidence):
        figure = drawn(sort, evidence)
        top = add_room(figure, _HEAD_PX)
        figure.text(0.01, top, sort.title, va="top", fontsize=12.5, fontweight="bold")
        below = top - _TITLE_PX / (figure.get_figheight() * figure.dpi)
        figure.text(0.01, below, about, va="top", fontsize=9.5, color=LIGHT["quiet"])
        yield sort, figure

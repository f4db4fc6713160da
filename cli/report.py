"""`beholder report`: what a sound study showed, as a page, a PDF or pictures."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.context import Context
from cli.files import make_folder, write_file
from cli.output import amount, plural, say

if TYPE_CHECKING:
    from beholder.evidence.document import Evidence

Format = Literal["html", "pdf", "png", "npz", "plan"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(report)


def report(
    study: Annotated[
        str,
        typer.Argument(help="A sound study's id, its beginning, or its name.", metavar="STUDY"),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The file, or for png the folder. Default: STUDY-report.html."
        ),
    ] = None,
    kind: Annotated[
        Format,
        typer.Option(
            "--format",
            help="html: the report in one file; pdf, png: its figures alone; npz: raw logits; "
            "plan: every set that was tried, as JSON.",
        ),
    ] = "html",
    json: Annotated[bool, typer.Option("--json", help="Print the evidence as JSON.")] = False,
) -> None:
    """Write a sound study's report: one HTML file that works anywhere, or its figures."""
    desk = Context().desk
    job = desk.job(study)
    if kind == "html" and not json:
        _write(desk.report(job), _file(output, f"{job.id}-report.html"))
        return
    if kind == "npz" and not json:
        _write(desk.logits(job), _file(output, f"{job.id}-logits.npz"))
        return
    if kind == "plan" and not json:
        _write(desk.plan(job), _file(output, f"{job.id}-plan.json"))
        return
    evidence = desk.evidence(job)
    if json:
        # In one line: a study has thousands of conditions and pictures.
        sys.stdout.write(evidence.model_dump_json() + "\n")
        return
    if kind == "png":
        _write_pictures(evidence, output or Path(f"{job.id}-figures"))
        return
    _write(_pdf(evidence), _file(output, f"{job.id}-report.pdf"))


def _pdf(evidence: "Evidence") -> bytes:
    from beholder.report.needs import require_drawing

    require_drawing()
    from beholder.report.files import figures_pdf

    return figures_pdf(evidence)


def _write_pictures(evidence: "Evidence", folder: Path) -> None:
    from beholder.report.needs import require_drawing

    require_drawing()
    from beholder.report.files import figures_png

    figures = figures_png(evidence)
    make_folder(folder)
    for name, data in figures.items():
        write_file(folder / name, data)
    say(f"{plural(len(figures), 'figure')} in {folder}")


def _file(output: Path | None, name: str) -> Path:
    """Where the file goes: into a folder that is there, under its own name."""
    if output is None:
        return Path(name)
    return output / name if output.is_dir() else output


def _write(data: bytes, path: Path) -> None:
    make_folder(path.parent)
    write_file(path, data)
    say(f"{path} written: {amount(len(data))}")

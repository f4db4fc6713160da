"""`beholder fetch`: a job's pictures, results.json and contact sheets in a folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.context import Context
from cli.jobs import JobArgument
from cli.output import plural, remarks, say

if TYPE_CHECKING:
    from cli.export import Exported, OnProgress

EXIT_FAILED = 1


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("fetch")(fetch)


def fetch(
    job: JobArgument,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The folder; made if need be. Default: beholder-JOB."),
    ] = None,
    difference: Annotated[
        bool, typer.Option("--difference", help="Also what each dream changed, as a picture.")
    ] = False,
) -> None:
    """Write a job's pictures, results.json and contact sheets; of a running job, what is done."""
    from cli.export import export_job

    context = Context()
    desk = context.desk
    job_id = desk.job(job).id
    folder = output or Path(f"beholder-{job_id}")
    with _progress() as on_progress:
        exported = export_job(desk, job_id, folder, differences=difference, on_progress=on_progress)
    _report(exported)
    if exported.missing or exported.damaged:
        raise typer.Exit(EXIT_FAILED)


@contextmanager
def _progress() -> "Iterator[OnProgress]":
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    words = TextColumn("{task.description}")
    columns = (words, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = remarks()
    hidden = not console.is_terminal  # in a pipe it would leave an empty line
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task("writing", total=None)

        def update(done: int, total: int) -> None:
            sheets = "drawing sheets" if done == total else "writing"
            progress.update(task, completed=done, total=total, description=sheets)

        yield update


def _report(exported: "Exported") -> None:
    job = exported.job
    for source, reason in exported.failures:
        say(f"{source}: {reason}")
    if exported.failed:
        say(f"{plural(exported.failed, 'item')} without a result; results.json has every reason.")
    if exported.damaged:
        files = plural(exported.damaged, "damaged file")
        say(f"{files} in the store, not written: run `beholder verify --mend`.")
    if not job.finished:
        say(f"The job is {job.state}: {job.done:,} of {job.total:,} so far. Fetch again later.")
    say(exported.words())

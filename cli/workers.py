"""`beholder workers`: who runs what; `pause`, `resume`, `drain`, wherever a worker runs."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beholder.durations import duration
from cli.context import Context
from cli.output import JsonOption, console, print_json, say, table

if TYPE_CHECKING:
    from beholder.jobs.fleet import FleetView
    from beholder.jobs.service_models import Order

NameArgument = Annotated[
    str,
    typer.Argument(help="A worker's name, its beginning, or a host: all on it.", metavar="NAME"),
]
COLUMNS = ("name", "device", "state", "job", "chunk", "since", "done", "items", "rate")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer()
    group.callback(invoke_without_command=True)(workers)
    for command in (pause, resume, drain):
        group.command()(command)
    app.add_typer(group, name="workers")


def workers(asked: typer.Context, json: JsonOption = False) -> None:
    """List the workers heard of in the last minute: what each runs, where, since when, how fast."""
    if asked.invoked_subcommand is not None:
        return
    context = Context()
    found = context.desk.workers()
    if json:
        print_json([worker.row() for worker in found])
        return
    if not found:
        say(f"No workers heard of: start {_start(context)}.")
        return
    console().print(table(COLUMNS, [_listed(worker) for worker in found]))
    for worker in found:
        for reason in (worker.reason or "").splitlines():
            say(f"{worker.name}: {reason}")


def pause(name: NameArgument) -> None:
    """Let a worker finish what it has and take nothing more, until `resume`."""
    _tell(name, "pause", "takes nothing more")


def resume(name: NameArgument) -> None:
    """Let a paused worker go on."""
    _tell(name, None, "goes on")


def drain(name: NameArgument) -> None:
    """Let a worker finish what it has, take nothing more, and end."""
    _tell(name, "drain", "finishes what it has and ends")


def _tell(name: str, order: "Order | None", what: str) -> None:
    for told in Context().desk.tell(name, order):
        say(f"{told} {what}; it hears of it within seconds.")


def _start(context: Context) -> str:
    """What is to be started: not the service, where it runs and its worker was drained."""
    from beholder.service import service_runs

    runs = context.settings.server is None and service_runs(context.settings)
    return "`beholder worker`" if runs else "`beholder up` or `beholder worker`"


def _listed(worker: "FleetView") -> dict[str, Any]:
    since = worker.since and duration(max(0.0, (datetime.now(UTC) - worker.since).total_seconds()))
    return {
        "name": worker.name,
        "device": worker.device,
        "state": worker.state,
        "job": worker.job,
        "chunk": worker.chunk,
        "since": since,
        "done": None if worker.progress is None else f"{worker.progress:.0%}",
        "items": worker.items,
        "rate": None if worker.rate is None else f"{worker.rate:.2f}/s",
    }

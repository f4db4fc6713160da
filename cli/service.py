"""What runs the jobs: `up` (everything, on this machine), `worker` (one worker), `db`, `demo`."""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from beholder.errors import Conflict
from cli.context import Context, make_home
from cli.output import say


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("up")(up)
    app.command("worker")(worker)
    app.command("demo")(demo)
    db = typer.Typer(help="The database.", no_args_is_help=True)
    db.command("upgrade")(db_upgrade)
    app.add_typer(db, name="db")


def up() -> None:
    """Run everything on this machine: a private Redis and a worker. Ctrl-C stops it."""
    from beholder.service import Service

    context = Context()
    _ = context.db  # made, or found fit, before anything starts
    stop = threading.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, lambda *_: stop.set())
    service = Service(context.settings, on_event=say)
    if not service.start():
        raise Conflict(f"`beholder up` already runs on {context.settings.home}.")
    say(f"Running. Data: {context.settings.home}   Logs: {service.logs}   Ctrl-C stops it.")
    try:
        stop.wait()
        say("Stopping: a chunk in hand goes back to the queue.")
    finally:
        service.stop()


def worker(
    concurrency: Annotated[
        int, typer.Option(min=1, help="Processes; one for each GPU, or one for the CPU.")
    ] = 1,
) -> None:
    """Run one worker, which takes chunks from Redis until it is stopped."""
    from beholder.service import require_torch

    require_torch()
    _ = Context().db
    os.execv(sys.executable, [sys.executable, "-m", "worker", "--concurrency", str(concurrency)])


def db_upgrade() -> None:
    """Bring the database's schema to this version; makes it when there is none."""
    from beholder.jobs.schema import upgrade

    settings = Context().settings
    if settings.database_url is None:
        make_home(settings)
    upgrade(settings.database)
    say("The database fits this version.")


def demo(
    folder: Annotated[
        Path, typer.Option("--output", "-o", help="Where everything of the demo goes.")
    ] = Path("beholder-demo"),
) -> None:
    """See the main job in three minutes: dreams and a study on drawn pictures, offline."""
    from cli.demo import run_demo

    run_demo(folder)

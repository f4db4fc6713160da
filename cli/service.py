"""What runs the jobs: `up` (everything, on this machine), `worker`, `api`, `db`, `demo`."""

import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beholder.errors import BeholderError, Conflict, InvalidInput, ServiceUnavailable
from beholder.extras import install
from cli.context import Context, make_home
from cli.output import console, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from beholder.processes import Program
    from beholder.settings import Settings

ENDED_LOOKED_AT_S = 0.5  # how often

HostOption = Annotated[
    str | None,
    typer.Option(help="Where the page listens. Default: 127.0.0.1, or BEHOLDER_API_HOST."),
]
PortOption = Annotated[
    int | None,
    typer.Option(min=1, max=65535, help="Its port. Default: 8321, or BEHOLDER_API_PORT."),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("up")(up)
    app.command("worker")(worker)
    app.command("api")(api)
    app.command("token")(token)
    app.command("demo")(demo)
    db = typer.Typer(help="The database.", no_args_is_help=True)
    db.command("upgrade")(db_upgrade)
    db.command("backup")(db_backup)
    app.add_typer(db, name="db")


def up(
    host: HostOption = None,
    port: PortOption = None,
    page: Annotated[
        bool, typer.Option("--page/--no-page", help="Serve the page and the API.")
    ] = True,
) -> None:
    """Run everything on this machine: a private Redis, a worker, the page. Ctrl-C stops it."""
    from beholder.service import Service, check_settings, has_api, service_runs
    from cli.checks import silence_of_redis

    if not page and (host or port):
        raise InvalidInput("--host and --port are of the page: leave out --no-page, or both.")
    context = Context()
    with _telling(context.own) as tell:
        if service_runs(context.own):
            raise Conflict(f"`beholder up` already runs on {context.settings.home}.")
        with_api = page and has_api()
        settings = _listening(context.settings, host, port) if with_api else context.settings
        check_settings(settings)
        _ = context.db  # made, or found fit, before anything starts
        stop = _stopped()
        _warn(tell)
        service = Service(settings, api=with_api, on_event=tell)
        if not service.start():
            raise Conflict(f"`beholder up` already runs on {settings.home}.")
        try:
            tell(f"Running. Data: {settings.home}   Logs: {service.logs}   Ctrl-C stops it.")
            if with_api:
                tell(f"The page: {settings.api_address}")
            elif page:
                tell(f"No page here: {install('api')}.")
            if silence := silence_of_redis(settings):
                tell(silence)
            stop.wait()
            tell("Stopping: a chunk in hand goes back to the queue.")
        finally:
            service.stop()


def _stopped() -> threading.Event:
    """Set once SIGTERM or SIGINT has come."""
    stop = threading.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, lambda *_: stop.set())
    return stop


@contextmanager
def _telling(settings: "Settings") -> "Iterator[Callable[[str], None]]":
    """How a service says what happens, and why it can't run: to people, or as lines of a log."""
    if settings.log != "json":
        yield say
        return
    import logging

    from beholder.logs import set_up

    set_up(settings)
    log = logging.getLogger("beholder")
    try:
        yield log.info
    except BeholderError as error:
        log.critical("%s", error)
        raise typer.Exit(2) from None


def _warn(tell: Callable[[str], None]) -> None:
    """Of what is set and never read."""
    from beholder.settings import unknown_settings

    for line in unknown_settings():
        tell(line)


def api(host: HostOption = None, port: PortOption = None) -> None:
    """Serve the API and the page alone; workers run elsewhere."""
    from beholder.service import become, has_api

    if not has_api():
        raise ServiceUnavailable(f"serving the API needs more packages here: {install('api')}.")
    context = Context()
    with _telling(context.own) as tell:
        settings = _listening(context.own, host, port)
        _ = context.db
        _warn(tell)
        tell(f"The page: {settings.api_address}")
        where = {"api_host": settings.api_host, "api_port": str(settings.api_port)}
        become((sys.executable, "-m", "api"), **where)


def token(
    name: Annotated[str, typer.Argument(help="Whose it is: letters, digits, dots and dashes.")],
    scope: Annotated[
        str, typer.Option(help="read, submit (and read), or admin (everything).")
    ] = "read",
) -> None:
    """Make a token for the API: print it, and the entry for BEHOLDER_API_TOKENS."""
    from beholder.tokens import make_token

    made, entry = make_token(name, scope)
    say("The token, for whoever uses it; it is not kept anywhere:")
    console().print(made, markup=False, highlight=False, soft_wrap=True)
    say("Its entry; add it to BEHOLDER_API_TOKENS on the server, with a comma between entries:")
    console().print(entry, markup=False, highlight=False, soft_wrap=True)


def _listening(settings: "Settings", host: str | None, port: int | None) -> "Settings":
    """The settings with these in place. Raises InvalidInput or Conflict if that can't be had."""
    from beholder.tokens import check_bind

    given = {"api_host": host, "api_port": port}
    chosen = settings.model_copy(update={key: value for key, value in given.items() if value})
    check_bind(chosen)
    family = socket.AF_INET6 if ":" in chosen.api_host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            probe.bind((chosen.api_host, chosen.api_port))
        except OSError as error:
            raise Conflict(
                f"port {chosen.api_port} of {chosen.api_host} can't be used ({error.strerror}): "
                "choose another with --port."
            ) from None
    return chosen


def worker(
    device: Annotated[
        str | None,
        typer.Option(help="cpu, cuda:1, or auto, the default: each GPU there is, else the CPU."),
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Processes that share each device.")] = 1,
) -> None:
    """Run a worker for each GPU, or one on the CPU, until it is stopped or drained."""
    from beholder.service import become, require_torch, worker_programs

    require_torch()
    context = Context()
    with _telling(context.own) as tell:
        _ = context.db
        _warn(tell)
        chosen = {"device": device} if device else {}
        settings = context.settings.model_copy(update=chosen)
        programs = worker_programs(settings, concurrency=concurrency)
        if len(programs) == 1:
            become(programs[0].command, device=programs[0].env["BEHOLDER_DEVICE"])
        _run_all(programs, tell)


def _run_all(programs: "Sequence[Program]", tell: Callable[[str], None]) -> None:
    """Until all have ended, or SIGTERM or SIGINT comes."""
    from beholder.processes import Supervisor

    stop = _stopped()
    with Supervisor(programs, on_event=tell) as supervisor:
        while not (supervisor.ended or stop.wait(ENDED_LOOKED_AT_S)):
            pass


def db_upgrade() -> None:
    """Bring the database's schema to this version; makes it when there is none."""
    from beholder.jobs.schema import upgrade

    settings = Context().own
    if settings.database_url is None:
        make_home(settings)
    upgrade(settings.database)
    say("The database fits this version.")


def db_backup(
    file: Annotated[Path, typer.Argument(help="The copy, a new file.", metavar="FILE")],
) -> None:
    """Copy a SQLite database to a file, while jobs may be running."""
    from beholder.upkeep.backup import back_up

    back_up(Context().own.database, file)
    say(f"The database is copied to {file}. Copy the store next: docs/operations.md says why.")


def demo(
    folder: Annotated[
        Path, typer.Option("--output", "-o", help="Where everything of the demo goes.")
    ] = Path("beholder-demo"),
) -> None:
    """See the main job in three minutes: dreams and a study on drawn pictures, offline."""
    from cli.demo import run_demo

    run_demo(folder)

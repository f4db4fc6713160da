"""The `beholder` command: gathers every command, and turns errors into one line and an exit code.

Exit codes: 0 done, 1 some items failed, 2 wrong use or something is missing, 130 interrupted.
"""

import errno
import os
import re
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from beholder import __version__
from beholder.errors import BeholderError
from beholder.mistakes import mistake
from beholder.precisions import ELSEWHERE as PRECISIONS_ELSEWHERE
from cli import (
    atlas,
    channel,
    features,
    film,
    jobs,
    listings,
    provenance,
    report,
    results,
    service,
    studies,
    submit,
    upkeep,
    workers,
)
from cli.context import give
from cli.output import say

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130

app = typer.Typer(
    name="beholder",
    help="Queue deep dreams and ablation studies of an image classifier; look at them later.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (
    submit,
    studies,
    features,
    atlas,
    jobs,
    results,
    film,
    provenance,
    report,
    listings,
    channel,
    upkeep,
    service,
    workers,
):
    group.register(app)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"beholder {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    server: Annotated[
        str | None,
        typer.Option(help="Ask the server at this address instead. Or set BEHOLDER_SERVER."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help="A file with its token. Or set BEHOLDER_TOKEN_FILE."),
    ] = None,
) -> None:
    give(server=server, token_file=token_file)


def run() -> None:
    """The entry point: run a command, and answer every expected error with one line."""
    try:
        code = app(standalone_mode=False)
    except (BeholderError, TyperException) as error:
        if str(error):  # a bare `beholder` has printed its help by now
            _fail(_sentence(error), EXIT_USAGE)
        code = EXIT_USAGE
    except (KeyboardInterrupt, typer.Abort):
        code = EXIT_INTERRUPTED
    except BrokenPipeError:  # `beholder jobs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(EXIT_FAILED) from None
    except OSError as error:
        if error.errno is None:
            raise
        where = f": {error.filename}" if error.filename else ""
        hint = " Free some space and try again." if error.errno == errno.ENOSPC else ""
        _fail(f"{error.strerror}{where}.{hint}", EXIT_USAGE)

    if code == EXIT_INTERRUPTED:
        _fail("interrupted. What is queued stays queued: `beholder jobs` lists it.", code)
    raise SystemExit(code or 0)


def _sentence(error: BeholderError | TyperException) -> str:
    """The error on one line; for wrong use, where the right use is written."""
    if isinstance(error, BeholderError):
        return str(error)
    if errors := getattr(error.__cause__, "errors", None):  # pydantic's, by way of Typer
        detail = errors()[0]
        shown = "" if detail["type"] == "value_error" else f"; got {str(detail['input'])[:80]!r}"
        error.message = mistake(detail) + shown
    message = " ".join(error.format_message().split()).rstrip(".")
    given = re.search(r"'--precision': '(.{1,20}?)' is not one of", message)
    if given and (meant := PRECISIONS_ELSEWHERE.get(given[1].lower())):
        message += f"; {given[1]} is called {meant} here"
    stop = "" if message.endswith("?") else "."
    return f"{message}{stop} `{_command(error)} --help` lists what there is."


def _command(error: TyperException) -> str:
    """The command that was used wrongly: "beholder study"."""
    context, names = getattr(error, "ctx", None), []
    while context is not None and context.parent is not None:  # the first is beholder itself
        names.append(context.info_name)
        context = context.parent
    return " ".join(["beholder", *reversed(names)])


def _fail(message: str, code: int) -> NoReturn:
    say(f"beholder: {message}")
    raise SystemExit(code)

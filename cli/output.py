"""How the command line speaks: results on stdout, remarks and errors on stderr, JSON on demand."""

import csv
import errno
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from beholder.layers import is_number
from beholder.plurals import plural as plural
from beholder.texts import marked

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

_PIPE_WIDTH = 160  # where there is no terminal to fit, nothing is folded at 80 columns


class _Console(Console):
    """Rich's exits where its reader has gone, on whatever thread; this one's callers decide."""

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    def print(self, *objects: Any, **options: Any) -> None:
        """Nothing in a text moves the cursor, colours or names the terminal of whoever reads it."""
        shown = (marked(one) if isinstance(one, str) else one for one in objects)
        super().print(*shown, **options)


def console() -> Console:
    """Where results go."""
    return _Console(width=None if sys.stdout.isatty() else _width(), soft_wrap=False)


def remarks() -> Console:
    """Where everything else goes, so that a pipe gets results alone."""
    return _Console(stderr=True, width=None if sys.stderr.isatty() else _width())


def say(text: str) -> None:
    """A remark, as it is: no markup is read in it, no line is folded."""
    remarks().print(text, markup=False, highlight=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def print_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """CSV on stdout, with a header."""
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], *, title: str = "") -> Table:
    """A table of these columns; numbers to the right, the rest as text without markup."""
    listed = list(rows)
    drawn = Table(title=escape(marked(title)) or None, title_justify="left", header_style="bold")
    for column in columns:
        values = [row.get(column) for row in listed]
        numeric = any(isinstance(value, int | float) for value in values)
        drawn.add_column(column.replace("_", " "), justify="right" if numeric else "left")
    for row in listed:
        drawn.add_row(*(_cell(row.get(column)) for column in columns))
    return drawn


def _cell(value: Any) -> Text:
    if value is None or value == "":
        return Text("-")
    if isinstance(value, bool):
        return Text("yes" if value else "")
    if isinstance(value, float):
        return Text(f"{value:.4g}")
    return Text(marked(str(value)))


def _width() -> int:
    asked = os.environ.get("COLUMNS", "")
    return int(asked) if is_number(asked) and int(asked) else _PIPE_WIDTH


def amount(size: float) -> str:
    """ "512 bytes", "1.5 MB"."""
    if size < 1000:
        return plural(int(size), "byte")
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 1000:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} TB"

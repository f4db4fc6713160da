"""The database's own clock: `ago(seconds)` and `epoch()`, for times that several machines share.

As part of a statement, so that no clock of theirs is asked, nor the database once more.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Float, cast
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from beholder.jobs.models import UtcDateTime


class ago(FunctionElement[datetime]):  # noqa: N801 - a function of SQL
    """The time so many seconds ago; ago(0) is now."""

    name = "ago"
    type = UtcDateTime()
    inherit_cache = True

    def __init__(self, seconds: float) -> None:
        super().__init__(cast(float(seconds), Float(53)))


class epoch(FunctionElement[float]):  # noqa: N801 - a function of SQL
    """The time now, in seconds since the epoch."""

    name = "epoch"
    type = Float(53)
    inherit_cache = True


@compiles(ago, "postgresql")
def _on_postgres(element: ago, compiler: Any, **options: Any) -> str:
    seconds = compiler.process(element.clauses, **options)
    return f"(clock_timestamp() - make_interval(secs => {seconds}))"


@compiles(ago, "sqlite")
def _on_sqlite(element: ago, compiler: Any, **options: Any) -> str:
    """As text, as SQLAlchemy keeps times there, to the millisecond."""
    seconds = compiler.process(element.clauses, **options)
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', (0 - {seconds}) || ' seconds')"


@compiles(epoch, "postgresql")
def _epoch_on_postgres(element: epoch, compiler: Any, **options: Any) -> str:
    """The same within a statement, so that an index can be asked for what was before it."""
    return "CAST(EXTRACT(epoch FROM statement_timestamp()) AS double precision)"


@compiles(epoch, "sqlite")
def _epoch_on_sqlite(element: epoch, compiler: Any, **options: Any) -> str:
    """From days since 4714 BC, to the millisecond."""
    return "((julianday('now') - 2440587.5) * 86400.0)"

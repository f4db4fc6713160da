"""The database's own clock: `ago(seconds)`, for times that several machines write and compare.

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


@compiles(ago, "postgresql")
def _on_postgres(element: ago, compiler: Any, **options: Any) -> str:
    seconds = compiler.process(element.clauses, **options)
    return f"(clock_timestamp() - make_interval(secs => {seconds}))"


@compiles(ago, "sqlite")
def _on_sqlite(element: ago, compiler: Any, **options: Any) -> str:
    """As text, as SQLAlchemy keeps times there, to the millisecond."""
    seconds = compiler.process(element.clauses, **options)
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', (0 - {seconds}) || ' seconds')"

"""What services log: `set_up(settings)`, and `about(job=..., chunk=...)` around work on something.

With BEHOLDER_LOG=json each line is a JSON object, also those of libraries: time, level, logger,
message, and what the line is about. `fail(name, error)` is a service's last line.
"""

import json
import logging
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType, TracebackType
from typing import Any, NoReturn

from beholder.settings import Settings

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
FIELDS = ("worker", "job", "jobs", "chunk", "chunks", "item")  # what a line may be about
_OF_WORK = frozenset(FIELDS) - {"worker"}

_about: ContextVar[Mapping[str, Any]] = ContextVar("about", default=MappingProxyType({}))
_of_process: dict[str, Any] = {}


@contextmanager
def about(**fields: Any) -> Iterator[None]:
    """What this thread's lines are about meanwhile, by names of `FIELDS`.

    Inside another, it adds to that. Where it names jobs it is other work, and says nothing of that.
    """
    token = _about.set(_inside(_about.get(), fields))
    try:
        yield
    finally:
        _about.reset(token)


def always_about(**fields: Any) -> None:
    """What all of this process's lines are about from now on."""
    _of_process.update(fields)


def set_up(settings: Settings) -> None:
    """Send all lines of this process to its standard error, in the form that settings ask for."""
    handler = logging.StreamHandler()
    handler.setFormatter(Json() if settings.log == "json" else logging.Formatter(TEXT))
    logging.basicConfig(level="INFO", handlers=[handler], force=True)
    if settings.log == "json":
        logging.captureWarnings(True)
        sys.excepthook = _uncaught
        threading.excepthook = _uncaught_in_thread


def fail(service: str, error: Exception) -> NoReturn:
    """End this process with an error in one line, in the form of the others."""
    handlers = logging.getLogger().handlers
    if handlers and isinstance(handlers[0].formatter, Json):
        logging.getLogger(service).critical("%s", error)
        raise SystemExit(1)
    raise SystemExit(f"{service}: {error}")


class Json(logging.Formatter):
    """A record as a JSON object on one line; its time in UTC, with milliseconds."""

    def format(self, record: logging.LogRecord) -> str:
        """The line. A value that JSON can't hold is written as Python shows it."""
        line: dict[str, Any] = {
            "time": f"{_second(record.created)}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        said = {name: record.__dict__[name] for name in FIELDS if name in record.__dict__}
        line |= _of_process | _inside(_about.get(), said)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=repr)


def _inside(outer: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    if "job" in fields or "jobs" in fields:
        outer = {name: value for name, value in outer.items() if name not in _OF_WORK}
    return {**outer, **fields}


def _second(created: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(created))


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # a wrong format is a mistake in the code, and no reason to lose the line
        return str(record.msg)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("beholder").critical("uncaught", exc_info=(kind, error, trace))


def _uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is not None:
        _uncaught(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)

"""Traces of jobs, from their submission to their last file, for OpenTelemetry's collectors.

`set_up(service)` begins, where the standard OTEL_EXPORTER_OTLP_ENDPOINT names a collector and the
extra `otel` is installed; without it, `span` and `record` do nothing and OpenTelemetry is not
imported. A job's id gives its trace's id, so that processes that share a job share its trace
though messages carry nothing.
"""

import hashlib
import importlib
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from beholder.extras import install

log = logging.getLogger(__name__)
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
SUBMIT = "submit"  # the first span, to which all others belong
Attributes = Mapping[str, str | int]
Done = Sequence[tuple[str, Attributes]]  # for which jobs, by their ids, and more about each


class Span(NamedTuple):
    """Something that was done for a job. begun, ended: nanoseconds since the epoch."""

    name: str
    job_id: str
    begun: int
    ended: int
    attributes: Attributes
    error: str | None


class Sender(Protocol):
    """Where spans go."""

    def send(self, span: Span) -> None:
        """Take one; it is sent later."""

    def flush(self) -> None:
        """Send what is left."""


_sender: Sender | None = None


def set_up(service: str) -> None:
    """Send this process's spans from now on, under the name of the service. Not before a fork."""
    global _sender
    if _sender is not None or not any(os.environ.get(name) for name in ENDPOINTS):
        return
    try:
        otlp = importlib.import_module("beholder.otlp")
    except ImportError:
        log.warning("no traces: install the extra, %s.", install("otel"))
        return
    _sender = otlp.Otlp(service)


def flush() -> None:
    """Send what is left; before a process ends without its exit handlers."""
    if _sender is not None:
        _sender.flush()


@contextmanager
def span(name: str, jobs: Done) -> Iterator[None]:
    """Around what is done for jobs: a span in the trace of each."""
    if _sender is None:
        yield
        return
    begun, error = time.time_ns(), None
    try:
        yield
    except Exception as raised:
        error = type(raised).__name__
        raise
    finally:
        _send(_sender, name, jobs, begun, error)


def record(name: str, jobs: Done, *, begun: int) -> None:
    """The same for what has just ended, where it was not known before whose it would be."""
    if _sender is not None:
        _send(_sender, name, jobs, begun, None)


def trace_ids(job_id: str) -> tuple[int, int]:
    """A job's trace id (128 bits) and the id of its first span (64 bits), the same everywhere."""
    digest = hashlib.sha256(f"beholder job {job_id}".encode()).digest()
    return int.from_bytes(digest[:16]), int.from_bytes(digest[16:24])


def _send(sender: Sender, name: str, jobs: Done, begun: int, error: str | None) -> None:
    ended = time.time_ns()
    for job_id, attributes in jobs:
        sender.send(Span(name, job_id, begun, ended, attributes, error))

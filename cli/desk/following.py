"""A job's progress as its server tells it: `follow`, which outlives cuts and restarts."""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from beholder.errors import ServiceUnavailable
from beholder.jobs.views import JobView
from cli.desk.reading import read
from cli.desk.wire import Wire, lines_of

RESTART_S = 600.0  # so long may a server be away
_SILENCE_S = 30.0  # a server that is there says something every ten
_PAUSE_S = 0.5  # before a stream that broke off is asked for again
_TOLD = ("state", "stage", "total", "queued", "running", "done", "failed", "cancelled",
         "measured", "error", "paused", "waits")  # fmt: skip


def follow(wire: Wire, job_id: str) -> Iterator[tuple[JobView, float]]:
    """The job and how many items are through, at each change and now and then, until it ends.

    Raises NotFound, also when the job is deleted meanwhile; ServiceUnavailable once the server
    has been away for too long. Whatever is asked of it later is as patient.
    """
    wire.patience_s = RESTART_S
    job = _job(wire, job_id)
    while not job.finished:
        with suppress(ServiceUnavailable):  # if it is gone, the next question says so
            for told in _events(wire, job.id):
                job = replace(job, **{name: told[name] for name in _TOLD})
                if job.finished:
                    break
                yield job, float(told["completed"])
        if not job.finished:
            time.sleep(_PAUSE_S)
        job = _job(wire, job_id)  # with what events leave out
    yield job, float(job.total)


def _job(wire: Wire, job_id: str) -> JobView:
    return read(JobView, wire.get(f"/v1/jobs/{job_id}"))


def _events(wire: Wire, job_id: str) -> Iterator[dict[str, Any]]:
    """The job's state with each event, and the same again when the server says it is still there.

    Ends with the stream: after the last event, or when the job or the server goes.
    """
    told: dict[str, Any] = {}
    path = f"/v1/jobs/{job_id}/events"
    with wire.open("GET", path, read_s=_SILENCE_S) as answer:
        for line in lines_of(answer):
            if line.startswith("data: "):
                told = json.loads(line.removeprefix("data: "))
            elif not line.startswith(":"):
                continue
            if told:
                yield told

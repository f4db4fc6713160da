"""A job on its way to a server: `post_job` sends its pictures' hashes, and makes one job of them.

However often the line breaks, or the command is started again, it is one.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from beholder.devices import DEFAULT_DEVICE, Device
from beholder.jobs.spool import Entry
from beholder.jobs.submit import CreatedJob
from beholder.jobs.views import JobView
from beholder.priorities import Priority
from beholder.protocol import LINES
from beholder.specs import DreamSpec, Spec
from beholder.temporary import no_room, temporary_file, temporary_room
from cli.desk.pending import pending_key
from cli.desk.reading import read
from cli.desk.wire import Wire

WRITTEN_S = 600.0  # a job of a million items takes the server half a minute to write
_MOST = 500  # letters of a name or a reason


def post_job(
    wire: Wire,
    home: Path,
    spec: Spec,
    entries: Iterable[Entry],
    *,
    name: str,
    priority: Priority,
    device: Device,
    network: str | None,
) -> CreatedJob:
    """Make a job. network: None for the server's own. home: where the request's key is kept.

    The entries are spooled to a temporary file, so that memory stays the same for any number.
    """
    failed = 0
    with temporary_file() as body:
        asked = asked_of(spec, network=network)
        head = {"spec": asked, "name": name[:_MOST], "priority": priority}
        _write(body, head if device == DEFAULT_DEVICE else {**head, "device": device})
        for entry in entries:
            _write(body, _line(entry))
            failed += entry.error is not None
        with temporary_room():
            body.flush()
        job, made = _post(wire, home / "requests", spec, body)
    passes = len(spec.layers) if isinstance(spec, DreamSpec) else 1
    return CreatedJob(job.id, job.total, failed * passes, 0, repeated=not made)


def asked_of(spec: Spec, *, network: str | None) -> dict[str, Any]:
    """A spec as the server is to be told it; network: None for its own.

    Without defaults, so that a server of another version knows all that is named; but with what a
    recipe has a default of its own for.
    """
    asked = spec.model_dump(mode="json", exclude_defaults=True)
    if isinstance(spec, DreamSpec):
        asked |= spec.model_dump(mode="json", include=set(spec.overrides))
    asked.pop("network", None)
    return asked if network is None else {**asked, "network": network}


def _post(wire: Wire, folder: Path, spec: Spec, body: IO[bytes]) -> tuple[JobView, bool]:
    """The job, and whether this made it."""
    path = "/v1/dreams" if isinstance(spec, DreamSpec) else "/v1/studies"
    with pending_key(folder, wire.url + path, body) as key:
        headers = {"Idempotency-Key": key}
        status, row = wire.send(
            "POST", path, body, LINES, headers=headers, again=True, read_s=WRITTEN_S
        )
    return read(JobView, row), status == 201


def _write(body: IO[bytes], document: Mapping[str, object]) -> None:
    try:
        body.write(json.dumps(document).encode() + b"\n")
    except OSError as error:
        raise no_room(error) from None


def _line(entry: Entry) -> dict[str, object]:
    """A picture as the server takes it; what is empty is left out."""
    line = {
        "sha256": entry.picture and entry.picture.sha256,
        "source": entry.source[-_MOST:],
        "group": entry.group and entry.group[-_MOST:],
        "role": entry.role,
        "error": entry.error and entry.error[:_MOST],
    }
    return {name: value for name, value in line.items() if value}

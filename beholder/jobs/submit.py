"""Submitting: `create_job(database, spec, entries)`. The entries may be read as they come.

They are spooled to a temporary file first, so that memory stays constant and the database is not
locked while pictures are read. Then the job is written in short transactions, and appears whole.
"""

import secrets
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from beholder import traces
from beholder.devices import DEFAULT_DEVICE, Device
from beholder.errors import InvalidSpec, NoPictures
from beholder.job_spec import MAX_ITEMS
from beholder.jobs.bulk import BATCH
from beholder.jobs.chunking import Ranges, chunk_size_of
from beholder.jobs.database import Database
from beholder.jobs.frames import Frames
from beholder.jobs.hooks import Hook, add_hook
from beholder.jobs.incoming import Batch, write_job
from beholder.jobs.models import Job
from beholder.jobs.named import insist_on_named
from beholder.jobs.repeats import Repeatable, earlier_job, fingerprint, remember
from beholder.jobs.sharing import batch_key
from beholder.jobs.spool import Entry, Spool, StoredPicture
from beholder.labels import check_target
from beholder.priorities import DEFAULT_PRIORITY, Priority
from beholder.specs import DreamSpec, JobKind, Spec, StudySpec
from beholder.texts import job_name

__all__ = ["CreatedJob", "Entry", "StoredPicture", "create_job", "noise_entries"]

_ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: no i, l, o or u to misread
_ID_LENGTH = 10


@dataclass(frozen=True)
class CreatedJob:
    """failed: items whose picture could not be read.

    repeated: the job was made before, by the same request.
    """

    id: str
    total: int
    failed: int
    chunks: int
    repeated: bool = False


def noise_entries(spec: DreamSpec) -> Iterator[Entry]:
    """The starts from noise that a dream asks for, to be added to its pictures."""
    for number in range(spec.noise):
        seed = spec.seed + number
        yield Entry(source=f"noise-{seed}", picture=None, seed=seed)


def create_job(
    database: Database,
    spec: Spec,
    entries: Iterable[Entry],
    *,
    name: str = "",
    priority: Priority = DEFAULT_PRIORITY,
    device: Device = DEFAULT_DEVICE,
    chunk_size: int | None = None,
    request: Repeatable | None = None,
    hook: Hook | None = None,
) -> CreatedJob:
    """Write a job with its items and chunks: all of it, or nothing if `entries` raises.

    A study's entries without a role are targets. device: which workers may run it. request: if it
    made a job before, that job is the answer, and nothing is written. hook: told when the job ends.
    Raises NoPictures if there is nothing to run, or nothing to hold a sound study's targets
    against, InvalidSpec for a mask or guide that is not here, a target that is no class of the
    network, more items than a job may have or a name that is too long, and InvalidInput if the
    request's key was used for something else.
    """
    kind: JobKind = "dream" if isinstance(spec, DreamSpec) else "study"
    name, begun = job_name(name), time.time_ns()
    insist_on_named(database, spec)
    if isinstance(spec, StudySpec):
        check_target(spec.network, spec.target)
    with Spool() as spool:
        for entry in entries:
            spool.add(entry, role=None if kind == "dream" else entry.role or "target")
            _insist_on_few(spool, spec)
        _insist_on_work(spool, kind)
        if isinstance(spec, StudySpec) and spec.recipe == "sound":
            _insist_on_others(spool)
            check_target(spec.network, spec.target, _first_folder(spool))
        job = _new_job(kind, spec, spool, name, chunk_size)
        job.priority, job.device = priority, device
        asked = {
            "kind": kind,
            "spec": job.spec,
            "name": name,
            "priority": priority,
            "hook": hook and vars(hook),
        }
        if device != DEFAULT_DEVICE:  # a request of before there were others keeps its fingerprint
            asked["device"] = device
        content = fingerprint(asked, spool) if request else ""

        def earlier(session: Session) -> Job | None:
            return earlier_job(session, request, content) if request else None

        def seal(session: Session) -> None:
            if request:
                remember(session, request, content, job.id)
            if hook:
                add_hook(session, job.id, hook)

        batches = _batches(job, spec, spool)
        made, chunks = write_job(database, job, batches, earlier=earlier, seal=seal)
        if made is job:
            told: traces.Attributes = {"kind": kind, "items": made.total, "chunks": chunks}
            traces.record(traces.SUBMIT, [(made.id, told)], begun=begun)
        return CreatedJob(made.id, made.total, made.failed, chunks, repeated=made is not job)


def _new_job(kind: JobKind, spec: Spec, spool: Spool, name: str, chunk_size: int | None) -> Job:
    passes = _passes(spec)
    return Job(
        id="".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH)),
        kind=kind,
        state="queued",
        name=name,
        spec=spec.model_dump(mode="json"),
        network=spec.network,
        stage="dream" if kind == "dream" else "measure",
        chunk_size=chunk_size or chunk_size_of(spec),
        batch_key=batch_key(spec),
        total=spool.total * passes,
        queued=(spool.total - spool.failed) * passes,
        failed=spool.failed * passes,
    )


def _passes(spec: Spec) -> int:
    return spec.passes if isinstance(spec, DreamSpec) else 1


def _insist_on_few(spool: Spool, spec: Spec) -> None:
    """While pictures come: of a small request, the rows would fill the disk."""
    if spool.total * _passes(spec) > MAX_ITEMS:
        what = "pictures, layers, frames or noise" if isinstance(spec, DreamSpec) else "pictures"
        raise InvalidSpec(f"a job may have {MAX_ITEMS:,} items: name fewer {what}.")


def _insist_on_work(spool: Spool, kind: str) -> None:
    wanted = "picture" if kind == "dream" else "target picture"
    total, usable, reason = spool.of("dream" if kind == "dream" else "target")
    if total == 0:
        raise NoPictures(f"no {wanted}s: name a picture file, or a folder that holds some.")
    if usable == 0:
        raise NoPictures(f"none of the {total} {wanted}s can be used: {reason}")


def _insist_on_others(spool: Spool) -> None:
    if not any(spool.of(role)[1] for role in ("sibling", "control")):
        raise NoPictures(
            "a sound study holds what targets lose against what other pictures lose: add --control "
            "or --sibling pictures."
        )


def _first_folder(spool: Spool) -> str:
    """That of the first target that can be read."""
    return next((one.group or "" for one in spool if one.role == "target" and not one.error), "")


def _batches(job: Job, spec: Spec, spool: Spool) -> Iterator[Batch]:
    """The job's rows, items in the order of their positions. The last batch may be empty."""
    ranges, batch = Ranges(job.chunk_size), Batch()
    frames, first_due = Frames.of(job), None
    for position, (layer, entry) in enumerate(_ordered(spec, spool)):
        if entry.picture and position < spool.total:  # what follows is of the same pictures
            batch.pictures.append(vars(entry.picture))
        if not entry.error:
            number = frames.number(position) if frames else 0
            first_due = number if first_due is None else first_due
            if number == first_due:
                ranges.add(position, layer)
        batch.items.append(_item_row(job.id, position, layer, entry))
        if len(batch.items) == BATCH:
            batch.chunks = ranges.closed()
            yield batch
            batch = Batch()
    batch.chunks, batch.last = ranges.finish(), True
    yield batch


def _item_row(job_id: str, position: int, layer: int | None, entry: Entry) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "position": position,
        "picture_sha256": entry.picture.sha256 if entry.picture else None,
        "source": entry.source,
        "role": entry.role,
        "group": entry.group,
        "layer": layer,
        "seed": entry.seed,
        "state": "failed" if entry.error else "queued",
        "error": entry.error,
    }


def _ordered(spec: Spec, spool: Spool) -> Iterator[tuple[int | None, Entry]]:
    """A dream layer by layer, frame by frame; a study's targets, then siblings and controls."""
    if isinstance(spec, DreamSpec):
        for layer in spec.layers:
            for _ in range(spec.frames):
                yield from ((layer, entry) for entry in spool)
    else:
        for role in ("target", "sibling", "control"):
            yield from ((None, entry) for entry in spool if entry.role == role)

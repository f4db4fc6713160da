"""From a request to a job: its fields, and its pictures on their way into the store.

`read_submission` gives a `Submission`; `submit` makes the job of it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from api.addresses import check_url
from api.bodies import MAX_JSON_BYTES, media_type, read_body
from api.lines import PictureLine, read_lines
from api.multipart import Part, parts
from api.schemas import (
    NewDream,
    NewStudy,
    PictureRef,
    build_spec,
    make_job,
    read_job,
    read_json,
    source_of,
)
from api.services import Services
from beholder.errors import InvalidInput, PictureError
from beholder.intake import keep
from beholder.jobs.hooks import Hook
from beholder.jobs.repeats import Repeatable
from beholder.jobs.spool import Entry, Role, Spool, StoredPicture
from beholder.jobs.stock import use_pictures
from beholder.jobs.submit import CreatedJob, create_job, noise_entries
from beholder.protocol import LINES
from beholder.recipes import beside_pictures
from beholder.specs import DreamSpec, JobKind
from beholder.texts import cut_name, plain

MAX_NAMES = 3  # in a job's name
# Which field holds pictures of which role.
ROLES: dict[JobKind, dict[str, Role | None]] = {
    "dream": {"pictures": None},
    "study": {"targets": "target", "siblings": "sibling", "controls": "control"},
}
_BATCH = 1_000  # pictures that are looked up at a time
_Refs = Sequence[str | PictureRef]


@dataclass
class Submission:
    """A request as far as it has been read. Its entries are in a temporary file."""

    kind: JobKind
    asked: NewDream | NewStudy
    entries: Spool = field(default_factory=Spool)
    names: list[str] = field(default_factory=list)

    def add(self, entry: Entry) -> None:
        """Take an entry in, and note what the job may be called after."""
        self.entries.add(entry, role=entry.role)
        name = entry.group or entry.source
        if entry.role in (None, "target") and name not in self.names[:MAX_NAMES]:
            self.names.append(name)

    @property
    def name(self) -> str:
        """What to call the job where the request does not say: its folders, or its pictures."""
        if len(self.names) <= MAX_NAMES:
            return cut_name(", ".join(self.names)) or "noise"
        return f"{self.entries.total} pictures"


async def read_submission(request: Request, services: Services, kind: JobKind) -> Submission:
    """Read a request in either form; its pictures are in the store by the end of it.

    Raises InvalidInput, TooLarge or StorageFull. A picture that can't be read becomes an entry
    with its reason. The caller closes `entries`.
    """
    model = NewDream if kind == "dream" else NewStudy
    content = media_type(request.headers)
    submission = Submission(kind, model())
    try:
        if content == "multipart/form-data":
            await _read_multipart(request, services, submission)
        elif content == "application/json":
            body = await read_body(request, MAX_JSON_BYTES, "JSON request")
            submission.asked = await run_in_threadpool(read_job, model, body)
        elif content == LINES:
            await _read_lines(request, services, submission)
        else:
            raise InvalidInput(
                f"send multipart/form-data, or application/json or {LINES} with hashes."
            )
        for name, role in ROLES[kind].items():
            refs: _Refs = getattr(submission.asked, name)
            await run_in_threadpool(_add_refs, services, submission, refs, role)
    except BaseException:
        submission.entries.__exit__(None, None, None)
        raise
    return submission


def submit(services: Services, submission: Submission, request: Repeatable | None) -> CreatedJob:
    """Make the job. Raises InvalidInput, NoPictures, ServiceUnavailable or StorageFull."""
    asked, settings = submission.asked, services.settings
    pictured = submission.kind == "dream" and submission.entries.total > 0
    fields = beside_pictures(asked.spec) if pictured else asked.spec
    spec = build_spec(submission.kind, fields, network=settings.network)
    hook = Hook(asked.webhook.url, asked.webhook.secret) if asked.webhook else None
    if hook:
        check_url(hook.url, private=settings.webhook_private)

    def entries() -> Iterator[Entry]:
        yield from submission.entries
        if isinstance(spec, DreamSpec):
            yield from noise_entries(spec)

    return create_job(
        services.db,
        spec,
        entries(),
        name=asked.name or submission.name,
        priority=asked.priority,
        device=asked.device,
        request=request,
        hook=hook,
    )


async def _read_multipart(request: Request, services: Services, submission: Submission) -> None:
    fields: dict[str, object] = {}
    hashes: dict[str, list[object]] = {}
    roles, model = ROLES[submission.kind], type(submission.asked)
    async for part in parts(request, services.settings):
        if part.name in roles and part.filename is not None:
            if part.filename or part.data:  # a browser's empty file field sends neither
                entry = await run_in_threadpool(take_in, services, part, roles[part.name])
                submission.add(entry)
        elif part.name in roles:
            hashes.setdefault(part.name, []).append(_hash(part))
        elif part.name in ("spec", "webhook"):
            fields[part.name] = read_json(part.data or b"{}", part.name)
            make_job(model, fields)  # says what is wrong before the pictures have arrived
        elif part.name in ("name", "priority", "device"):
            fields[part.name] = part.text
        else:
            known = ", ".join(("spec", "name", "priority", "device", "webhook", *roles))
            raise InvalidInput(f"no field {part.name!r}: fields are {known}.")
        del part  # else a file is in memory while the next one comes
    submission.asked = await run_in_threadpool(make_job, model, {**fields, **hashes})


async def _read_lines(request: Request, services: Services, submission: Submission) -> None:
    roles = ROLES[submission.kind]

    def on_head(line: bytes) -> None:
        submission.asked = read_job(type(submission.asked), line)
        if named := [name for name in roles if getattr(submission.asked, name)]:
            raise InvalidInput(f"{named[0]}: of {LINES} each picture is a line of its own.")

    def on_pictures(lines: list[PictureLine]) -> None:
        known = _known(services, [one.sha256 for one in lines if one.sha256])
        for one in lines:
            if one.role is not None and one.role not in roles.values():
                raise InvalidInput(f"role: a dream's pictures have none; got {one.role!r}.")
            picture = known[one.sha256] if one.sha256 else None
            role = one.role or next(iter(roles.values()))
            submission.add(_entry(one, picture, role))

    await read_lines(request, on_head, on_pictures)


def _hash(part: Part) -> str:
    text = part.text.strip()
    if not re.fullmatch("[0-9a-f]{64}", text):
        raise InvalidInput(
            f"{part.name}: a file, or a picture's SHA-256 as 64 hex digits; got {text[:80]!r}."
        )
    return text


def take_in(services: Services, part: Part, role: Role | None = None) -> Entry:
    """Keep an uploaded file; an entry with its hash, or with what is wrong."""
    source = source_of(part.filename or "")
    group = source.rpartition("/")[0].rpartition("/")[2] or None
    settings = services.settings
    try:
        if part.too_large:
            raise PictureError(f"the file is larger than {settings.upload_file_bytes:,} bytes.")
        stored = keep(services.store, part.data, max_pixels=settings.max_pixels)
    except PictureError as error:
        return Entry(source, None, role=role, group=group, error=str(error))
    return Entry(source, stored, role=role, group=group)


def _add_refs(services: Services, submission: Submission, refs: _Refs, role: Role | None) -> None:
    """Pictures that are here already, by hash. Raises InvalidInput for one that is not."""
    for start in range(0, len(refs), _BATCH):  # all at a time took several times the request
        some = refs[start : start + _BATCH]
        given = [PictureRef(sha256=ref) if isinstance(ref, str) else ref for ref in some]
        known = _known(services, [ref.sha256 for ref in given])
        for ref in given:
            submission.add(_entry(ref, known[ref.sha256], role))


def _known(services: Services, hashes: Sequence[str]) -> dict[str, StoredPicture]:
    """What is known of all of these. Raises InvalidInput for one that is not here."""
    known = use_pictures(services.db, hashes)
    for sha256 in hashes:
        if sha256 not in known:
            raise InvalidInput(
                f"no picture {sha256[:12]}... here: send it with POST /v1/pictures first."
            )
    return known


def _entry(
    given: PictureRef | PictureLine, picture: StoredPicture | None, role: Role | None
) -> Entry:
    name = picture.sha256[:12] if picture else "picture"
    source = source_of(given.source) if given.source else name
    error = plain(given.error) if isinstance(given, PictureLine) and given.error else None
    if picture is None:
        error = error or "it could not be read."
    group = plain(given.group) if given.group else None
    return Entry(source, picture, role=role, group=group, error=error)

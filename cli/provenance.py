"""`beholder inspect` and `beholder again`: what a dream's PNG says of itself, and it once more."""

import hashlib
import json as json_text
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beholder.devices import DEFAULT_DEVICE
from beholder.errors import InvalidInput, NotFound, PictureError
from beholder.priorities import DEFAULT_PRIORITY
from cli.context import Context
from cli.desk import result
from cli.output import JsonOption, console, print_json, say
from cli.queueing import prepare, report
from cli.submit import NameOption, OutputOption, PriorityOption, WaitOption, network_name

if TYPE_CHECKING:
    from beholder.jobs.spool import Entry, StoredPicture
    from beholder.provenance import Provenance
    from beholder.specs import DreamSpec

EXIT_OTHER = 1
FileArgument = Annotated[
    Path, typer.Argument(help="A PNG file as a worker wrote it.", metavar="FILE")
]
_USES = {"picture": "started from"}
_VERSIONS = ("beholder", "torch", "pillow", "device")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("inspect")(inspect)
    app.command()(again)


def inspect(file: FileArgument, json: JsonOption = False) -> None:
    """Show what a dream's PNG file says of itself: all that it takes to make it again."""
    found, _ = _read(Context(), file)
    if json:
        print_json(found.row())
        return
    out = console()
    for label, text in _facts(found):
        out.print(f"{label:10}{text}", markup=False, highlight=False, soft_wrap=True)


def again(
    file: FileArgument,
    picture: Annotated[
        Path | None,
        typer.Option(help="The picture that it started from, where the store has none."),
    ] = None,
    mask: Annotated[Path | None, typer.Option(help="Its mask, where the store has none.")] = None,
    guide: Annotated[Path | None, typer.Option(help="Its guide, where the store has none.")] = None,
    network: Annotated[
        str | None,
        typer.Option(
            help="Where its network's file is. Default: where the newest job here had it.",
            show_default=False,
        ),
    ] = None,
    name: NameOption = "",
    priority: PriorityOption = DEFAULT_PRIORITY,
    wait: WaitOption = False,
    output: OutputOption = None,
    json: JsonOption = False,
) -> None:
    """Queue the dream of a PNG file again; with --wait, say whether it came to the same bytes."""
    context = Context()
    found, data = _read(context, file)
    spec = _spec(context, file, found, network)
    prepare(context, spec, wait=wait, output=output)
    _keep_named(context, file, spec, {"mask": mask, "guide": guide})
    entries = [] if spec.noise else [_entry(context, file, found, picture)]
    created = context.desk.create(
        spec,
        entries,
        name=name or f"{found.source} again",
        priority=priority,
        device=DEFAULT_DEVICE,
    )
    report(context, created, wait=wait, output=output, as_json=json)
    if wait:
        _compare(context, created.id, file, data, found)


def _read(context: Context, file: Path) -> "tuple[Provenance, bytes]":
    """What a file says, and its bytes. Raises PictureError with the file's name."""
    from beholder.intake import read_file
    from beholder.provenance import read_provenance

    try:
        data = read_file(str(file))
        return read_provenance(data, max_pixels=context.settings.max_pixels), data
    except PictureError as error:
        raise PictureError(f"{file}: {error}") from None


def _facts(found: "Provenance") -> Iterator[tuple[str, str]]:
    from cli.words import layer_words, network_words

    source = found.source_sha256 or f"noise, seed {found.seed}"
    yield "start", f"{found.source}  {source}"
    objective = found.spec.get("objective")
    yield ("objective", str(objective)) if objective else ("layer", layer_words(found.layer))
    yield (
        "step",
        f"{found.step:,}" + (f" of frame {found.frame}" if found.frame is not None else ""),
    )
    yield "asks", _asked(found)
    yield "precision", found.precision
    yield "network", f"{network_words(found.network, None)}  {found.network_sha256}"
    yield "device", found.device
    yield "versions", f"beholder {found.beholder}, torch {found.torch}, pillow {found.pillow}"


def _asked(found: "Provenance") -> str:
    """A spec in words; one that this version does not know as it is."""
    from cli.words import spec_words

    try:
        return spec_words(found.asked())
    except InvalidInput:
        return json_text.dumps(found.spec)


def _spec(context: Context, file: Path, found: "Provenance", network: str | None) -> "DreamSpec":
    """The spec of a job of this dream. A network's file is where it is said to be, or was."""
    from beholder.provenance import is_file_name

    if network is None and is_file_name(found.network):
        network = context.desk.weights_of(found.network, found.network_sha256)
    spec = found.asked(network_name(context, network or found.network))
    if spec.carry is not None and found.frame and found.before_sha256 is None:
        raise InvalidInput(
            f"{file.name} is frame {found.frame} of a film that began anew with it, since the one "
            "before it failed: queue its picture as a job's first, as `beholder inspect` shows."
        )
    if spec.carry is not None and found.frame:
        raise InvalidInput(
            f"{file.name} is frame {found.frame} of a film, made from all before it: queue its "
            "folder again, as `beholder inspect` shows."
        )
    return spec


def _entry(context: Context, file: Path, found: "Provenance", picture: Path | None) -> "Entry":
    """The start, from the store or from a file."""
    from beholder.jobs.spool import Entry

    wanted = found.source_sha256 or ""
    return Entry(found.source, _same(context, file, wanted, "picture", picture, name=found.source))


def _keep_named(
    context: Context, file: Path, spec: "DreamSpec", given: dict[str, Path | None]
) -> None:
    """See to it that the pictures that a spec names are here; `given` has files of them."""
    for option, path in given.items():
        wanted = getattr(spec, option)
        if wanted is not None:
            _same(context, file, wanted, option, path)
        elif path is not None:
            raise InvalidInput(f"{file.name} was made without a {option}: leave --{option} out.")


def _same(
    context: Context, file: Path, wanted: str, option: str, given: Path | None, *, name: str = ""
) -> "StoredPicture":
    """The very picture of this hash, from the store or from a given file."""
    from beholder.intake import read_file

    which = f"the {option} that {file.name} {_USES.get(option, 'was made with')}"
    if given is None:
        try:
            return context.desk.kept(wanted)
        except NotFound:
            raise InvalidInput(
                f"the store has not {which} ({name or wanted[:12]}): say where it is with "
                f"--{option}."
            ) from None
        except PictureError as error:
            raise PictureError(f"{which}: {error} --{option} FILE sends it.") from None
    if hashlib.sha256(read_file(str(given))).hexdigest() != wanted:
        raise InvalidInput(
            f"{given} is not {which}, whose SHA-256 is {wanted[:12]}...: name that one with "
            f"--{option}."
        )
    return context.desk.take_one(given)


def _compare(context: Context, job_id: str, file: Path, data: bytes, found: "Provenance") -> None:
    """Say whether the job made the file's bytes, and if not, what is different."""
    from beholder.provenance import read_provenance

    made = _made(context, job_id, found.step, found.frame or 0)
    if made == data:
        say(f"the same bytes as {file}.")
        return
    now = read_provenance(made, max_pixels=context.settings.max_pixels)
    changed = _changes(found.row(), now.row())
    say(f"other bytes than {file}: {changed or UNEXPLAINED}")
    raise typer.Exit(EXIT_OTHER)


UNEXPLAINED = (
    "versions, device and settings are the same. On a GPU, or with precision exact, the last bits "
    "depend on the batch, on a CPU on the number of threads; or the file has been changed."
)


def _changes(before: dict[str, Any], now: dict[str, Any]) -> str:
    names = [name for name in before if before[name] != now.get(name)]
    parts = [
        f"{name} {before[name]} there, {now[name]} here"
        if name in _VERSIONS or name == "network_sha256"
        else f"another {name}"
        for name in names
    ]
    return "; ".join(parts) + "." if parts else ""


def _made(context: Context, job_id: str, step: int, position: int) -> bytes:
    """The bytes of a job's item after a step; a start from noise is step 0."""
    desk = context.desk
    item = next(desk.items(job_id, after=position - 1, limit=1))
    if not step:
        return desk.start(desk.job(job_id), item)
    for file in item.files:
        if file.step == step:
            return result(desk, job_id, position, file)
    raise NotFound(f"job {job_id} has no picture of step {step}.")

"""What can be asked without a job in mind: `channels`, `layers`, `networks`, `doctor`."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beholder.errors import InvalidChannel, InvalidInput, NotFound
from beholder.layers import LAYERS, parse_channels, parse_layers
from beholder.networks import check_channels_of, width_divisor
from cli.channel import relu_layers, show_contrast
from cli.context import Context
from cli.doctor import doctor
from cli.networks import layers, networks, recipes
from cli.output import JsonOption, console, plural, print_csv, print_json, say, table

if TYPE_CHECKING:
    from beholder.jobs.views import ChannelView, JobView
    from cli.desk import Desk

DEFAULT_TOP = 10
DEFAULT_LIMIT = 20  # of --for
FORMATS = ("table", "json", "csv")
COLUMNS = ("layer", "layer_name", "channel", "count", "controls", "mean", "control_mean")
WIDEST = "vgg19"  # no network has more channels
MORE_COLUMNS = ("deviation", "maximum", "chosen")
OF_SOUND = ("rank", "score")  # where a sound study's set is shown


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (channels, layers, networks, recipes, doctor):
        app.command()(command)


def channels(
    study: Annotated[
        str | None, typer.Option(help="A study's id, or its beginning. Default: the newest.")
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help='Only these layers: "conv5_1", "20-36", "kind:relu".')
    ] = None,
    channel: Annotated[
        str | None,
        typer.Option(help='Only these channels: "17", "3,17"; without --study, in all studies.'),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="This many of each layer. Default: 10; all with --channel or --chosen.",
            show_default=False,
        ),
    ] = None,
    chosen: Annotated[bool, typer.Option("--chosen", help="Only those that were blinded.")] = False,
    wanted: Annotated[
        list[str] | None,
        typer.Option("--for", help="Those that are for this class; may be repeated."),
    ] = None,
    others: Annotated[
        list[str] | None,
        typer.Option(
            "--not-for", help="And not for this one; may be repeated. Default: all others."
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="With --for: so many. Default: 20.", show_default=False),
    ] = None,
    network: Annotated[
        str | None, typer.Option(help="With --for and --export: studies on this network alone.")
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(help="Write strengths by class, of all studies or one: .parquet or .csv."),
    ] = None,
    as_format: Annotated[str, typer.Option("--format", help="table, json or csv.")] = "table",
    json: JsonOption = False,
) -> None:
    """List a study's channels: in how many pictures each was among its layer's strongest."""
    if as_format not in FORMATS:
        raise InvalidInput(f"no format {as_format!r}: formats are table, json and csv.")
    layers = None if layer is None else parse_layers(layer)
    numbers = (
        None
        if channel is None
        else parse_channels(channel, partial(_check, layers, network=WIDEST))
    )
    given = {
        "--channel": numbers, "--top": top, "--chosen": chosen or None, "--for": wanted,
        "--not-for": others, "--limit": limit, "--network": network, "--export": export,
    }  # fmt: skip
    _insist_on_one_question({name for name, value in given.items() if value is not None})
    desk = Context().desk
    if export:
        _export(desk, export, study, network, layers, numbers, chosen)
    elif wanted:
        show_contrast(
            desk,
            wanted,
            others or (),
            study=study,
            network=network,
            layers=layers,
            limit=limit or DEFAULT_LIMIT,
            as_format="json" if json else as_format,
        )
    else:
        show_channels(
            desk,
            study=study,
            layers=layers,
            channels=numbers,
            top=top,
            chosen=chosen,
            as_format="json" if json else as_format,
        )


def _insist_on_one_question(given: set[str]) -> None:
    """Raise InvalidInput for options that belong to different questions."""
    if "--export" in given:
        alien = given & {"--top", "--for", "--not-for", "--limit"}
        if alien:
            raise InvalidInput(f"--export writes all strengths by class: leave out {min(alien)}.")
    elif "--for" in given:
        alien = given & {"--top", "--channel", "--chosen"}
        if alien:
            raise InvalidInput(f"--for compares classes over all channels: leave out {min(alien)}.")
    elif alien := given & {"--not-for", "--limit", "--network"}:
        raise InvalidInput(f"{min(alien)} needs --for CLASS.")


def _export(
    desk: "Desk",
    path: Path,
    study: str | None,
    network: str | None,
    layers: Sequence[int] | None,
    channels: Sequence[int] | None,
    chosen: bool,
) -> None:
    """Write what channel records are made of, and say how much it was."""
    from cli.channel_export import check_ending, export_channels

    check_ending(path)
    job = _study(desk, study, anywhere=study is None)
    rows = desk.export_rows(
        study=job.id if job else None,
        network=network,
        layers=None if layers is None else relu_layers(layers),
        channels=channels,
        chosen=chosen,
    )
    written = export_channels(path, rows)
    say(f"{plural(written, 'row')} in {path}: a channel, class and study each.")


def show_channels(
    desk: "Desk",
    *,
    study: str | None = None,
    layers: Sequence[int] | None = None,
    channels: Sequence[int] | None = None,
    top: int | None = None,
    chosen: bool = False,
    as_format: str = "table",
) -> None:
    """Print channels in one of FORMATS. Without study and channels, of the newest study."""
    try:
        job = _study(desk, study, anywhere=channels is not None)
    except NotFound as error:
        if study is not None:
            raise
        say(str(error))
        _print((), as_format)
        return
    if job and channels is not None:
        _check(layers, channels, job.network)
    elif channels is not None:
        _check_anywhere(desk, layers, channels)
    selected = _with_channels(layers, channels)
    if top is None and channels is None and not chosen:
        top = DEFAULT_TOP
    rows = list(_rows(desk, job, selected, channels, top, chosen))
    if job is None and channels is not None and not rows:
        _check(layers, channels, desk.network)
    if as_format == "table" or not rows:
        _explain(rows, job)
    _print(rows, as_format)


def _study(desk: "Desk", study: str | None, *, anywhere: bool) -> "JobView | None":
    """The study asked for, else the newest with channels; None for all studies."""
    if study is None:
        if anywhere:
            return None
        job = desk.latest_study()
        say(f"Study {job.id} ({job.name}), the newest; --study picks another.")
        return job
    job = desk.job(study)
    if job.kind != "study":
        raise InvalidInput(f"job {job.id} is a dream: `beholder jobs --kind study` lists studies.")
    return job


def _check(layers: Sequence[int] | None, channels: Sequence[int], network: str) -> None:
    """Raise InvalidChannel for channels that these layers, or all, have not in a network."""
    if layers is not None:
        for layer in layers:
            check_channels_of(network, LAYERS[layer], channels)
        return
    widest = max(LAYERS, key=lambda layer: layer.channels).channels // (width_divisor(network) or 1)
    if max(channels) >= widest:
        raise InvalidChannel(
            f"on {network}, the widest layers have channels 0-{widest - 1}; got {max(channels)}. "
            f"`beholder layers --network {network}` lists them."
        )


def _check_anywhere(desk: "Desk", layers: Sequence[int] | None, channels: Sequence[int]) -> None:
    """The same where studies on any network are asked, of channels that none has."""
    try:
        _check(layers, channels, WIDEST)
    except InvalidChannel:
        _check(layers, channels, desk.network)  # in whose words it is said where it can be
        raise


def _with_channels(
    layers: Sequence[int] | None, channels: Sequence[int] | None
) -> Sequence[int] | None:
    """The layers to ask for: with channels, those that may have them. None stands for all."""
    if layers is not None or channels is None:
        return layers
    return [layer.index for layer in LAYERS if layer.channels > min(channels)]


def _rows(
    desk: "Desk",
    job: "JobView | None",
    layers: Sequence[int] | None,
    channels: Sequence[int] | None,
    top: int | None,
    chosen: bool,
) -> "Iterator[ChannelView]":
    for layer in layers if layers is not None else (None,):
        for channel in channels if channels is not None else (None,):
            yield from desk.channels(
                study=job.id if job else None,
                layer=layer,
                channel=channel,
                top=top,
                chosen=chosen,
            )


def _explain(rows: "Sequence[ChannelView]", job: "JobView | None") -> None:
    """Say what counts are out of, or why there is nothing."""
    if job and job.target_pictures is None:
        say(f"Study {job.id} has no channels yet ({job.state}): `beholder watch {job.id}`.")
    elif not rows:
        say(_nothing(job))
    elif job:
        say(f"count: of {job.target_pictures:,} targets; controls: of {job.control_pictures:,}.")


def _nothing(job: "JobView | None") -> str:
    if job is None:
        return "No study has such channels: `beholder study --dir DIR` finds some."
    return (
        f"Study {job.id} has no such channels: none was blinded there, or {job.network} has fewer "
        "(`beholder layers`)."
    )


def _print(rows: "Iterable[ChannelView]", as_format: str) -> None:
    listed = [row.row() for row in rows]
    if as_format == "csv":
        _print_csv(listed)
    elif as_format == "json":
        print_json(listed)
    elif listed:
        studies = {row["study"] for row in listed}
        columns = (*(("study",) if len(studies) > 1 else ()), *COLUMNS, *MORE_COLUMNS)
        if any(row["rank"] is not None for row in listed):
            columns += OF_SOUND
        console().print(table(columns, listed))


def _print_csv(rows: Iterable[dict[str, Any]]) -> None:
    from beholder.jobs.views import ChannelView, columns_of

    print_csv(columns_of(ChannelView), rows)

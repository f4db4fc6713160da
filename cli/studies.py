"""`beholder study`: which channels do pictures of one class share; what happens without them?"""

from pathlib import Path
from typing import Annotated

import typer

from beholder.defaults import DEFAULT_SIZE
from beholder.layers import find_layer
from beholder.priorities import DEFAULT_PRIORITY
from cli.context import Context
from cli.output import JsonOption
from cli.queueing import Source, prepare, queue_job, report
from cli.submit import (
    NameOption,
    NetworkOption,
    NormalizeOption,
    OutputOption,
    PreReluOption,
    PriorityOption,
    RecursiveOption,
    SizeOption,
    WaitOption,
    network_name,
    parse_size,
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("study")(study)


def study(
    folders: Annotated[
        list[Path],
        typer.Option("--dir", "-d", help="A folder of pictures of one class; may be repeated."),
    ],
    control: Annotated[
        list[Path] | None,
        typer.Option("--control", "-c", help="A folder of other pictures; may be repeated."),
    ] = None,
    recursive: RecursiveOption = False,
    top: Annotated[
        int, typer.Option(help="How many of a layer's strongest channels count for a picture.")
    ] = 10,
    min_layer: Annotated[str, typer.Option(help="Blind nothing below this layer.")] = "20",
    most_common: Annotated[
        int, typer.Option(help="Blind at most this many channels of a layer.")
    ] = 5,
    threshold: Annotated[
        int, typer.Option(help="Blind what is a top channel in at least this many pictures.")
    ] = 4,
    size: SizeOption = str(DEFAULT_SIZE),
    network: NetworkOption = None,
    normalize: NormalizeOption = False,
    pre_relu: PreReluOption = False,
    name: NameOption = "",
    priority: PriorityOption = DEFAULT_PRIORITY,
    wait: WaitOption = False,
    output: OutputOption = None,
    json: JsonOption = False,
) -> None:
    """Queue an ablation study: find the channels a class shares, zero them, classify again."""
    from beholder.specs import StudySpec

    context = Context()
    spec = StudySpec.build(
        network=network_name(context, network),
        size=parse_size(size),
        normalize=normalize,
        pre_relu=pre_relu,
        top=top,
        min_layer=find_layer(min_layer).index,
        most_common=most_common,
        threshold=threshold,
    )
    prepare(context, spec, wait=wait, output=output)
    sources = [
        Source(folders=tuple(folders), recursive=recursive, role="target"),
        Source(folders=tuple(control or ()), recursive=recursive, role="control"),
    ]
    target = ", ".join(folder.resolve().name for folder in folders)
    created = queue_job(context, spec, sources, name=name or target, priority=priority)
    report(context, created, wait=wait, output=output, as_json=json)

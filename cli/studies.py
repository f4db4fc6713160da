"""`beholder study`: which channels do pictures of one class share; what happens without them?"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from beholder.defaults import DEFAULT_DOSES, DEFAULT_SIZE
from beholder.devices import DEFAULT_DEVICE
from beholder.errors import InvalidInput
from beholder.evidence.names import Method, Mode
from beholder.layers import find_layer
from beholder.priorities import DEFAULT_PRIORITY
from cli.context import Context
from cli.options import in_options, option_of
from cli.output import JsonOption
from cli.queueing import Source, prepare, queue_job, report
from cli.submit import (
    DeviceOption,
    NameOption,
    NetworkOption,
    NormalizeOption,
    OutputOption,
    PreReluOption,
    PriorityOption,
    RecursiveOption,
    SizeOption,
    WaitOption,
    folders_name,
    network_name,
    parse_size,
    parse_steps,
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("study")(study)


def _insist_on_dir(named: list[Path] | None) -> None:
    if named:
        raise InvalidInput(f"a study is of folders, as an option: write --dir {named[0]}")


def study(
    folders: Annotated[
        list[Path],
        typer.Option("--dir", "-d", help="A folder of pictures of one class; may be repeated."),
    ],
    named: Annotated[  # eager, or the missing --dir would be all that is said
        list[Path] | None,
        typer.Argument(hidden=True, metavar="--dir DIR", is_eager=True, callback=_insist_on_dir),
    ] = None,
    control: Annotated[
        list[Path] | None,
        typer.Option("--control", "-c", help="A folder of other pictures; may be repeated."),
    ] = None,
    sibling: Annotated[
        list[Path] | None,
        typer.Option("--sibling", help="A folder of a class much like the target; repeatable."),
    ] = None,
    recursive: RecursiveOption = False,
    recipe: Annotated[
        str,
        typer.Option(
            help="article (as published), or sound: held-out pictures, controls and statistics."
        ),
    ] = "article",
    target: Annotated[
        str,
        typer.Option(help="Sound: the target's label; vote or folder find it.", metavar="CLASS"),
    ] = "vote",
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="Sound: how channels are scored, the headline's first; repeatable. "
            f"{', '.join(get_args(Method))}. Default: iterative."
        ),
    ] = None,
    mode: Annotated[
        list[str] | None,
        typer.Option(
            help="Sound: what becomes of them, the headline's first; repeatable. "
            f"{', '.join(get_args(Mode))}. Default: zero."
        ),
    ] = None,
    alpha: Annotated[float, typer.Option(help="Sound: what scale multiplies by.")] = 0.5,
    doses: Annotated[
        str, typer.Option(help="Sound: how many channels to ablate, in turn.")
    ] = ",".join(map(str, DEFAULT_DOSES)),
    dose: Annotated[
        int | None,
        typer.Option(help="Sound: the headline's dose; left out, tuning pictures decide."),
    ] = None,
    per_layer: Annotated[
        bool, typer.Option("--per-layer", help="Sound: a dose is of each layer.")
    ] = False,
    draws: Annotated[int, typer.Option(help="Sound: random sets of the headline's dose.")] = 199,
    matrix: Annotated[
        bool, typer.Option("--matrix", help="Sound: choose for every folder, test on every other.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Sound: of splits and draws.")] = 0,
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
    device: DeviceOption = DEFAULT_DEVICE,
    wait: WaitOption = False,
    output: OutputOption = None,
    json: JsonOption = False,
) -> None:
    """Queue an ablation study: find the channels a class shares, zero them, classify again."""
    from beholder.labels import check_target
    from beholder.specs import StudySpec

    context = Context()
    asked = {
        "target": target,
        "methods": tuple(method or ()),
        "modes": tuple(mode or ()),
        "alpha": alpha,
        "doses": parse_steps(doses, "--doses"),
        "dose": dose,
        "per_layer": per_layer,
        "draws": draws,
        "matrix": matrix,
        "seed": seed,
    }
    _insist_on_meaning(recipe, asked)
    _insist_on_apart({"--dir": folders, "--sibling": sibling or (), "--control": control or ()})
    with in_options():
        spec = StudySpec.build(
            network=network_name(context, network),
            size=parse_size(size),
            normalize=normalize,
            pre_relu=pre_relu,
            top=top,
            min_layer=find_layer(min_layer).index,
            most_common=most_common,
            threshold=threshold,
            recipe=recipe,
            **asked,
        )
    check_target(spec.network, spec.target)
    prepare(context, spec, wait=wait, output=output)
    sources = [
        Source(folders=tuple(folders), recursive=recursive, role="target"),
        Source(folders=tuple(sibling or ()), recursive=recursive, role="sibling"),
        Source(folders=tuple(control or ()), recursive=recursive, role="control"),
    ]
    name = name or folders_name(folders)
    created = queue_job(context.desk, spec, sources, name=name, priority=priority, device=device)
    report(context, created, wait=wait, output=output, as_json=json)


def _insist_on_meaning(recipe: str, asked: Mapping[str, Any]) -> None:
    """Raise InvalidInput for an option that does nothing without another."""
    from beholder.specs import StudySpec

    fields = StudySpec.model_fields
    given = [name for name, value in asked.items() if value != fields[name].default]
    if recipe == "article" and given:
        raise InvalidInput(f"{option_of(given[0])} needs --recipe sound.")
    if "alpha" in given and "scale" not in asked["modes"]:
        raise InvalidInput("--alpha needs --mode scale.")


def _insist_on_apart(folders: Mapping[str, Sequence[Path]]) -> None:
    """Raise InvalidInput for a folder that is given in two roles."""
    roles: dict[Path, str] = {}
    for option, found in folders.items():
        for folder in found:
            first = roles.setdefault(folder.resolve(), option)
            if first != option:
                raise InvalidInput(
                    f"{folder} is given with {first} and with {option}: pictures can't be both."
                )

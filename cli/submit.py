"""`beholder submit`: queue dreams of pictures, of a folder, or of noise."""

from pathlib import Path
from typing import Annotated

import typer

from beholder.defaults import DEFAULT_LAYER, DEFAULT_SIZE
from beholder.devices import DEFAULT_DEVICE, Device
from beholder.errors import InvalidInput, NoPictures
from beholder.layers import is_number, parse_channels, parse_layers
from beholder.networks import WEIGHT_SUFFIXES
from beholder.precisions import DEFAULT_PRECISION, DreamPrecision
from beholder.priorities import DEFAULT_PRIORITY, Priority
from cli.context import Context
from cli.output import JsonOption, say
from cli.queueing import Source, prepare, queue_job, report

NO_GPU = (
    "tf32 needs a CUDA GPU, and no worker that is alive reports one: without, the job fails. "
    "float32 and bf16 run anywhere."
)
NetworkOption = Annotated[
    str | None,
    typer.Option(
        help="vgg19, specimens, random:SEED, or a state dict's path. Default: vgg19, or "
        "BEHOLDER_NETWORK.",
        show_default=False,
    ),
]
SizeOption = Annotated[
    str, typer.Option(help='Side of the centre crop in pixels, or "keep" for its own size.')
]
NormalizeOption = Annotated[
    bool, typer.Option("--normalize", help="Feed ImageNet-normalised pixels; published: raw.")
]
PreReluOption = Annotated[
    bool,
    typer.Option(
        "--pre-relu", help="Read a convolution before its in-place ReLU; published: after."
    ),
]
RecursiveOption = Annotated[
    bool, typer.Option("--recursive", "-r", help="Look into the folders' folders too.")
]
WaitOption = Annotated[
    bool, typer.Option("--wait", "-w", help="Stay until it ends; runs what it needs meanwhile.")
]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="With --wait: write the results to this folder."),
]
NameOption = Annotated[str, typer.Option(help="A name to find the job by.")]
DeviceOption = Annotated[
    Device, typer.Option(help="Only workers on this class of devices run it: gpu, cpu, or any.")
]
PriorityOption = Annotated[
    Priority, typer.Option(help="high is served before normal, and normal before low.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("submit")(submit)


def submit(
    pictures: Annotated[
        list[Path] | None, typer.Argument(help="Picture files.", show_default=False)
    ] = None,
    folders: Annotated[
        list[Path] | None,
        typer.Option("--dir", "-d", help="A folder of pictures; may be repeated."),
    ] = None,
    recursive: RecursiveOption = False,
    layer: Annotated[
        str,
        typer.Option(help='Layers: "35", "relu5_4", "10-20", "conv4_1,28", "kind:pool", "all".'),
    ] = str(DEFAULT_LAYER),
    channel: Annotated[
        str | None,
        typer.Option(help='Only these channels: "17", "3,17,40", "0-7".', show_default=False),
    ] = None,
    steps: Annotated[int, typer.Option(help="Steps of gradient ascent.")] = 30,
    learning_rate: Annotated[float, typer.Option(help="Of each step.")] = 0.01,
    snapshots: Annotated[
        str | None,
        typer.Option(help='Steps to keep besides the last: "10,60,110".', show_default=False),
    ] = None,
    size: SizeOption = str(DEFAULT_SIZE),
    seed: Annotated[int, typer.Option(help="Of the noise; noise i uses seed + i.")] = 0,
    network: NetworkOption = None,
    noise: Annotated[int, typer.Option(help="This many dreams that start from noise.")] = 0,
    normalize: NormalizeOption = False,
    pre_relu: PreReluOption = False,
    precision: Annotated[
        DreamPrecision,
        typer.Option(
            help="auto: float32 on a CPU; on a GPU what is fastest without showing. exact: as "
            "published, operation by operation."
        ),
    ] = DEFAULT_PRECISION,
    name: NameOption = "",
    priority: PriorityOption = DEFAULT_PRIORITY,
    device: DeviceOption = DEFAULT_DEVICE,
    wait: WaitOption = False,
    output: OutputOption = None,
    json: JsonOption = False,
) -> None:
    """Queue dreams: one for each picture and layer."""
    from beholder.specs import DreamSpec

    context = Context()
    spec = DreamSpec.build(
        network=network_name(context, network),
        size=parse_size(size),
        normalize=normalize,
        pre_relu=pre_relu,
        layers=parse_layers(layer),
        channels=None if channel is None else parse_channels(channel),
        steps=steps,
        learning_rate=learning_rate,
        snapshots=() if snapshots is None else parse_steps(snapshots),
        noise=noise,
        seed=seed,
        precision=precision,
    )
    source = Source(tuple(pictures or ()), tuple(folders or ()), recursive)
    if not (source.files or source.folders or noise):
        raise NoPictures("name pictures, a folder (--dir DIR), or --noise N.")
    prepare(context, spec, wait=wait, output=output)
    created = queue_job(
        context.desk, spec, [source], name=name or _name(source), priority=priority, device=device
    )
    if precision == "tf32" and not context.desk.gpu_is_known_of():
        say(NO_GPU)
    report(context, created, wait=wait, output=output, as_json=json)


def network_name(context: Context, option: str | None) -> str:
    """The network asked for, else the default one; a state dict's path as workers find it."""
    name = option or context.desk.network
    return context.desk.weights(name) if name.lower().endswith(WEIGHT_SUFFIXES) else name


def parse_size(text: str) -> int | str:
    """A side in pixels, or "keep"."""
    if text != "keep" and not is_number(text):
        raise InvalidInput(f'--size is a number of pixels (224) or "keep"; got {text[:40]!r}.')
    return text if text == "keep" else int(text)


def parse_steps(text: str, option: str = "--snapshots") -> tuple[int, ...]:
    """The steps of "10,60,110"."""
    words = [word.strip() for word in text.split(",")]
    if not all(is_number(word) for word in words):
        raise InvalidInput(f"{option} are numbers such as 10,60,110; got {text[:40]!r}.")
    return tuple(sorted({int(word) for word in words}))


def _name(source: Source) -> str:
    if source.folders:
        return ", ".join(folder.resolve().name for folder in source.folders)
    if source.files:
        return source.files[0].name if len(source.files) == 1 else f"{len(source.files)} pictures"
    return "noise"

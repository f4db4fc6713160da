"""`beholder submit`: queue dreams of pictures, of a folder, or of noise."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beholder.defaults import BUILT_IN_RATE
from beholder.devices import DEFAULT_DEVICE, Device
from beholder.errors import InvalidInput, NoPictures
from beholder.layers import LAYERS, is_number, parse_channels, parse_layers
from beholder.networks import WEIGHT_SUFFIXES, check_channels_of
from beholder.precisions import DEFAULT_PRECISION, DreamPrecision
from beholder.priorities import DEFAULT_PRIORITY, Priority
from beholder.recipes import DEFAULT_RECIPE, beside_pictures
from beholder.texts import cut_name
from cli.context import Context
from cli.options import in_options
from cli.output import JsonOption, say
from cli.queueing import Source, prepare, queue_job, report

if TYPE_CHECKING:
    from beholder.specs import DreamSpec

NO_GPU = (
    "tf32 needs a CUDA GPU, and no worker that is alive reports one: without, the job fails. "
    "float32 and bf16 run anywhere."
)
SLOW = "little shows on specimens at the article's learning rate of 0.01:"
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


RecipeOption = Annotated[
    str, typer.Option(help="Whose defaults hold: one that `beholder recipes` lists.")
]


def submit(
    pictures: Annotated[
        list[Path] | None, typer.Argument(help="Picture files.", show_default=False)
    ] = None,
    folders: Annotated[
        list[Path] | None,
        typer.Option("--dir", "-d", help="A folder of pictures; may be repeated."),
    ] = None,
    recursive: RecursiveOption = False,
    recipe: RecipeOption = DEFAULT_RECIPE,
    layer: Annotated[
        str | None,
        typer.Option(
            help='Layers: "35", "relu5_4", "10-20", "conv4_1,28", "kind:pool", "all". Default: 35.',
            show_default=False,
        ),
    ] = None,
    channel: Annotated[
        str | None,
        typer.Option(help='Only these channels: "17", "3,17,40", "0-7".', show_default=False),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            help='In the place of both: "conv5_1:100 + conv4_2:17*0.5 - tv*0.001".',
            show_default=False,
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Of all octaves together. Article: 30.", show_default=False)
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Of each step. Article: 0.01; 0.5 suits specimens.", show_default=False),
    ] = None,
    snapshots: Annotated[
        str | None,
        typer.Option(help='Steps to keep besides the last: "10,60,110".', show_default=False),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            help='Side of the centre crop in pixels, or "keep" for its own size. Article: 224.',
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Of noise, which uses seed + i, and of what else is random.")
    ] = 0,
    network: NetworkOption = None,
    noise: Annotated[
        int | None,
        typer.Option(help="This many dreams that start from noise.", show_default=False),
    ] = None,
    measure: Annotated[
        str | None,
        typer.Option(
            help="Of layers whose term names none: norm, squared, mean, caricature, guide.",
            show_default=False,
        ),
    ] = None,
    octaves: Annotated[
        int | None, typer.Option(help="In how many sizes to dream.", show_default=False)
    ] = None,
    octave_scale: Annotated[
        float | None,
        typer.Option(help="How many times as large each is as the last.", show_default=False),
    ] = None,
    jitter: Annotated[
        int | None, typer.Option(help="Pixels to shift by at each step.", show_default=False)
    ] = None,
    gradient: Annotated[
        str | None, typer.Option(help="plain, or scaled to even steps.", show_default=False)
    ] = None,
    smoothing: Annotated[
        float | None,
        typer.Option(help="Deviation in pixels that gradients are blurred by.", show_default=False),
    ] = None,
    optimiser: Annotated[
        str | None, typer.Option(help="ascent, adam or nadam.", show_default=False)
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            help="Of the learning rate: constant, linear or cosine, both to 0.", show_default=False
        ),
    ] = None,
    parameters: Annotated[
        str | None,
        typer.Option(help="What changes: pixels, fourier or phase.", show_default=False),
    ] = None,
    transforms: Annotated[
        str | None,
        typer.Option(help="What spectra are seen through: none, lucid, crops.", show_default=False),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(help="A picture: where it is black nothing changes.", show_default=False),
    ] = None,
    guide: Annotated[
        Path | None,
        typer.Option(help="A picture to go toward (guide, caricature).", show_default=False),
    ] = None,
    keep_colour: Annotated[
        bool, typer.Option("--keep-colour", help="Let brightness dream, and keep the colours.")
    ] = False,
    blend: Annotated[
        float | None,
        typer.Option(help="How much of the start is mixed in: 0 to 1.", show_default=False),
    ] = None,
    zoom: Annotated[
        float | None,
        typer.Option(
            help="Make a film of --frames: each starts from the one before, so much larger (1.05).",
            show_default=False,
        ),
    ] = None,
    frames: Annotated[int, typer.Option(help="With --zoom: how many.")] = 1,
    carry: Annotated[
        float | None,
        typer.Option(
            help="The pictures are a film's frames: mix so much of the dream before into each "
            "(0.5).",
            show_default=False,
        ),
    ] = None,
    normalize: Annotated[
        bool | None,
        typer.Option(
            "--normalize/--raw",
            help="Feed ImageNet-normalised pixels, or raw as the article does.",
            show_default=False,
        ),
    ] = None,
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
    if objective is not None and layer is not None:  # a spec is whole, and has both
        raise InvalidInput("--layer: the objective names its own; leave it out.")
    context = Context()
    layers = None if layer is None else parse_layers(layer)

    def lacks(channels: Sequence[int]) -> None:
        for index in layers or ():
            check_channels_of(network or context.desk.network, LAYERS[index], channels)

    given: dict[str, Any] = {
        "recipe": recipe,
        "size": None if size is None else parse_size(size),
        "normalize": normalize,
        "layers": layers,
        "channels": None if channel is None else parse_channels(channel, lacks),
        "snapshots": None if snapshots is None else parse_steps(snapshots),
        "objective": objective,
        "steps": steps,
        "learning_rate": learning_rate,
        "noise": noise,
        "measure": measure,
        "octaves": octaves,
        "octave_scale": octave_scale,
        "jitter": jitter,
        "gradient": gradient,
        "smoothing": smoothing,
        "optimiser": optimiser,
        "schedule": schedule,
        "parameters": parameters,
        "transforms": transforms,
        "blend": blend,
    }
    source = Source(tuple(pictures or ()), tuple(folders or ()), recursive)
    fields = {field: value for field, value in given.items() if value is not None}
    spec = _spec(
        context,
        {"mask": mask, "guide": guide},
        network=network_name(context, network),
        pre_relu=pre_relu,
        seed=seed,
        keep_colour=keep_colour,
        zoom=zoom,
        frames=frames,
        carry=carry,
        precision=precision,
        **(beside_pictures(fields) if source.files or source.folders else fields),
    )
    if not (source.files or source.folders or spec.noise):
        raise NoPictures("name pictures, a folder (--dir DIR), or --noise N.")
    prepare(context, spec, wait=wait, output=output)
    created = queue_job(
        context.desk, spec, [source], name=name or _name(source), priority=priority, device=device
    )
    if precision == "tf32" and not context.desk.gpu_is_known_of():
        say(NO_GPU)
    if recipe == DEFAULT_RECIPE and learning_rate is None and spec.network == "specimens":
        say(f"{SLOW} --learning-rate {BUILT_IN_RATE} suits it.")
    report(context, created, wait=wait, output=output, as_json=json)


def _spec(context: Context, named: dict[str, Path | None], **fields: Any) -> "DreamSpec":
    """The spec. named: files of pictures that it names, which are kept once all else is right."""
    from beholder.specs import DreamSpec

    files = {field: file for field, file in named.items() if file is not None}
    with in_options():
        DreamSpec.build(**fields, **dict.fromkeys(files, "0" * 64))
    hashes = {field: context.desk.take_one(file).sha256 for field, file in files.items()}
    return DreamSpec.build(**fields, **hashes)


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


def folders_name(folders: Sequence[Path]) -> str:
    """What to call a job of these, where nobody says."""
    return cut_name(", ".join(folder.resolve().name for folder in folders))


def _name(source: Source) -> str:
    if source.folders:
        return folders_name(source.folders)
    if source.files:
        first, *others = source.files
        return f"{1 + len(others)} pictures" if others else cut_name(first.name)
    return "noise"

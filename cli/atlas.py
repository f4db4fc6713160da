"""`beholder atlas`: dreams of a layer's channels, queued and laid out on a page that zooms."""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from beholder.errors import InvalidInput, NotFound, PictureError
from beholder.layers import Layer, find_layer, parse_channels
from beholder.networks import check_channels_of, width_divisor
from beholder.priorities import Priority
from beholder.recipes import DEFAULT_CHANNEL_RECIPE, NoiseRecipe
from cli.context import Context
from cli.desk import asking, result
from cli.features import say_made
from cli.files import make_folder, write_file
from cli.options import in_options
from cli.output import amount, plural, say
from cli.progress import RUNNING_LOOKED_AT
from cli.queueing import prepare, running_service
from cli.submit import NetworkOption, WaitOption, network_name

if TYPE_CHECKING:
    from beholder.atlas.page import Tile
    from beholder.jobs.channel_dreams import ChannelDream, Place
    from beholder.specs import DreamSpec

POLL_S = 1.0
SAID_EVERY_S = 10.0
THREADS = 4
TILE = 224  # pixels a side at most, which the page shows a picture in


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(atlas)


def atlas(
    layer: Annotated[str, typer.Option(help='The layer: "conv5_1", "28".')],
    channel: Annotated[
        str | None, typer.Option(help='Only these channels: "0-63". Default: all.')
    ] = None,
    network: NetworkOption = None,
    recipe: Annotated[
        NoiseRecipe, typer.Option(help="How to dream, as `beholder recipes` says.")
    ] = DEFAULT_CHANNEL_RECIPE,
    steps: Annotated[
        int | None,
        typer.Option(help="Steps of each dream. Default: the recipe's.", show_default=False),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Of each step. Default: the recipe's.", show_default=False),
    ] = None,
    size: Annotated[int, typer.Option(help="Side of each dream in pixels.")] = 128,
    priority: Annotated[Priority, typer.Option(help="high, normal or low.")] = "low",
    link: Annotated[
        str | None,
        typer.Option(help="A running page's address, to whose channels the atlas is to link."),
    ] = None,
    wait: WaitOption = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file. Default: atlas-LAYER.html.")
    ] = None,
) -> None:
    """Queue a dream of each of a layer's channels that has none, and lay out those that are there.

    Run it again for what has come meanwhile.
    """
    from beholder.jobs.features import channel_spec

    context = Context()
    name = network_name(context, network)
    with in_options():
        spec = channel_spec(name, recipe, steps=steps, learning_rate=learning_rate, size=size)
    row = find_layer(layer)
    places = [(row.index, number) for number in _channels(row, channel, spec.network)]
    prepare(context, spec, wait=wait, output=None)
    made = context.desk.queue_channels(places, spec, name="atlas", priority=priority)
    say_made(made)
    if wait:
        _wait(context, list(made.queued.values()))
    tiles = _tiles(context, spec, places, link)
    _write(output or Path(f"atlas-{row.name}.html"), row, spec.network, tiles)


def _channels(layer: Layer, text: str | None, network: str) -> Sequence[int]:
    divisor = width_divisor(network)
    if text is not None:
        check = partial(check_channels_of, network, layer)
        found = parse_channels(text, check)
        check(found)
        return found
    if divisor is None:
        raise InvalidInput(
            f"how many channels {layer.name} has, only the network's file knows: name them, such "
            "as --channel 0-63."
        )
    return range(layer.channels // divisor)


def _wait(context: Context, job_ids: Sequence[str]) -> None:
    """Until all of these have ended; runs what they need meanwhile."""
    said, last, total = float("-inf"), "", len(job_ids)
    with running_service(context) as ensure:
        while left := context.desk.still_open(job_ids):
            ensure()
            if time.monotonic() - said >= SAID_EVERY_S:
                said = time.monotonic()
                line = f"{total - left:,} of {plural(total, 'dream')}{under_way(context, job_ids)}"
                if line != last:
                    say(line)
                last = line
            time.sleep(POLL_S)


def under_way(context: Context, job_ids: Sequence[str]) -> str:
    """ ", 4 under way, 35% through": those that share a batch end together."""
    ours = set(job_ids)
    looked_at = context.desk.jobs(state="running", limit=RUNNING_LOOKED_AT)
    running = [job.id for job in looked_at if job.id in ours]
    if not running:
        return ""
    try:
        job, through = next(iter(context.desk.watch(running[0])))
    except NotFound:  # deleted meanwhile
        return ""
    return f", {len(running):,} under way, {through / max(job.total, 1):.0%} through"


def _tiles(
    context: Context, spec: "DreamSpec", places: "Sequence[Place]", link: str | None
) -> "list[Tile]":
    from beholder.atlas.page import Tile

    found = context.desk.channel_dreams(spec, places)

    def picture(place: "Place") -> bytes | None:
        return _small(context, place, found[place]) if place in found else None

    with asking(context.desk, THREADS) as threads:
        pictures = list(threads.map(picture, places))
    return [
        Tile(channel, webp, _address(link, spec.network, layer, channel) if link else "")
        for (layer, channel), webp in zip(places, pictures, strict=True)
    ]


def _small(context: Context, place: "Place", dream: "ChannelDream") -> bytes | None:
    """A dream as it is shown; None, said, where it is lost or damaged."""
    from beholder.report.thumbs import small

    try:
        data = result(context.desk, dream.job_id, dream.position, dream.file)
        return small(data, max_pixels=context.settings.max_pixels, side=TILE)
    except (NotFound, PictureError) as error:
        say(f"channel {place[1]}: {error}")
        return None


def _address(link: str, network: str, layer: int, channel: int) -> str:
    """A channel's page."""
    name = find_layer(str(layer)).name
    return f"{link.rstrip('/')}/channels/{quote(network, safe=':')}/{name}/{channel}"


def _write(path: Path, layer: Layer, network: str, tiles: "Sequence[Tile]") -> None:
    from beholder.atlas.page import render_atlas
    from beholder.provenance import network_word

    there = sum(tile.webp is not None for tile in tiles)
    if not there:
        say("None of them is there yet: run this again later, or add --wait.")
        return
    shown = (
        plural(there, "channel") if there == len(tiles) else f"{there:,} of {len(tiles):,} channels"
    )
    page = render_atlas(f"{layer.index} {layer.name}", f"{network_word(network)}, {shown}", tiles)
    make_folder(path.parent)
    write_file(path, page.encode())
    say(f"{path} written: {shown}, {amount(len(page))}")

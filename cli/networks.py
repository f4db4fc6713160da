"""`beholder layers`, `networks` and `recipes`: what there is to look into, and how."""

from typing import TYPE_CHECKING, Annotated

import typer

from beholder.networks import check_network, width_divisor
from cli.context import Context
from cli.output import JsonOption, console, print_json, say, table

if TYPE_CHECKING:
    from beholder.settings import Settings


def layers(
    network: Annotated[
        str | None,
        typer.Option(
            help="Whose channels to show: vgg19, specimens, random:SEED, a path. Default: the one "
            "that jobs take."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the 37 layers: index, name, kind, channels, stride and receptive field in pixels."""
    from beholder.catalogue import layer_rows

    divisor = width_divisor(check_network(network or Context().desk.network))
    if divisor is None:
        say("Channels as VGG19 has them; a file's own are known once a worker has loaded it.")
    rows = layer_rows(divisor or 1)
    if json:
        print_json(rows)
    else:
        console().print(table(list(rows[0]), rows))


def networks(
    download: Annotated[
        bool, typer.Option("--download", help="Download vgg19's weights now, if they are not here.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """List the networks, and whether their weights are on this machine."""
    context = Context()
    if download:
        download_weights(context.own)
    rows = context.desk.networks()
    if json:
        print_json(rows)
        return
    shown = [{**row, "here": _words(row["here"])} for row in rows]
    console().print(table(["name", "here", "summary"], shown))


def recipes(json: JsonOption = False) -> None:
    """List the recipes of dreams, and what each sets that the article's does not."""
    from beholder.catalogue import recipe_rows

    rows = recipe_rows()
    if json:
        print_json(rows)
        return
    for row in rows:
        defaults = row["defaults"].items()
        row["defaults"] = ", ".join(f"{field} {_written(value)}" for field, value in defaults)
        del row["source"]
    console().print(table(["name", "summary", "defaults"], rows))


def _written(value: object) -> str:
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)


def download_weights(settings: "Settings") -> None:
    """Fetch vgg19's weights with a progress bar; nothing happens if they are here and right."""
    from beholder.science.imagenet import imagenet_file

    imagenet_file(settings.networks_dir, progress=True)


def _words(here: bool | None) -> str:
    return {True: "yes", False: "no", None: "as you name it"}[here]

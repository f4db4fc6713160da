"""`beholder features`: dreams of the channels that a study found."""

from typing import TYPE_CHECKING, Annotated

import typer

from beholder.layers import LAYERS
from beholder.priorities import Priority
from beholder.recipes import DEFAULT_CHANNEL_RECIPE, NoiseRecipe
from cli.context import Context
from cli.options import in_options
from cli.output import JsonOption, plural, print_json, say

if TYPE_CHECKING:
    from beholder.jobs.features import Features

DEFAULT_LIMIT = 24


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(features)


def features(
    study: Annotated[str, typer.Argument(help="A study's id, or its beginning.", metavar="STUDY")],
    limit: Annotated[
        int, typer.Option(min=1, help="Dreams of this many of its channels, the first by rank.")
    ] = DEFAULT_LIMIT,
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
    priority: Annotated[Priority, typer.Option(help="high, normal or low.")] = "low",
    json: JsonOption = False,
) -> None:
    """Queue a dream of each channel that a study found, from noise; a job a channel."""
    from beholder.jobs.features import channel_spec

    desk = Context().desk
    job = desk.job(study)
    with in_options():  # here, where the options are known
        channel_spec(job.network, recipe, steps=steps, learning_rate=learning_rate)
    made = desk.features(
        job,
        limit=limit,
        recipe=recipe,
        steps=steps,
        learning_rate=learning_rate,
        priority=priority,
    )
    say_made(made)
    if made.left:
        say(f"{plural(made.left, 'more channel')} found: --limit {limit + made.left} takes all.")
    rows = [
        {"job": made_job, "layer": layer, "layer_name": LAYERS[layer].name, "channel": channel}
        for (layer, channel), made_job in made.queued.items()
    ]
    if json:
        print_json(rows)
    else:
        for row in rows:
            print(row["job"])


def say_made(made: "Features") -> None:
    """How many dreams of channels were queued, and how many are there already."""
    say(f"{plural(len(made.queued), 'dream')} queued, {len(made.there):,} there or queued already.")
    if made.other:
        say(
            f"{made.other:,} of those there have other steps, learning rates or sizes than this "
            "asks for: `beholder gc --job JOB --yes` makes way for a new one."
        )

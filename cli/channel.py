"""Channels over all studies: `channel`, `overlap`, and what `channels --for` shows."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beholder.errors import InvalidChannel, InvalidInput, NotFound
from beholder.layers import LAYERS, Layer, find_layer, is_number
from beholder.networks import check_channels_of
from cli.context import Context
from cli.output import JsonOption, console, plural, print_csv, print_json, say, table

if TYPE_CHECKING:
    from beholder.jobs.contrast_queries import Contrast
    from beholder.jobs.overlap_queries import Overlap
    from beholder.jobs.record_views import ChannelRecord
    from cli.desk import Desk

CLASSES = ("class", "n", "fraction_active", "mean", "deviation", "maximum", "studies", "as_target")
EFFECTS = (
    "study", "target", "method", "rank", "score", "effect", "interval", "on_others",
    "on_others_interval",
)  # fmt: skip
EXEMPLARS = ("kind", "strength", "source", "group", "region", "study")
LAYERS_SHARED = ("layer", "layer_name", "width", "first", "second", "shared", "expected")
CONTRAST = (
    "layer", "layer_name", "channel", "difference", "label", "mean", "active", "other",
    "other_mean", "other_active",
)  # fmt: skip
SHOWN = 12  # classes, effects; channels of an overlap


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(channel)
    app.command()(overlap)


def channel(
    channel: Annotated[
        str,
        typer.Argument(
            help='A layer and a channel of it: "conv5_1/100", "29/100".', metavar="CHANNEL"
        ),
    ],
    network: Annotated[
        str | None,
        typer.Option(help="Only this network: a name, or the beginning of its weights' hash."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show all that studies found of one channel, over all of them."""
    from beholder.jobs.record_document import document_of

    layer, number = parse_place(channel)
    desk = Context().desk
    try:
        records = desk.records(layer=layer.index, channel=number, network=network)
    except (NotFound, InvalidInput):
        check_channels_of(network or desk.network, layer, [number])
        raise
    if json:
        print_json(document_of(records))
        return
    for record in records:
        if record.layer != layer.index:
            say(f"{layer.name} is read after its ReLU: this is {record.layer_name}'s record.")
        _show(record)


def overlap(
    first: Annotated[str, typer.Argument(help="A study's id, or its beginning.", metavar="FIRST")],
    second: Annotated[str, typer.Argument(help="Another's.", metavar="SECOND")],
    json: JsonOption = False,
) -> None:
    """Compare what two studies chose: what is in both, in one alone, and what chance would give."""
    desk = Context().desk
    found = desk.overlap(desk.job(first), desk.job(second))
    if not found.alike:
        say(
            "The studies' pictures have another size or normalisation: channels may differ by that."
        )
    if json:
        print_json(found.row())
        return
    _show_overlap(found)


def parse_place(text: str) -> tuple[Layer, int]:
    """A layer and its channel, as in "conv5_1/100". Raises InvalidChannel or InvalidLayer."""
    word, slash, number = text.strip().rpartition("/")
    if not slash or not is_number(number):
        raise InvalidChannel(
            f"a channel is written with its layer, as in conv5_1/100; got {text[:40]!r}."
        )
    return find_layer(word), int(number)


def show_contrast(
    desk: "Desk",
    wanted: Sequence[str],
    others: Sequence[str],
    *,
    study: str | None,
    network: str | None,
    layers: Sequence[int] | None,
    limit: int,
    as_format: str,
) -> None:
    """Print the channels that are for some classes and not for others."""
    found = desk.contrast(
        wanted,
        others,
        network=network,
        study=desk.job(study).id if study else None,
        layers=None if layers is None else relu_layers(layers),
        limit=limit,
    )
    _explain(found)
    rows = [row.row() for row in found.channels]
    if as_format == "json":
        print_json(rows)
    elif as_format == "csv":
        print_csv(CONTRAST, rows)
    elif rows:
        console().print(table(CONTRAST, rows))


def relu_layers(layers: Sequence[int]) -> list[int]:
    """The ReLU layers that stand for these; a pool has none. Raises InvalidInput without any."""
    from beholder.jobs.exemplar_queries import kept_layer

    kept = sorted({kept_layer(layer) for layer in layers})
    found = [layer for layer in kept if LAYERS[layer].kind == "relu"]
    if not found:
        raise InvalidInput(
            "pools have no records, being functions of ReLUs: name those before them."
        )
    return found


def _explain(found: "Contrast") -> None:
    """What was held against what, and the rule."""
    sides = [
        " and ".join(f"{label} ({plural(n, 'picture')})" for label, n in side.items())
        for side in (found.labels, found.others)
    ]
    say(f"{sides[0]} against {sides[1]}, on {found.inputs.words()}.")
    say("difference: of mean strengths, in pooled deviations; the least over the classes given.")
    for inputs in found.elsewhere:
        say(f"Also measured, and not mixed in: {inputs.words()}; --network or --study picks it.")
    if not found.channels:
        say("No channel is stronger for the one and not for the other.")


def _show(record: "ChannelRecord") -> None:
    """One record, for people."""
    say(f"{record.layer_name}/{record.channel} on {record.inputs.words()}")
    say(f"{_flags(record)}; active in {record.active:,} of {plural(record.n, 'picture')}.")
    if record.chosen_in:
        say(f"ablated by {_some(record.chosen_in)}")
    if record.correlated:
        most = [f"{other} (r {r:.2f})" for other, r in record.correlated.channels]
        say(f"correlated channels, in study {record.correlated.study}: {_some(most)}")
    for file in record.dreams:
        say(f"dream: {file.path}")
    shown = console()
    rows = [one.row() for one in record.classes]
    shown.print(table(CLASSES, rows[:SHOWN], title=_title("classes", rows)))
    if record.effects:
        rows = [_effect(one.row()) for one in record.effects]
        shown.print(table(EFFECTS, rows[:SHOWN], title=_title("ablated alone, log-odds", rows)))
    if record.exemplars:
        rows = [{**one.row(), "region": _region(one.region)} for one in record.exemplars]
        shown.print(table(EXEMPLARS, rows, title="pictures"))


def _flags(record: "ChannelRecord") -> str:
    from beholder.jobs.record_views import FLAGGED_FROM

    if record.dead is None:
        return f"fewer than {FLAGGED_FROM} pictures: too few to say whether it is dead or always on"
    return (
        "dead" if record.dead else "always on" if record.always_on else "neither dead nor always on"
    )


def _title(what: str, rows: Sequence[object]) -> str:
    return what if len(rows) <= SHOWN else f"{what}, {SHOWN} of {len(rows):,} (--json has all)"


def _effect(row: dict[str, Any]) -> dict[str, Any]:
    """With its intervals as words. Others are siblings and controls together, as in a report."""
    row["on_others"] = row["control_effect"]
    for name, shown in (("effect", "interval"), ("control_effect", "on_others_interval")):
        low, high = row[f"{name}_low"], row[f"{name}_high"]
        row[shown] = None if low is None else f"{low:.3g} to {high:.3g}"
    return row


def _region(box: tuple[float, ...] | None) -> str | None:
    """ "40-75% across, 10-30% down"."""
    if box is None:
        return None
    left, top, right, bottom = (round(100 * side) for side in box)
    return f"{left}-{right}% across, {top}-{bottom}% down"


def _show_overlap(found: "Overlap") -> None:
    either = len(found.shared) + len(found.only_first) + len(found.only_second)
    say(
        f"{len(found.shared)} of {either} channels are in both (Jaccard {found.jaccard:.2f}); sets "
        f"of these sizes share {found.expected:.2g} by chance, so many or more with p "
        f"{found.p:.2g}."
    )
    say("ReLU layers alone: convolutions repeat them, pools are functions of them.")
    for what, places in (
        ("both", found.shared),
        (f"only {found.first}", found.only_first),
        (f"only {found.second}", found.only_second),
    ):
        say(f"{what}: {_some([f'{LAYERS[layer].name}/{number}' for layer, number in places])}")
    console().print(table(LAYERS_SHARED, [layer.row() for layer in found.layers]))


def _some(words: Iterable[str]) -> str:
    """The first of them, and how many more there are."""
    listed = list(words)
    more = f" and {len(listed) - SHOWN:,} more" if len(listed) > SHOWN else ""
    return (", ".join(listed[:SHOWN]) or "none") + more

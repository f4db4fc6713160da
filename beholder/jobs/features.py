"""Dreams of single channels: `queue_features` for a study's, `queue_channels` for any others.

`newest_dreams` and `dreams_of` find what there is, whether it was asked for by layer and channel or
as an objective.

One job a channel, since channels of one job are one objective; those of spectra share batches all
the same (`DreamSpec.channels_apart`). A convolution's dream is its ReLU's, but for one made with
pre_relu.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import Select, and_, func, or_, select

from beholder.errors import Conflict, InvalidInput
from beholder.jobs.channel_models import Channel, ChannelEffect
from beholder.jobs.database import Database
from beholder.jobs.exemplar_queries import kept_layer
from beholder.jobs.models import OPEN, File, Item, Job
from beholder.jobs.network_queries import on_network
from beholder.jobs.outcomes import StoredFile
from beholder.jobs.queries import get_job
from beholder.jobs.submit import create_job, noise_entries
from beholder.jobs.views import JobView, columns_of, layer_name
from beholder.layers import LAYERS
from beholder.priorities import Priority
from beholder.recipes import (
    DEFAULT_CHANNEL_RECIPE,
    DEFAULT_RECIPE,
    DreamRecipe,
    NoiseRecipe,
)
from beholder.specs import DreamSpec
from beholder.terms import Term

Place = tuple[int, int]  # layer and channel
FEATURE_STEPS = 60
# The built-in network is narrow, and its gradients are small.
_RATES = {"specimens": 0.5}
_RATE = 0.1
_NEWEST = (Job.created_at.desc(), Job.id.desc())
_STATES = {"done": ("done",), "open": OPEN, "any": ("done", *OPEN)}
_RELUS = tuple(layer.index for layer in LAYERS if layer.kind == "relu")


@dataclass(frozen=True)
class Features:
    """What came of a study's channels. there: those dreamt, or queued, before. left: over limit.

    queued: the ids of the new jobs.
    """

    queued: dict[Place, str]
    there: tuple[Place, ...]
    left: int

    def row(self) -> dict[str, Any]:
        """As a JSON document."""
        queued = [
            {"job": job, "layer": layer, "channel": channel}
            for (layer, channel), job in self.queued.items()
        ]
        there = [list(place) for place in self.there]
        return {"queued": queued, "there": there, "left": self.left}


@dataclass(frozen=True)
class ChannelDream:
    """A picture of a channel's dream after its last step, and which item of which job it is of."""

    job_id: str
    position: int
    file: StoredFile


def feature_rate(network: str) -> float:
    """The learning rate that dreams of single channels take on this network."""
    return _RATES.get(network, _RATE)


def channel_spec(
    network: str,
    recipe: NoiseRecipe,
    *,
    steps: int | None = None,
    learning_rate: float | None = None,
    **fields: Any,
) -> DreamSpec:
    """Of a dream of a channel from noise; what is None is the recipe's, or fits the article's.

    Raises InvalidInput.
    """
    if recipe == "article":
        steps = FEATURE_STEPS if steps is None else steps
        learning_rate = feature_rate(network) if learning_rate is None else learning_rate
    given = {"steps": steps, "learning_rate": learning_rate}
    fields |= {name: value for name, value in given.items() if value is not None}
    return DreamSpec.build(network=network, recipe=recipe, **{"noise": 1, **fields})


def queue_features(
    database: Database,
    study: JobView,
    *,
    limit: int,
    recipe: NoiseRecipe = DEFAULT_CHANNEL_RECIPE,
    steps: int | None = None,
    learning_rate: float | None = None,
    priority: Priority = "low",
) -> Features:
    """Queue a dream from noise of each of the study's channels that has none, the first by rank.

    limit: how many of the channels. Raises InvalidInput for a dream, Conflict where the study has
    no channels.
    """
    found = study_channels(database, study)
    alike: dict[str, Any] = {}
    if recipe == "article":  # as the study saw its pictures; the others have their own ways
        size = study.spec["size"]
        alike = {"normalize": study.spec["normalize"]} | ({} if size == "keep" else {"size": size})
    spec = channel_spec(study.network, recipe, steps=steps, learning_rate=learning_rate, **alike)
    made = queue_channels(
        database, found[:limit], spec, name=study.name or study.id, priority=priority
    )
    return replace(made, left=max(0, len(found) - limit))


def queue_channels(
    database: Database,
    wanted: Sequence[Place],
    spec: DreamSpec,
    *,
    name: str,
    priority: Priority = "low",
) -> Features:
    """Queue a dream like `spec` of each of these channels that has none of its recipe's there.

    name: begins the jobs' names. Raises InvalidChannel.
    """
    there, queued = _dreamt(database, spec.network, wanted, "any", spec.recipe), {}
    for layer, channel in wanted:
        if (layer, channel) in there:
            continue
        fields = spec.model_dump() | {"layers": (layer,), "channels": (channel,)}
        one = DreamSpec.build(**fields)
        title = f"{name} {layer_name(layer)}/{channel}".lstrip()
        created = create_job(database, one, noise_entries(one), name=title, priority=priority)
        queued[layer, channel] = created.id
    return Features(queued, tuple(there), 0)


def still_open(database: Database, job_ids: Collection[str]) -> int:
    """How many of these jobs have not ended."""
    statement = select(func.count()).where(Job.id.in_(job_ids), Job.state.in_(OPEN))
    with database.read() as session:
        return session.scalar(statement) or 0


def study_channels(database: Database, study: JobView) -> list[Place]:
    """The ReLU channels that a study found, best first.

    Of a sound study as its method ranks them; else by count, and by how much stronger they are for
    the targets. Raises InvalidInput or Conflict.
    """
    if study.kind != "study":
        raise InvalidInput(
            f"job {study.id} is a dream: `beholder jobs --kind study` lists studies."
        )
    with database.read() as session:
        for statement in (_by_rank(study.id), _by_count(study.id)):
            if found := [(layer, channel) for layer, channel in session.execute(statement)]:
                return found
    if study.target_pictures is None:
        raise Conflict(
            f"study {study.id} has chosen no channels yet ({study.state}): `beholder watch "
            f"{study.id}`."
        )
    raise Conflict(f"study {study.id} chose no channel of a ReLU layer: there is nothing to dream.")


def dreams_of(
    database: Database,
    network: str,
    channels: Collection[Place],
    recipe: DreamRecipe | None = None,
) -> dict[Place, list[StoredFile]]:
    """The files of `newest_dreams`."""
    found = newest_dreams(database, network, channels, recipe)
    return {place: [dream.file for dream in dreams] for place, dreams in found.items()}


def newest_dreams(
    database: Database,
    network: str,
    channels: Collection[Place],
    recipe: DreamRecipe | None = None,
) -> dict[Place, list[ChannelDream]]:
    """The pictures of each channel's newest finished dream on a network, the last step of each.

    network: a name, or the beginning of its weights' hash. recipe: None for whichever is newest.
    Channels without one are left out.
    """
    jobs = _dreamt(database, network, channels, "done", recipe)
    if not jobs:
        return {}
    columns = [getattr(File, name) for name in columns_of(StoredFile)]
    last = func.row_number().over(partition_by=File.item_id, order_by=File.step.desc())
    statement = (
        select(Item.job_id, Item.position, last.label("place"), *columns)
        .join(File, File.item_id == Item.id)
        .where(Item.job_id.in_(jobs.values()))
        .order_by(Item.job_id, Item.position, File.step.desc())
    )
    found: dict[str, list[ChannelDream]] = {}
    with database.read() as session:
        for job, position, place, *values in session.execute(statement):
            if place == 1:
                dream = ChannelDream(job, position, StoredFile(*values))
                found.setdefault(job, []).append(dream)
    return {place: found[job] for place, job in jobs.items() if job in found}


def dream_job(
    database: Database, *, network: str, layer: int, channel: int, finished: bool
) -> JobView | None:
    """The newest job of this channel's dream: a done one, or one that is open."""
    place = (layer, channel)
    found = _dreamt(database, network, [place], "done" if finished else "open", None)
    return get_job(database, found[place]) if place in found else None


def _by_rank(study: str) -> Select[int, int]:
    rows = select(ChannelEffect.layer, ChannelEffect.channel)
    return rows.where(ChannelEffect.job_id == study).order_by(ChannelEffect.rank)


def _by_count(study: str) -> Select[int, int]:
    apart = (Channel.mean - Channel.control_mean) / (
        Channel.deviation + Channel.control_deviation + 1e-12
    )
    return (
        select(Channel.layer, Channel.channel)
        .where(Channel.job_id == study, Channel.chosen, Channel.layer.in_(_RELUS))
        .order_by(Channel.count.desc(), apart.desc().nulls_last(), Channel.layer, Channel.channel)
    )


def _dreamt(
    database: Database,
    network: str,
    wanted: Collection[Place],
    state: Literal["done", "open", "any"],
    recipe: DreamRecipe | None,
) -> dict[Place, str]:
    """The newest dream of each channel alone: finished, such as are still to be, or either."""
    asked: dict[Place, list[Place]] = {}
    for layer, channel in wanted:
        asked.setdefault((kept_layer(layer), channel), []).append((layer, channel))
    places = {text: place for place in asked for text in _objectives(place)}
    layers, channels = Job.spec["layers"], Job.spec["channels"]
    objective = Job.spec["objective"].as_string()
    by_fields = and_(
        channels[0].as_integer().in_({number for _, number in asked}),
        channels[1].as_integer().is_(None),
        layers[1].as_integer().is_(None),
    )
    statement = (
        select(
            Job.id,
            layers[0].as_integer(),
            channels[0].as_integer(),
            objective,
            Job.spec["pre_relu"].as_boolean(),
        )
        .where(
            Job.kind == "dream",
            on_network(network),
            Job.state.in_(_STATES[state]),
            or_(by_fields, objective.in_(list(places))),
        )
        .order_by(*_NEWEST)
    )
    if recipe is not None:
        its_recipe = func.coalesce(Job.spec["recipe"].as_string(), DEFAULT_RECIPE)
        statement = statement.where(its_recipe == recipe)
    found: dict[Place, str] = {}
    with database.read() as session:
        for job, its_layer, its_channel, text, raw in session.execute(statement):
            channel = its_channel if text is None else places[text][1]
            kept = its_layer if raw else kept_layer(its_layer)
            for place in asked.get((kept, channel), ()):
                found.setdefault(place, job)
    return found


def _objectives(place: Place) -> Iterator[str]:
    """A channel alone as an objective may have it, in the canonical form that is stored."""
    kept, channel = place
    for layer in {kept, max(0, kept - 1)}:
        if kept_layer(layer) == kept:
            for measure in (None, "norm", "squared", "mean"):
                yield str(Term(measure=measure, layer=layer, channels=(channel,)))

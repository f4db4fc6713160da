"""The dreams of single channels: `newest_dreams` finds those from noise, `dreams_of` any.

Be they asked for by layer and channel or as an objective. A convolution's dream is its
ReLU's, but for one made with pre_relu. features.py queues them.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, and_, func, or_, select, tuple_

from beholder.jobs.database import Database
from beholder.jobs.exemplar_queries import kept_layer
from beholder.jobs.models import OPEN, File, Item, Job
from beholder.jobs.network_queries import on_network
from beholder.jobs.outcomes import StoredFile
from beholder.jobs.queries import get_job
from beholder.jobs.views import JobView, columns_of
from beholder.recipes import DEFAULT_RECIPE, DreamRecipe, recipe_defaults
from beholder.specs import DreamSpec
from beholder.terms import Measure, Term

Place = tuple[int, int]  # layer and channel
_MEASURES: tuple[Measure | None, ...] = (None, "norm", "squared", "mean")
_NEWEST = (Job.created_at.desc(), Job.id.desc())
# What another dream of a channel has to have as it is asked for, besides the recipe's name.
_ALIKE = (
    *("measure", "schedule", "optimiser", "gradient", "smoothing", "octaves", "octave_scale"),
    *("jitter", "parameters", "transforms", "mask", "guide", "keep_colour", "blend", "zoom"),
)
_STATES = {"done": ("done",), "open": OPEN, "any": ("done", *OPEN)}


@dataclass(frozen=True)
class ChannelDream:
    """A picture of a channel's dream after its last step, and which item of which job it is of."""

    job_id: str
    position: int
    file: StoredFile


def dreams_of(
    database: Database,
    network: str,
    channels: Collection[Place],
    recipe: DreamRecipe | None = None,
) -> dict[Place, list[StoredFile]]:
    """The pictures of each channel's newest finished dream on a network, the last step of each.

    network: a name, or the beginning of its weights' hash. recipe: None for whichever is newest.
    Channels without one are left out.
    """
    jobs = dreamt(database, network, channels, "done", recipe)
    found = _last_steps(database, jobs.values())
    return {place: [one.file for one in found[job]] for place, job in jobs.items() if job in found}


def newest_dreams(
    database: Database,
    network: str,
    channels: Collection[Place],
    recipe: DreamRecipe | None = None,
) -> dict[Place, ChannelDream]:
    """The same of dreams from noise alone, which show a channel and no picture: of each the first.

    Pictures that were dreamt by the same job are passed over. Of a recipe only those count that go
    as it has them, whatever their steps, learning rate and size.
    """
    usual = DreamSpec.model_construct(**recipe_defaults(recipe)) if recipe else None
    jobs = dreamt(database, network, channels, "done", recipe, from_noise=True, like=usual)
    first = select(func.min(Item.position)).where(Item.job_id == Job.id, Item.seed.is_not(None))
    starts = select(Job.id, first.correlate(Job).scalar_subquery())
    of_starts = tuple_(Item.job_id, Item.position).in_(starts.where(Job.id.in_(jobs.values())))
    found = _last_steps(database, jobs.values(), of_starts)
    return {place: found[job][0] for place, job in jobs.items() if job in found}


def dream_job(
    database: Database, *, network: str, layer: int, channel: int, finished: bool
) -> JobView | None:
    """The newest job of this channel's dream: a done one, or one that is open."""
    place = (layer, channel)
    found = dreamt(database, network, [place], "done" if finished else "open", None)
    return get_job(database, found[place]) if place in found else None


def dreamt(
    database: Database,
    network: str,
    wanted: Collection[Place],
    state: Literal["done", "open", "any"],
    recipe: DreamRecipe | None,
    *,
    from_noise: bool = False,
    like: DreamSpec | None = None,
) -> dict[Place, str]:
    """The newest dream of each channel alone: finished, such as are still to be, or either.

    from_noise: only of jobs that have such a start, be it beside pictures. like: only those with
    its measure and its way, which is not its steps, learning rate, size and seed.
    """
    asked: dict[Place, list[Place]] = {}
    for layer, channel in wanted:
        asked.setdefault((kept_layer(layer), channel), []).append((layer, channel))
    named = {text: (place, measure) for place in asked for text, measure in _objectives(place)}
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
            Job.spec,
        )
        .where(
            Job.kind == "dream",
            on_network(network),
            Job.state.in_(_STATES[state]),
            or_(by_fields, objective.in_(list(named))),
        )
        .order_by(*_NEWEST)
    )
    if from_noise:
        statement = statement.where(Job.spec["noise"].as_integer() > 0)
    if recipe is not None:
        its_recipe = func.coalesce(Job.spec["recipe"].as_string(), DEFAULT_RECIPE)
        statement = statement.where(its_recipe == recipe)
    found: dict[Place, str] = {}
    with database.read() as session:
        for job, its_layer, its_channel, text, raw, spec in session.execute(statement):
            (_, channel), measure = ((0, its_channel), None) if text is None else named[text]
            if like is not None and not _is_like(spec, measure, like):
                continue
            kept = its_layer if raw else kept_layer(its_layer)
            for place in asked.get((kept, channel), ()):
                found.setdefault(place, job)
    return found


def _last_steps(
    database: Database, job_ids: Collection[str], *which: ColumnElement[bool]
) -> dict[str, list[ChannelDream]]:
    """By job, in order of position: of all its items, or of these, the last file of each."""
    if not job_ids:
        return {}
    columns = [getattr(File, name) for name in columns_of(StoredFile)]
    last = func.row_number().over(partition_by=File.item_id, order_by=File.step.desc())
    statement = (
        select(Item.job_id, Item.position, last.label("place"), *columns)
        .join(File, File.item_id == Item.id)
        .where(Item.job_id.in_(job_ids), *which)
        .order_by(Item.job_id, Item.position, File.step.desc())
    )
    found: dict[str, list[ChannelDream]] = {}
    with database.read() as session:
        for job, position, place, *values in session.execute(statement):
            if place == 1:
                dream = ChannelDream(job, position, StoredFile(*values))
                found.setdefault(job, []).append(dream)
    return found


def _is_like(stored: Mapping[str, Any], measure: Measure | None, like: DreamSpec) -> bool:
    """Whether a job's dreams go as those of `like`; measure: what its objective names."""
    fields = DreamSpec.model_fields
    its = {name: stored.get(name, fields[name].default) for name in _ALIKE}
    its["measure"] = measure or its["measure"]
    return all(its[name] == getattr(like, name) for name in _ALIKE)


def _objectives(place: Place) -> Iterator[tuple[str, Measure | None]]:
    """A channel alone as an objective may have it, in the canonical form that is stored."""
    kept, channel = place
    for layer in {kept, max(0, kept - 1)}:
        if kept_layer(layer) == kept:
            for measure in _MEASURES:
                yield str(Term(measure=measure, layer=layer, channels=(channel,))), measure

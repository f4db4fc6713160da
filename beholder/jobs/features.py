"""Dreams of single channels: `queue_features` for a study's, `queue_channels` for any others.

One job a channel, since channels of one job are one objective; those of spectra share batches all
the same (`DreamSpec.channels_apart`). channel_dreams.py finds what there is.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Select, func, select

from beholder.defaults import BUILT_IN_RATE
from beholder.errors import Conflict, InvalidInput
from beholder.jobs.channel_dreams import Place, dreamt
from beholder.jobs.channel_models import Channel, ChannelEffect
from beholder.jobs.database import Database
from beholder.jobs.models import OPEN, Job
from beholder.jobs.submit import create_job, noise_entries
from beholder.jobs.views import JobView, layer_name
from beholder.layers import LAYERS
from beholder.priorities import Priority
from beholder.recipes import DEFAULT_CHANNEL_RECIPE, NoiseRecipe
from beholder.specs import DreamSpec
from beholder.texts import MAX_NAME, cut_name

FEATURE_STEPS = 60
_RATES = {"specimens": BUILT_IN_RATE}
_RATE = 0.1
_PLACE = 16  # letters of a title that say layer and channel
_OWN = ("steps", "learning_rate", "size")
_RELUS = tuple(layer.index for layer in LAYERS if layer.kind == "relu")


@dataclass(frozen=True)
class Features:
    """What came of a study's channels. there: those dreamt, or queued, before. left: over limit.

    queued: the ids of the new jobs. other: how many of those there have other steps, another
    learning rate or another size than was asked for.
    """

    queued: dict[Place, str]
    there: tuple[Place, ...]
    left: int
    other: int = 0

    def row(self) -> dict[str, Any]:
        """As a JSON document."""
        queued = [
            {"job": job, "layer": layer, "channel": channel}
            for (layer, channel), job in self.queued.items()
        ]
        there = [list(place) for place in self.there]
        return {"queued": queued, "there": there, "left": self.left, "other": self.other}


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
    """Queue a dream like `spec` of each of these channels that has none of its recipe from noise.

    One by the same measure and in the same way will do, whatever its steps, learning rate and size.
    name: begins the jobs' names. Raises InvalidChannel.
    """
    there = dreamt(database, spec.network, wanted, "any", spec.recipe, from_noise=True, like=spec)
    queued = {}
    for layer, channel in wanted:
        if (layer, channel) in there:
            continue
        fields = spec.model_dump() | {"layers": (layer,), "channels": (channel,)}
        one = DreamSpec.build(**fields)
        title = f"{cut_name(name, MAX_NAME - _PLACE)} {layer_name(layer)}/{channel}".lstrip()
        created = create_job(database, one, noise_entries(one), name=title, priority=priority)
        queued[layer, channel] = created.id
    return Features(queued, tuple(there), 0, _differing(database, there, spec))


def _differing(database: Database, there: Mapping[Place, str], spec: DreamSpec) -> int:
    """How many of the dreams that are there are not as long, as fast or as large as `spec`'s."""
    statement = select(Job.id, Job.spec).where(Job.id.in_(there.values()))
    with database.read() as session:
        specs = {row.id: row.spec for row in session.execute(statement)}
    return sum(
        any(specs[job].get(name) != getattr(spec, name) for name in _OWN) for job in there.values()
    )


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

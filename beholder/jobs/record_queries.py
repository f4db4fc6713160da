"""One channel over all studies: `channel_records`, from `measured_classes`, which it merges.

Pictures count once for each set of them: studies of the same folder bring the same digest, and
only the newest one's rows are taken. Sets that share some of their pictures count in full.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, get_args

from sqlalchemy import Select, select

from beholder.errors import InvalidInput
from beholder.jobs.channel_models import Channel, ChannelClass, ChannelEffect, StudyClass
from beholder.jobs.database import Database
from beholder.jobs.exemplar_queries import exemplars, kept_layer
from beholder.jobs.models import Job
from beholder.jobs.network_queries import on_network
from beholder.jobs.outcomes import ExemplarKind
from beholder.jobs.record_views import (
    ChannelRecord,
    ClassStrengths,
    Correlated,
    EffectView,
    Inputs,
    Strengths,
)
from beholder.jobs.views import columns_of
from beholder.layers import LAYERS

_SHOWN_FROM = 50  # studies, the newest ones, whose pictures are looked through
_SHOWN = 4  # pictures of each kind


@dataclass(frozen=True)
class MeasuredClass:
    """A class of one study; see `StudyClass`."""

    inputs: Inputs
    study: str
    number: int
    label: str
    role: str
    n: int
    pictures: str


def record_layer(layer: int) -> int:
    """The ReLU layer that has this one's record. Raises InvalidInput for a pool."""
    kept = kept_layer(layer)
    if LAYERS[kept].kind == "pool":
        raise InvalidInput(
            f"{LAYERS[kept].name} has no records: a pool's map is a function of the ReLU's before "
            f"it. Ask for {LAYERS[kept - 1].name}."
        )
    return kept


def measured_classes(
    database: Database, *, network: str | None = None, study: str | None = None
) -> list[MeasuredClass]:
    """The classes of all studies, newest first, on one network (a name or hash) or of a study."""
    statement = _select_classes(network)
    if study is not None:
        statement = statement.where(StudyClass.job_id == study)
    with database.read() as session:
        return [_class(*row) for row in session.execute(statement)]


def channel_records(
    database: Database, *, layer: int, channel: int, network: str | None = None
) -> list[ChannelRecord]:
    """What is known of a channel, a record for each network and kind of input, newest first.

    A convolution's is its ReLU's. Raises InvalidInput for a pool.
    """
    kept = record_layer(layer)
    found = _strengths(database, kept, channel, network)
    by_inputs: dict[Inputs, list[tuple[MeasuredClass, Strengths]]] = {}
    for one, strengths in found:
        by_inputs.setdefault(one.inputs, []).append((one, strengths))
    return [
        _with_findings(database, _merged(inputs, kept, channel, rows))
        for inputs, rows in by_inputs.items()
    ]


def _distinct(classes: Iterable[MeasuredClass]) -> list[MeasuredClass]:
    """Of classes of like inputs, newest first, each label's sets of pictures once."""
    once: dict[tuple[str, str], MeasuredClass] = {}
    for one in classes:
        once.setdefault((one.label, one.pictures), one)
    return list(once.values())


def _class(
    network: str, sha256: str | None, size: object, normalize: object, *rest: Any
) -> MeasuredClass:
    """One row of `_select_classes`."""
    return MeasuredClass(Inputs(network, sha256, str(size), bool(normalize)), *rest)


def _select_classes(network: str | None) -> Select[*tuple[Any, ...]]:
    statement = (
        select(
            Job.network,
            Job.network_sha256,
            Job.spec["size"].as_string(),
            Job.spec["normalize"].as_boolean(),
            StudyClass.job_id,
            StudyClass.number,
            StudyClass.label,
            StudyClass.role,
            StudyClass.n,
            StudyClass.pictures,
        )
        .join(StudyClass, StudyClass.job_id == Job.id)
        .order_by(Job.created_at.desc(), Job.id.desc(), StudyClass.number)
    )
    return statement if network is None else statement.where(on_network(network))


def _strengths(
    database: Database, layer: int, channel: int, network: str | None
) -> list[tuple[MeasuredClass, Strengths]]:
    """Every class that has the channel, newest study first."""
    of_class = (ChannelClass.job_id == StudyClass.job_id) & (
        ChannelClass.number == StudyClass.number
    )
    here = (ChannelClass.layer == layer) & (ChannelClass.channel == channel)
    sums = (ChannelClass.active, ChannelClass.sum, ChannelClass.squares, ChannelClass.maximum)
    statement = _select_classes(network).add_columns(*sums).join(ChannelClass, of_class & here)
    with database.read() as session:
        measured = [(_class(*row[:-4]), row[-4:]) for row in session.execute(statement)]
    return [(one, Strengths(one.n, *values)) for one, values in measured]


def _merged(
    inputs: Inputs, layer: int, channel: int, rows: Sequence[tuple[MeasuredClass, Strengths]]
) -> ChannelRecord:
    """The record without what is read besides strengths."""
    by_place = {(one.study, one.number): strengths for one, strengths in rows}
    every = [one for one, _ in rows]
    by_label = sorted(_distinct(every), key=lambda one: one.label)
    classes = []
    for label, same in groupby(by_label, key=lambda one: one.label):
        total = sum((by_place[one.study, one.number] for one in same), Strengths())
        named = [one for one in every if one.label == label]
        roles = tuple(sorted({one.role for one in named}))
        classes.append(ClassStrengths(label, roles, len({one.study for one in named}), total))
    sets = {one.pictures: by_place[one.study, one.number] for one in reversed(every)}
    return ChannelRecord(
        inputs=inputs,
        layer=layer,
        layer_name=LAYERS[layer].name,
        channel=channel,
        pictures=sum(sets.values(), Strengths()),
        classes=tuple(sorted(classes, key=lambda one: -one.strengths.mean)),
        studies=tuple(dict.fromkeys(one.study for one in every)),
    )


def _with_findings(database: Database, record: ChannelRecord) -> ChannelRecord:
    """With what studies say of the channel besides its strengths."""
    return replace(
        record,
        chosen_in=_chosen_in(database, record),
        effects=_effects(database, record),
        correlated=_correlated(database, record),
        exemplars=tuple(
            one
            for kind in get_args(ExemplarKind)
            for one in exemplars(
                database,
                layer=record.layer,
                channel=record.channel,
                studies=record.studies[:_SHOWN_FROM],
                kind=kind,
                limit=_SHOWN,
            )
        ),
    )


def _chosen_in(database: Database, record: ChannelRecord) -> tuple[str, ...]:
    statement = select(Channel.job_id).where(
        Channel.layer == record.layer, Channel.channel == record.channel, Channel.chosen
    )
    with database.read() as session:
        chosen = set(session.scalars(statement))
    return tuple(study for study in record.studies if study in chosen)


def _effects(database: Database, record: ChannelRecord) -> tuple[EffectView, ...]:
    columns = [getattr(ChannelEffect, name) for name in columns_of(EffectView)[1:]]
    statement = select(ChannelEffect.job_id, *columns).where(
        ChannelEffect.layer == record.layer, ChannelEffect.channel == record.channel
    )
    with database.read() as session:
        found = {row[0]: EffectView(*row) for row in session.execute(statement)}
    return tuple(found[study] for study in record.studies if study in found)


def _correlated(database: Database, record: ChannelRecord) -> Correlated | None:
    """Of the newest study that has it."""
    statement = (
        select(Channel.job_id, Channel.correlated)
        .join(Job, Job.id == Channel.job_id)
        .where(
            Channel.layer == record.layer,
            Channel.channel == record.channel,
            Channel.job_id.in_(record.studies[:_SHOWN_FROM]),
            Channel.correlated.is_not(None),
        )
        .order_by(Job.created_at.desc(), Job.id.desc())
        .limit(1)
    )
    with database.read() as session:
        row = session.execute(statement).first()
    if row is None:
        return None
    return Correlated(row[0], tuple((int(other), float(r)) for other, r in row[1]))

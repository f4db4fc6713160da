"""One channel over all studies: `channel_records`; `measured_classes`, which classes there are.

Pictures count once for each set of them: studies of the same folder bring the same digest, and
only the newest one's rows are taken. Sets that share some of their pictures count in full, and a
set under two names counts for both.
"""

from dataclasses import replace
from typing import Any, NamedTuple, get_args

from sqlalchemy import ColumnElement, Select, Subquery, case, func, select

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

STUDIES_SHOWN = 50  # of a record, the newest
_SHOWN = 4  # pictures of each kind
_SIZE = Job.spec["size"].as_string().label("size")
_NORMALIZE = Job.spec["normalize"].as_boolean().label("normalize")
_INPUTS = (Job.network, Job.network_sha256, _SIZE, _NORMALIZE)
_NEWEST = (Job.created_at.desc(), Job.id.desc())
_EFFECT = (
    ChannelEffect.job_id,
    *(getattr(ChannelEffect, name) for name in columns_of(EffectView)[1:]),
)


class MeasuredClass(NamedTuple):
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
    columns = ("job_id", "number", "label", "role", "n", "pictures")
    statement = (
        select(*_INPUTS, *(getattr(StudyClass, name) for name in columns))
        .join(StudyClass, StudyClass.job_id == Job.id)
        .order_by(*_NEWEST, StudyClass.number)
    )
    if network is not None:
        statement = statement.where(on_network(network))
    if study is not None:
        statement = statement.where(Job.id == study)
    with database.read() as session:
        return [MeasuredClass(_inputs(*row[:4]), *row[4:]) for row in session.execute(statement)]


def channel_records(
    database: Database, *, layer: int, channel: int, network: str | None = None
) -> list[ChannelRecord]:
    """What is known of a channel, a record for each network and kind of input, newest first.

    A convolution's is its ReLU's. Raises InvalidInput for a pool.
    """
    kept = record_layer(layer)
    by_inputs: dict[Inputs, list[ClassStrengths]] = {}
    with database.read() as session:
        for row in session.execute(_merged_classes(kept, channel, network)):
            by_inputs.setdefault(_inputs(*row[:4]), []).append(_class_strengths(*row[4:]))
    return [
        _with_findings(database, _record(database, inputs, kept, channel, classes))
        for inputs, classes in by_inputs.items()
    ]


def _inputs(network: str, sha256: str | None, size: object, normalize: object) -> Inputs:
    """From what the database gives of `_INPUTS`."""
    return Inputs(network, sha256, str(size), bool(normalize))


def _class_strengths(
    label: str, studies: int, as_target: int, n: int, active: int, *sums: float
) -> ClassStrengths:
    """From what the database gives of one class; Postgres' sums of whole numbers are none."""
    return ClassStrengths(label, studies, int(as_target), Strengths(int(n), int(active), *sums))


def _merged_classes(layer: int, channel: int, network: str | None) -> Select[*tuple[Any, ...]]:
    """Each class of each kind of input, with the sums over its sets of pictures."""
    named = _numbered_classes(network)
    of_class = (ChannelClass.job_id == named.c.job_id) & (ChannelClass.number == named.c.number)
    here = (ChannelClass.layer == layer) & (ChannelClass.channel == channel)
    as_target = func.sum(case((named.c.role == "target", 1), else_=0))
    inputs = [named.c[name] for name in Inputs._fields]
    return (
        select(
            *inputs,
            named.c.label,
            func.count(named.c.job_id.distinct()),
            as_target,
            *_sums(named),
        )
        # An outer join, since SQLite keeps to its order: from the few classes, by the whole key.
        .outerjoin_from(named, ChannelClass, of_class & here)
        .group_by(*inputs, named.c.label)
        .having(func.count(ChannelClass.active) > 0)
        .order_by(func.max(named.c.created_at).desc(), named.c.label)
    )


def _sums(named: Subquery) -> tuple[ColumnElement[Any], ...]:
    """The fields of `Strengths`, over each label's sets of pictures once."""
    once = (named.c.copy == 1) & ChannelClass.active.is_not(None)
    return (
        func.sum(case((once, named.c.n), else_=0)),
        func.sum(case((once, ChannelClass.active), else_=0)),
        func.sum(case((once, ChannelClass.sum), else_=0.0)),
        func.sum(case((once, ChannelClass.squares), else_=0.0)),
        func.max(case((once, ChannelClass.maximum), else_=0.0)),
    )


def _numbered_classes(network: str | None) -> Subquery:
    """Each study's classes. copy: 1 for the newest of a label and its pictures, then 2, 3, ..."""
    copy = func.row_number().over(
        partition_by=(*_INPUTS, StudyClass.label, StudyClass.pictures),
        order_by=(*_NEWEST, StudyClass.number),
    )
    columns = (StudyClass.job_id, StudyClass.number, StudyClass.label, StudyClass.role)
    statement = select(*_INPUTS, Job.created_at, *columns, StudyClass.n, copy.label("copy")).join(
        StudyClass, StudyClass.job_id == Job.id
    )
    if network is not None:
        statement = statement.where(on_network(network))
    return statement.subquery()


def _record(
    database: Database, inputs: Inputs, layer: int, channel: int, classes: list[ClassStrengths]
) -> ChannelRecord:
    """With strengths and studies alone."""
    return ChannelRecord(
        inputs=inputs,
        layer=layer,
        layer_name=LAYERS[layer].name,
        channel=channel,
        classes=tuple(sorted(classes, key=lambda one: -one.strengths.mean)),
        studies=_newest(database, inputs),
    )


def _newest(database: Database, inputs: Inputs) -> tuple[str, ...]:
    """The newest studies of these inputs that have classes."""
    has_classes = select(StudyClass.job_id).where(StudyClass.job_id == Job.id).exists()
    statement = (
        select(Job.id)
        .where(
            Job.kind == "study",
            Job.network == inputs.network,
            Job.network_sha256.is_not_distinct_from(inputs.network_sha256),
            Job.spec["size"].as_string() == inputs.size,
            Job.spec["normalize"].as_boolean() == inputs.normalize,
            has_classes,
        )
        .order_by(*_NEWEST)
        .limit(STUDIES_SHOWN)
    )
    with database.read() as session:
        return tuple(session.scalars(statement))


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
                studies=record.studies,
                kind=kind,
                limit=_SHOWN,
            )
        ),
    )


def _chosen_in(database: Database, record: ChannelRecord) -> tuple[str, ...]:
    statement = select(Channel.job_id).where(
        Channel.job_id.in_(record.studies),
        Channel.layer == record.layer,
        Channel.channel == record.channel,
        Channel.chosen,
    )
    with database.read() as session:
        chosen = set(session.scalars(statement))
    return tuple(study for study in record.studies if study in chosen)


def _effects(database: Database, record: ChannelRecord) -> tuple[EffectView, ...]:
    statement = select(*_EFFECT).where(
        ChannelEffect.job_id.in_(record.studies),
        ChannelEffect.layer == record.layer,
        ChannelEffect.channel == record.channel,
    )
    with database.read() as session:
        found = {row[0]: EffectView(*row) for row in session.execute(statement)}
    return tuple(found[study] for study in record.studies if study in found)


def effects_of(database: Database, study: str) -> dict[tuple[int, int], EffectView]:
    """By layer and channel, what a sound study found of each of its set, best first."""
    statement = select(ChannelEffect.layer, ChannelEffect.channel, *_EFFECT)
    ranked = statement.where(ChannelEffect.job_id == study).order_by(ChannelEffect.rank)
    with database.read() as session:
        return {(row[0], row[1]): EffectView(*row[2:]) for row in session.execute(ranked)}


def _correlated(database: Database, record: ChannelRecord) -> Correlated | None:
    """Of the newest study that has it."""
    statement = (
        select(Channel.job_id, Channel.correlated)
        .join(Job, Job.id == Channel.job_id)
        .where(
            Channel.layer == record.layer,
            Channel.channel == record.channel,
            Channel.job_id.in_(record.studies),
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

"""Answers as views: `read` makes of a JSON document the dataclass that the server made it of."""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pydantic import TypeAdapter, ValidationError

from beholder import __version__
from beholder.errors import ServiceUnavailable

if TYPE_CHECKING:
    from beholder.jobs.features import Features
    from beholder.jobs.record_views import ChannelRecord

T = TypeVar("T")


def read(kind: type[T], document: Any) -> T:
    """The document as `kind`; what it has besides is left out, since newer servers say more.

    Raises ServiceUnavailable where something is missing.
    """
    try:
        found: T = _adapters(kind).validate_python(document)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise ServiceUnavailable(
            f"the server's answer can't be read ({kind.__name__}: {where}): it is of another "
            f"version than this command ({__version__}). Update the older of the two."
        ) from None
    return found


def read_features(row: dict[str, Any]) -> "Features":
    """What was queued of channels, whose rows name layer and channel apart."""
    from beholder.jobs.features import Features

    queued = {(one["layer"], one["channel"]): str(one["job"]) for one in row["queued"]}
    there = tuple((layer, channel) for layer, channel in row["there"])
    return Features(queued, there, row["left"], row.get("other", 0))


def read_record(row: dict[str, Any]) -> "ChannelRecord":
    """A channel's record, whose rows are flatter than it is."""
    from beholder.jobs.record_views import ChannelRecord, Inputs, Strengths

    classes = [
        {**one, "label": one.get("class"), "strengths": _named(Strengths, one)}
        for one in row.get("classes", ())
    ]
    return read(ChannelRecord, {**row, "inputs": _named(Inputs, row), "classes": classes})


def _named(kind: type[NamedTuple], row: dict[str, Any]) -> dict[str, Any]:
    """Of a row what such a tuple holds: it takes nothing else."""
    return {name: row[name] for name in kind._fields if name in row}


_adapters: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)  # making one takes a while

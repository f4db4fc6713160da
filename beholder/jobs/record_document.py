"""A channel's records with its dreams: `records_with_dreams`, and `record_document` as JSON."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from beholder.errors import NotFound
from beholder.jobs.channel_dreams import dreams_of
from beholder.jobs.database import Database
from beholder.jobs.record_queries import channel_records, record_layer
from beholder.jobs.record_views import ChannelRecord
from beholder.jobs.views import layer_name


def records_with_dreams(
    database: Database, *, layer: int, channel: int, network: str | None = None
) -> list[ChannelRecord]:
    """As `channel_records`, one at least, with the newest dream of the channel on its network.

    Raises NotFound where no study has measured it, InvalidInput for a pool.
    """
    kept = record_layer(layer)
    records = channel_records(database, layer=kept, channel=channel, network=network)
    if not records:
        raise NotFound(
            f"no study {f'on {network[:60]} ' if network else ''}has measured "
            f"{layer_name(kept)}/{channel} by class: `beholder channels --layer {layer_name(kept)} "
            f"--channel {channel}` lists what others counted."
        )
    return [_with_dreams(database, record) for record in records]


def record_document(
    database: Database, *, layer: int, channel: int, network: str | None = None
) -> dict[str, Any]:
    """The records in JSON; raises what `records_with_dreams` does."""
    return document_of(records_with_dreams(database, layer=layer, channel=channel, network=network))


def document_of(records: Sequence[ChannelRecord]) -> dict[str, Any]:
    """What the command line and the API answer, the same, of one record at least."""
    first = records[0]
    return {
        "layer": first.layer,
        "layer_name": first.layer_name,
        "channel": first.channel,
        "records": [record.row() for record in records],
    }


def _with_dreams(database: Database, record: ChannelRecord) -> ChannelRecord:
    place = (record.layer, record.channel)
    network = record.inputs.network_sha256 or record.inputs.network
    return replace(record, dreams=tuple(dreams_of(database, network, [place]).get(place, ())))

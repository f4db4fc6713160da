"""What studies measured of channels, as a server's API tells it: `RemoteChannels`."""

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from beholder.jobs.views import ChannelView, JobView
from cli.desk.reading import read, read_record
from cli.desk.refusals import Broken
from cli.desk.wire import Wire, lines_of

if TYPE_CHECKING:
    from beholder.jobs.contrast_queries import Contrast
    from beholder.jobs.overlap_queries import Overlap
    from beholder.jobs.record_views import ChannelRecord

CHANNELS_PAGE = 5_000


class RemoteChannels:
    """That part of a `Desk`, over HTTP."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def channels(
        self,
        *,
        study: str | None,
        layer: int | None,
        channel: int | None,
        top: int | None,
        chosen: bool,
    ) -> Iterator[ChannelView]:
        query = {
            "study": study,
            "layer": layer,
            "channel": channel,
            "top": top,
            "chosen": chosen,
        }
        for row in self._wire.pages("/v1/channels", "channels", "after", query, page=CHANNELS_PAGE):
            yield read(ChannelView, row)

    def records(self, *, layer: int, channel: int, network: str | None) -> "list[ChannelRecord]":
        query = {"layer": layer, "channel": channel, "network": network}
        return [read_record(row) for row in self._wire.get("/v1/records", query)["records"]]

    def contrast(
        self,
        wanted: Sequence[str],
        others: Sequence[str],
        *,
        network: str | None,
        study: str | None,
        layers: Sequence[int] | None,
        limit: int,
    ) -> "Contrast":
        from beholder.jobs.contrast_queries import Contrast

        query = {
            "for": list(wanted),
            "not_for": list(others),
            "network": network,
            "study": study,
            "layer": layers,
            "limit": limit,
        }
        return read(Contrast, self._wire.get("/v1/contrasts", query))

    def overlap(self, first: JobView, second: JobView) -> "Overlap":
        from beholder.jobs.overlap_queries import Overlap

        path = f"/v1/studies/{first.id}/overlap"
        return read(Overlap, self._wire.get(path, {"other": second.id}))

    def export_rows(
        self,
        *,
        study: str | None,
        network: str | None,
        layers: Sequence[int] | None,
        channels: Sequence[int] | None,
        chosen: bool,
    ) -> Iterator[dict[str, Any]]:
        query = {
            "study": study,
            "network": network,
            "layer": layers,
            "channel": channels,
            "chosen": chosen,
        }
        with self._wire.open("GET", "/v1/records/rows", query=query) as answer:
            for line in lines_of(answer):
                row: dict[str, Any] = json.loads(line)
                if not row:
                    return
                yield row
        raise Broken(f"{self._wire.url} broke off before the last row: export again.")

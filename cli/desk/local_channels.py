"""What studies measured of channels, from this machine's database: `LocalChannels`."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cli.context import Context

if TYPE_CHECKING:
    from beholder.jobs.contrast_queries import Contrast
    from beholder.jobs.overlap_queries import Overlap
    from beholder.jobs.record_views import ChannelRecord
    from beholder.jobs.views import ChannelView, JobView


class LocalChannels:
    """That part of a `Desk`, on what a command's context opens."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def channels(
        self,
        *,
        study: str | None,
        layer: int | None,
        channel: int | None,
        top: int | None,
        chosen: bool,
    ) -> "Iterator[ChannelView]":
        from beholder.jobs.channel_queries import channels

        return channels(
            self._context.db,
            study=study,
            layer=layer,
            channel=channel,
            top=top,
            chosen=chosen or None,
        )

    def records(
        self, *, layer: int, channel: int, network: str | None
    ) -> "Sequence[ChannelRecord]":
        from beholder.jobs.record_document import records_with_dreams

        return records_with_dreams(self._context.db, layer=layer, channel=channel, network=network)

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
        from beholder.jobs.contrast_queries import contrasts

        return contrasts(
            self._context.db,
            wanted,
            others,
            network=network,
            study=study,
            layers=layers,
            limit=limit,
        )

    def overlap(self, first: "JobView", second: "JobView") -> "Overlap":
        from beholder.jobs.overlap_queries import overlap

        return overlap(self._context.db, first, second)

    def export_rows(
        self,
        *,
        study: str | None,
        network: str | None,
        layers: Sequence[int] | None,
        channels: Sequence[int] | None,
        chosen: bool,
    ) -> Iterator[dict[str, Any]]:
        from beholder.jobs.record_export import export_rows

        return export_rows(
            self._context.db,
            study=study,
            network=network,
            layers=layers,
            channels=channels,
            chosen=chosen,
        )

"""What commands ask of the service, whether it is on this machine or behind a server's API.

`Desk` says what can be asked; local.py answers from the database and the store, remote.py over
HTTP, with the same views, so that tables, progress and JSON are the same.
"""

import io
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from beholder.devices import Device
    from beholder.evidence.document import Evidence
    from beholder.intake import Found
    from beholder.jobs.channel_dreams import ChannelDream, Place
    from beholder.jobs.contrast_queries import Contrast
    from beholder.jobs.features import Features
    from beholder.jobs.fleet import FleetView
    from beholder.jobs.outcomes import StoredFile
    from beholder.jobs.overlap_queries import Overlap
    from beholder.jobs.overview import Overview
    from beholder.jobs.record_views import ChannelRecord
    from beholder.jobs.service_models import Order
    from beholder.jobs.spool import Entry, Role, StoredPicture
    from beholder.jobs.submit import CreatedJob
    from beholder.jobs.views import ChannelView, ItemView, JobView
    from beholder.priorities import Priority
    from beholder.recipes import NoiseRecipe
    from beholder.specs import DreamSpec, Spec


class Desk(Protocol):
    """Jobs are named by their full id, but for `job`, which finds it. Raises BeholderError."""

    # Queueing

    @property
    def network(self) -> str:
        """What a job's network is when none is named."""

    def weights(self, path: str) -> str:
        """A state dict's path as a job's network, as workers find it. Raises InvalidInput."""

    def weights_of(self, name: str, sha256: str) -> str:
        """The network of these weights, a file called `name` elsewhere. Raises InvalidInput."""

    def take_in(self, found: "Iterable[Found]", role: "Role | None") -> "Generator[Entry]":
        """Keep pictures; an entry of each, in order, with its hash or what is wrong with it."""

    def take_one(self, file: Path) -> "StoredPicture":
        """Keep one picture, which a job is to name. Raises InvalidInput for what is none."""

    def kept(self, sha256: str) -> "StoredPicture":
        """A picture that is kept already, which a job is to name.

        Raises NotFound, or PictureError for one that is damaged, unless a server keeps it: that
        looks at its length alone.
        """

    def create(
        self,
        spec: "Spec",
        entries: "Iterable[Entry]",
        *,
        name: str,
        priority: "Priority",
        device: "Device",
    ) -> "CreatedJob":
        """Write a job and tell the workers; all of it or nothing."""

    def features(
        self,
        study: "JobView",
        *,
        limit: int,
        recipe: "NoiseRecipe",
        steps: int | None,
        learning_rate: float | None,
        priority: "Priority",
    ) -> "Features":
        """Queue dreams of a study's channels."""

    def queue_channels(
        self, places: "Sequence[Place]", spec: "DreamSpec", *, name: str, priority: "Priority"
    ) -> "Features":
        """Queue a dream like `spec` of each of a layer's channels that has none of its recipe's."""

    def idle(self) -> str | None:
        """Why nothing runs what is queued, and what to do; None where a worker is there."""

    def gpu_is_known_of(self) -> bool:
        """Whether a worker has one, or could have."""

    # Jobs

    def jobs(
        self,
        *,
        state: str | None = None,
        kind: str | None = None,
        kept: bool = False,
        limit: int | None = None,
    ) -> "list[JobView]":
        """The newest first."""

    def job(self, wanted: str) -> "JobView":
        """By its id, the beginning of it, or a name that it alone has."""

    def watch(self, job_id: str) -> "Iterator[tuple[JobView, float]]":
        """A job again and again until it has ended, and how many of its items are through."""

    def still_open(self, job_ids: Sequence[str]) -> int:
        """How many of these jobs have not ended."""

    def items(
        self, job_id: str, *, state: str | None = None, after: int = -1, limit: int | None = None
    ) -> "Iterator[ItemView]":
        """By position, from the one after `after` on."""

    def overview(self, job: "JobView") -> "Overview":
        """What came of it as a whole."""

    def cancel(self, job_id: str) -> None:
        """End it now."""

    def retry(self, job_id: str) -> int:
        """Run again what failed or was cancelled; how many items."""

    def keep(self, job_id: str, *, kept: bool) -> None:
        """Keep it whatever its age, or no longer."""

    # Results

    def copy_result(self, job_id: str, position: int, file: "StoredFile", out: IO[bytes]) -> None:
        """Write a result. Raises NotFound where it is lost, PictureError where it is damaged."""

    def picture(self, sha256: str) -> bytes:
        """An input picture, to be drawn on a sheet: the file, or a copy of 2048 pixels a side."""

    def start(self, job: "JobView", item: "ItemView") -> bytes:
        """What a dream started from, as it saw it, a PNG. Raises NotFound where there is none."""

    def channel_dreams(
        self, spec: "DreamSpec", places: "Sequence[Place]"
    ) -> "dict[Place, ChannelDream]":
        """Each of a layer's channels' newest finished dream from noise, of network and recipe."""

    def evidence(self, study: "JobView") -> "Evidence":
        """What a sound study concluded."""

    def logits(self, study: "JobView") -> bytes:
        """Its raw logits, as a NumPy archive."""

    def plan(self, study: "JobView") -> bytes:
        """What it has tried, set by set, as JSON."""

    def report(self, study: "JobView") -> bytes:
        """The same as a page."""

    # Channels

    def latest_study(self) -> "JobView":
        """The newest that has its channels."""

    def channels(
        self,
        *,
        study: str | None,
        layer: int | None,
        channel: int | None,
        top: int | None,
        chosen: bool,
    ) -> "Iterator[ChannelView]":
        """Of a study, or of all, sorted by layer and rank."""

    def records(
        self, *, layer: int, channel: int, network: str | None
    ) -> "Sequence[ChannelRecord]":
        """All that studies found of a channel; one record at least."""

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
        """Channels for some classes and not for others."""

    def overlap(self, first: "JobView", second: "JobView") -> "Overlap":
        """Which chosen channels two studies share."""

    def export_rows(
        self,
        *,
        study: str | None,
        network: str | None,
        layers: Sequence[int] | None,
        channels: Sequence[int] | None,
        chosen: bool,
    ) -> Iterator[dict[str, Any]]:
        """What records are made of, a row a channel, class and study."""

    # The service

    def networks(self) -> list[dict[str, Any]]:
        """The networks, and whether their weights are there."""

    def workers(self) -> "list[FleetView]":
        """Those heard of lately, by name."""

    def tell(self, name: str, order: "Order | None") -> list[str]:
        """Tell a worker, or all on a host, to pause, to drain, or (None) to go on; their names."""

    # The end

    def give_up(self) -> None:
        """Wait no longer for a server that is away: nobody wants the answers any more."""


def result(desk: Desk, job_id: str, position: int, file: "StoredFile") -> bytes:
    """A result's bytes. Raises what `copy_result` raises."""
    out = io.BytesIO()
    desk.copy_result(job_id, position, file, out)
    return out.getvalue()


@contextmanager
def asking(desk: Desk, threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that ask a desk; where it ends early, be it by Ctrl-C, without waiting for long."""
    with ThreadPoolExecutor(threads) as pool:
        try:
            yield pool
        except BaseException:
            desk.give_up()
            pool.shutdown(wait=False, cancel_futures=True)
            raise

"""The service behind a server's API: `RemoteDesk` asks it, and answers with the same views."""

import hashlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

from beholder.errors import Conflict, InvalidInput, PictureError
from beholder.jobs.views import ItemView, JobView
from beholder.texts import folded
from cli.desk.reading import read, read_features
from cli.desk.remote_channels import RemoteChannels
from cli.desk.wire import Wire

if TYPE_CHECKING:
    from beholder.devices import Device
    from beholder.evidence.document import Evidence
    from beholder.intake import Found
    from beholder.jobs.channel_dreams import ChannelDream, Place
    from beholder.jobs.features import Features
    from beholder.jobs.fleet import FleetView
    from beholder.jobs.outcomes import StoredFile
    from beholder.jobs.overview import Overview
    from beholder.jobs.service_models import Order
    from beholder.jobs.spool import Entry, Role, StoredPicture
    from beholder.jobs.submit import CreatedJob
    from beholder.priorities import Priority
    from beholder.recipes import NoiseRecipe
    from beholder.specs import DreamSpec, Spec
    from cli.desk.sending import Sender

PAGE = 500
_SHOWN = 2048  # pixels a side, of a picture that is drawn on a sheet
# Stands for the server's own network where that is a file of it, which is not told.
_UNNAMED = "the server's own.safetensors"


class RemoteDesk(RemoteChannels):
    """A `Desk` over HTTP. home: where this machine keeps what it has to remember of requests."""

    def __init__(self, wire: Wire, home: Path) -> None:
        super().__init__(wire)
        self._home = home

    @property
    def url(self) -> str:
        """The server's address."""
        return self._wire.url

    def insist_on_ready(self) -> None:
        """Raise ServiceUnavailable with what of the service fails."""
        self._wire.get("/readyz", again=False)

    @cached_property
    def server(self) -> dict[str, Any]:
        """What the server says of itself and of the caller, when it was first asked."""
        found: dict[str, Any] = self._wire.get("/v1/server")
        return found

    @property
    def network(self) -> str:
        return self.server["network"] or _UNNAMED

    def weights(self, path: str) -> str:
        if path == _UNNAMED:
            return path
        raise InvalidInput(
            f"{path} would be a file of the server's: over HTTP write vgg19, specimens or "
            "random:SEED, or submit on the server."
        )

    def weights_of(self, name: str, sha256: str) -> str:
        return self.weights(name)

    def take_in(self, found: "Iterable[Found]", role: "Role | None") -> "Generator[Entry]":
        return self._sender.take_in(found, role)

    def take_one(self, file: Path) -> "StoredPicture":
        return self._sender.take_one(file)

    def kept(self, sha256: str) -> "StoredPicture":
        return self._sender.kept(sha256)

    @cached_property
    def _sender(self) -> "Sender":
        from cli.desk.sending import Sender

        limits = self.server["limits"]
        return Sender(self._wire, max_pixels=limits["pixels"], max_bytes=limits["bytes"])

    def create(
        self,
        spec: "Spec",
        entries: "Iterable[Entry]",
        *,
        name: str,
        priority: "Priority",
        device: "Device",
    ) -> "CreatedJob":
        from cli.desk.posting import post_job

        return post_job(
            self._wire,
            self._home,
            spec,
            entries,
            name=name,
            priority=priority,
            device=device,
            network=self._named(spec),
        )

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
        asked = {
            "limit": limit,
            "recipe": recipe,
            "steps": steps,
            "learning_rate": learning_rate,
            "priority": priority,
        }
        return read_features(self._wire.ask("POST", f"/v1/studies/{study.id}/features", body=asked))

    def queue_channels(
        self, places: "Sequence[Place]", spec: "DreamSpec", *, name: str, priority: "Priority"
    ) -> "Features":
        from cli.desk.posting import WRITTEN_S, asked_of

        body = {
            "layer": places[0][0],
            "channels": [channel for _, channel in places],
            "spec": asked_of(spec, network=self._named(spec)),
            "name": name,
            "priority": priority,
        }
        made = self._wire.ask("POST", "/v1/channels/dreams", body=body, read_s=WRITTEN_S)
        return read_features(made)

    def _named(self, spec: "Spec") -> str | None:
        """The network as the server is to be told it; None for its own."""
        return None if spec.network == self.network else spec.network

    def idle(self) -> str | None:
        workers = self._wire.get("/v1/server")["workers"]
        if not workers:
            return "The server has heard of no worker lately: nothing runs before one is there."
        if all(worker["paused"] for worker in workers):
            return f"The server's workers are paused: {workers[0]['paused']}"
        return None

    def gpu_is_known_of(self) -> bool:
        return any(worker["device"].startswith("cuda") for worker in self.server["workers"])

    def jobs(
        self,
        *,
        state: str | None = None,
        kind: str | None = None,
        kept: bool = False,
        limit: int | None = None,
    ) -> list[JobView]:
        query = {"state": state, "kind": kind, "kept": kept}
        rows = self._wire.pages("/v1/jobs", "jobs", "before", query, limit=limit, page=PAGE)
        return [read(JobView, row) for row in rows]

    def job(self, wanted: str) -> JobView:
        return read(JobView, self._wire.get("/v1/jobs/by-name", {"name": folded(wanted)}))

    def watch(self, job_id: str) -> Iterator[tuple[JobView, float]]:
        from cli.desk.following import follow

        return follow(self._wire, job_id)

    def still_open(self, job_ids: Sequence[str]) -> int:
        from cli.desk.following import RESTART_S

        self._wire.patience_s = RESTART_S
        found = self._wire.ask("POST", "/v1/jobs/open", body={"jobs": list(job_ids)}, again=True)
        return int(found["open"])

    def items(
        self, job_id: str, *, state: str | None = None, after: int = -1, limit: int | None = None
    ) -> Iterator[ItemView]:
        path, query = f"/v1/jobs/{job_id}/items", {"state": state}
        rows = self._wire.pages(path, "items", "after", query, begin=after, limit=limit, page=PAGE)
        for row in rows:
            yield read(ItemView, row)

    def overview(self, job: JobView) -> "Overview":
        from beholder.jobs.overview import Overview

        return read(Overview, self._wire.get(f"/v1/jobs/{job.id}/overview"))

    def cancel(self, job_id: str) -> None:
        before = self.job(job_id).state
        try:
            self._wire.ask("POST", f"/v1/jobs/{job_id}/cancel", again=True)
        except Conflict:
            if before == "cancelled" or self.job(job_id).state != "cancelled":
                raise  # else it was done when first asked, and the answer was lost

    def retry(self, job_id: str) -> int:
        return int(self._wire.ask("POST", f"/v1/jobs/{job_id}/retry")["retried"])

    def keep(self, job_id: str, *, kept: bool) -> None:
        self._wire.ask("PUT", f"/v1/jobs/{job_id}/kept", body={"kept": kept})

    def copy_result(self, job_id: str, position: int, file: "StoredFile", out: IO[bytes]) -> None:
        digest = hashlib.sha256()

        def write(piece: bytes) -> None:
            digest.update(piece)
            out.write(piece)

        self._wire.download(f"/v1/jobs/{job_id}/items/{position}/pictures/{file.step}", write)
        if digest.hexdigest() != file.sha256:
            raise PictureError(f"{file.path} is not what was written.")

    def picture(self, sha256: str) -> bytes:
        return self._wire.read(f"/v1/pictures/{sha256}/image", {"size": _SHOWN})

    def start(self, job: JobView, item: ItemView) -> bytes:
        return self._wire.read(f"/v1/jobs/{job.id}/items/{item.position}/start")

    def channel_dreams(
        self, spec: "DreamSpec", places: "Sequence[Place]"
    ) -> "dict[Place, ChannelDream]":
        from beholder.jobs.channel_dreams import ChannelDream

        found: dict[Place, ChannelDream] = {}
        layer = places[0][0]
        query = {"network": self._named(spec), "layer": layer, "recipe": spec.recipe}
        for row in self._wire.get("/v1/channels/dreams", query)["dreams"]:
            dream = read(ChannelDream, {**row, "job_id": row["job"]})
            found.setdefault((layer, int(row["channel"])), dream)
        return {place: found[place] for place in places if place in found}

    def evidence(self, study: JobView) -> "Evidence":
        from beholder.evidence.document import Evidence

        return read(Evidence, self._wire.get(f"/v1/studies/{study.id}/evidence"))

    def logits(self, study: JobView) -> bytes:
        return self._wire.read(f"/v1/studies/{study.id}/logits")

    def plan(self, study: JobView) -> bytes:
        return self._wire.read(f"/v1/studies/{study.id}/plan")

    def report(self, study: JobView) -> bytes:
        return self._wire.read(f"/v1/studies/{study.id}/report")

    def latest_study(self) -> JobView:
        return read(JobView, self._wire.get("/v1/studies/latest"))

    def networks(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._wire.get("/v1/networks")["networks"]
        return rows

    def workers(self) -> "list[FleetView]":
        from beholder.jobs.fleet import FleetView

        return [read(FleetView, row) for row in self._wire.get("/v1/workers")["workers"]]

    def tell(self, name: str, order: "Order | None") -> list[str]:
        path = f"/v1/workers/{quote(name, safe='', errors='replace')}/{order or 'resume'}"
        return [str(one) for one in self._wire.ask("POST", path, again=True)["workers"]]

    def give_up(self) -> None:
        self._wire.hurry.set()

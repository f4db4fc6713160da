"""The service on this machine: `LocalDesk` asks the database, the store and the queue."""

import hashlib
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from beholder.errors import InvalidInput, ServiceUnavailable
from cli.context import Context
from cli.desk.local_channels import LocalChannels
from cli.output import say

if TYPE_CHECKING:
    from beholder.devices import Device
    from beholder.evidence.document import Evidence
    from beholder.intake import Found
    from beholder.jobs.channel_dreams import ChannelDream, Place
    from beholder.jobs.database import Database
    from beholder.jobs.features import Features
    from beholder.jobs.fleet import FleetView
    from beholder.jobs.outcomes import StoredFile
    from beholder.jobs.overview import Overview
    from beholder.jobs.service_models import Order
    from beholder.jobs.spool import Entry, Role, StoredPicture
    from beholder.jobs.submit import CreatedJob
    from beholder.jobs.views import ItemView, JobView
    from beholder.priorities import Priority
    from beholder.recipes import NoiseRecipe
    from beholder.specs import DreamSpec, Spec

POLL_S = 0.5
WORKER_SILENCE_S = 30.0  # several heartbeats
NOTHING_RUNS = "Nothing runs them now: start `beholder up`, or add --wait next time."


class LocalDesk(LocalChannels):
    """A `Desk` on what a command's context opens."""

    @property
    def network(self) -> str:
        return self._context.settings.network

    def weights(self, path: str) -> str:
        file = Path(path).expanduser()
        if not file.is_file() and self._context.settings.redis_url is None:
            raise InvalidInput(f"there is no file {path}: check the path given as --network.")
        return str(file.absolute())

    def weights_of(self, name: str, sha256: str) -> str:
        from beholder.jobs.network_queries import name_of_network

        found = name_of_network(self._context.db, sha256)
        if found is None:
            raise InvalidInput(
                f"no job here ran on {name} ({sha256[:12]}): say where the file is with --network."
            )
        return found

    def take_in(self, found: "Iterable[Found]", role: "Role | None") -> "Generator[Entry]":
        from beholder.intake import take_in

        context = self._context
        return take_in(context.store, found, max_pixels=context.settings.max_pixels, role=role)

    def take_one(self, file: Path) -> "StoredPicture":
        from beholder.intake import take_one
        from beholder.jobs.stock import record_pictures

        context = self._context
        picture = take_one(context.store, file, max_pixels=context.settings.max_pixels)
        record_pictures(context.db, [picture])
        return picture

    def kept(self, sha256: str) -> "StoredPicture":
        from beholder.intake import keep
        from beholder.jobs.stock import record_pictures
        from beholder.store import damaged

        context = self._context
        data = context.store.picture(sha256)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise damaged(sha256)
        picture = keep(context.store, data, max_pixels=context.settings.max_pixels)
        record_pictures(context.db, [picture])
        return picture

    def create(
        self,
        spec: "Spec",
        entries: "Iterable[Entry]",
        *,
        name: str,
        priority: "Priority",
        device: "Device",
    ) -> "CreatedJob":
        from beholder.jobs.submit import create_job, noise_entries
        from beholder.specs import DreamSpec

        def every() -> "Iterator[Entry]":
            yield from entries
            if isinstance(spec, DreamSpec):
                yield from noise_entries(spec)

        created = create_job(
            self._submitting(), spec, every(), name=name, priority=priority, device=device
        )
        wake_workers(self._context)
        return created

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
        from beholder.jobs.features import queue_features

        made = queue_features(
            self._submitting(),
            study,
            limit=limit,
            recipe=recipe,
            steps=steps,
            learning_rate=learning_rate,
            priority=priority,
        )
        if made.queued:
            wake_workers(self._context)
        return made

    def queue_channels(
        self, places: "Sequence[Place]", spec: "DreamSpec", *, name: str, priority: "Priority"
    ) -> "Features":
        from beholder.jobs.features import queue_channels

        made = queue_channels(self._submitting(), places, spec, name=name, priority=priority)
        if made.queued:
            wake_workers(self._context)
        return made

    def _submitting(self) -> "Database":
        """The database, for what makes jobs: their traces begin in this process."""
        from beholder import traces

        traces.set_up("beholder")
        return self._context.db

    def idle(self) -> str | None:
        return NOTHING_RUNS if _nothing_runs(self._context) else None

    def gpu_is_known_of(self) -> bool:
        from beholder.devices import gpu_cards
        from beholder.jobs.workers import live_workers

        settings = self._context.settings
        alive = live_workers(self._context.db, within_s=WORKER_SILENCE_S)
        if alive or settings.redis_url is not None:
            return any(worker.device.startswith("cuda") for worker in alive)
        return settings.device != "cpu" and bool(gpu_cards())

    def jobs(
        self,
        *,
        state: str | None = None,
        kind: str | None = None,
        kept: bool = False,
        limit: int | None = None,
    ) -> "list[JobView]":
        from beholder.jobs.queries import list_jobs

        return list_jobs(self._context.db, state=state, kind=kind, kept=kept, limit=limit)

    def job(self, wanted: str) -> "JobView":
        from beholder.jobs.queries import get_job

        return get_job(self._context.db, wanted)

    def watch(self, job_id: str) -> "Iterator[tuple[JobView, float]]":
        from beholder.jobs.completion import completed
        from beholder.jobs.queries import get_job

        while True:
            job = get_job(self._context.db, job_id)
            yield job, completed(self._context.db, job)
            if job.finished:
                return
            time.sleep(POLL_S)

    def still_open(self, job_ids: Sequence[str]) -> int:
        from beholder.jobs.features import still_open

        return still_open(self._context.db, job_ids)

    def items(
        self, job_id: str, *, state: str | None = None, after: int = -1, limit: int | None = None
    ) -> "Iterator[ItemView]":
        from beholder.jobs.queries import items

        return items(self._context.db, job_id, state=state, after=after, limit=limit)

    def overview(self, job: "JobView") -> "Overview":
        from beholder.jobs.overview import overview_of

        return overview_of(self._context.db, self._context.store, job)

    def cancel(self, job_id: str) -> None:
        from beholder.jobs import control

        control.cancel(self._context.db, job_id)

    def retry(self, job_id: str) -> int:
        from beholder.jobs import control

        retried = control.retry(self._context.db, job_id)
        wake_workers(self._context)
        return retried.items

    def keep(self, job_id: str, *, kept: bool) -> None:
        from beholder.upkeep.retention import keep

        keep(self._context.db, job_id, kept=kept)

    def copy_result(self, job_id: str, position: int, file: "StoredFile", out: IO[bytes]) -> None:
        from beholder.jobs.result_files import read_result

        out.write(read_result(self._context.store, file))

    def picture(self, sha256: str) -> bytes:
        return self._context.store.picture(sha256)

    def start(self, job: "JobView", item: "ItemView") -> bytes:
        from beholder.jobs.starts import read_start

        context = self._context
        return read_start(context.store, job, item, max_pixels=context.settings.max_pixels)

    def channel_dreams(
        self, spec: "DreamSpec", places: "Sequence[Place]"
    ) -> "dict[Place, ChannelDream]":
        from beholder.jobs.channel_dreams import newest_dreams

        return newest_dreams(self._context.db, spec.network, places, spec.recipe)

    def evidence(self, study: "JobView") -> "Evidence":
        from beholder.evidence.stored import read_evidence
        from beholder.jobs.queries import evidence_path

        path = evidence_path(self._context.db, study.id)
        return read_evidence(self._context.store, study, path)

    def logits(self, study: "JobView") -> bytes:
        from beholder.evidence.stored import read_logits
        from beholder.jobs.queries import evidence_path

        path = evidence_path(self._context.db, study.id)
        return read_logits(self._context.store, study, path)

    def plan(self, study: "JobView") -> bytes:
        from beholder.evidence.stored import read_plan
        from beholder.jobs.queries import evidence_path, plan_path

        db = self._context.db
        evidence, planned = evidence_path(db, study.id), plan_path(db, study.id)
        return read_plan(self._context.store, study, evidence, planned)

    def report(self, study: "JobView") -> bytes:
        from beholder.report.needs import require_drawing

        evidence = self.evidence(study)
        require_drawing()
        from beholder.report.material import fetch, find
        from beholder.report.page import render_page

        context = self._context
        found = find(context.db, study, evidence)
        material = fetch(context.store, found, max_pixels=context.settings.max_pixels)
        return render_page(evidence, material).encode()

    def latest_study(self) -> "JobView":
        from beholder.jobs.queries import latest_study

        return latest_study(self._context.db)

    def networks(self) -> list[dict[str, Any]]:
        from beholder.catalogue import network_rows

        return network_rows(self._context.settings)

    def workers(self) -> "list[FleetView]":
        from beholder.alive import Locks
        from beholder.jobs.fleet import fleet

        return fleet(self._context.db, is_dead=Locks(self._context.settings.home).is_dead)

    def tell(self, name: str, order: "Order | None") -> list[str]:
        from beholder.alive import Locks
        from beholder.jobs.fleet import tell

        is_dead = Locks(self._context.settings.home).is_dead
        return tell(self._context.db, name, order, is_dead=is_dead)

    def give_up(self) -> None:
        pass  # it waits for nobody


def wake_workers(context: Context) -> None:
    """Tell the workers. If Redis can't be reached nothing is lost: a worker's sweep finds it."""
    from beholder.jobs.turns import waiting
    from worker.queue import MOST_BELLS

    if _nothing_runs(context):
        return
    try:
        context.queue.ring_all(waiting(context.db, limit=MOST_BELLS))
    except ServiceUnavailable as error:
        say(f"{error} The job is kept, and runs once a worker is there.")


def _nothing_runs(context: Context) -> bool:
    """Whether this is the embedded default with its service stopped."""
    from beholder.service import service_runs

    return context.settings.redis_url is None and not service_runs(context.settings)

"""A worker's runner on a real database and store, with a tiny VGG19 from a file."""

import io
import json
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from sqlalchemy import select
from torch import nn
from torchvision.models.vgg import VGG, make_layers

from beholder.jobs.claim import Claim
from beholder.jobs.claims import claim_next
from beholder.jobs.database import Database
from beholder.jobs.models import Chunk
from beholder.jobs.queries import get_job, items
from beholder.jobs.silence import Silence
from beholder.jobs.spool import Entry, StoredPicture
from beholder.jobs.submit import create_job
from beholder.jobs.sweep import sweep
from beholder.jobs.views import ItemView, JobView
from beholder.logs import Json
from beholder.settings import Settings
from beholder.specs import DreamSpec, Spec
from beholder.store import Store
from worker.runner import Runner

TINY = [4, 4, "M", 6, 6, "M", 8, 8, 8, 8, "M", 8, 8, 8, 8, "M", 8, 8, 8, 8, "M"]
CLASSES = 6
PATIENCE_S = 20.0


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of an untrained VGG19 with few channels: real, but a step takes a millisecond."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = VGG(make_layers(TINY), num_classes=CLASSES)  # type: ignore[arg-type]
        module.classifier = nn.Sequential(nn.Linear(8, CLASSES))
    path = tmp_path_factory.mktemp("networks") / "tiny.safetensors"
    save_file(module.state_dict(), path, metadata={"avgpool": "1"})
    return str(path)


def picture(seed: int, size: tuple[int, int] = (48, 40)) -> bytes:
    """A PNG of smooth random colours."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        pixels = (torch.rand(6, 6, 3) * 255).to(torch.uint8).numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(buffer, "PNG")
    return buffer.getvalue()


@dataclass
class Bench:
    """Everything that a worker process has, and a short way to submit."""

    db: Database
    store: Store
    settings: Settings
    stopping: threading.Event

    def runner(self, name: str = "worker-1") -> Runner:
        return Runner(self.db, self.store, self.settings, name, self.stopping)

    def entry(self, data: bytes, source: str = "picture.png", **fields: object) -> Entry:
        stored = StoredPicture(self.store.put_picture(data), 48, 40, "PNG", len(data))
        return Entry(source, stored, **fields)  # type: ignore[arg-type]

    def submit(self, spec: Spec, entries: list[Entry], **options: Any) -> str:
        return create_job(self.db, spec, entries, **options).id

    def submit_small(self, spec: Spec, count: int) -> list[str]:
        """Jobs of one picture each, which share a batch."""
        return [self.submit(spec, [self.entry(picture(seed))]) for seed in range(count)]

    def submit_apart(self, spec: DreamSpec, count: int) -> list[str]:
        """Jobs of one picture each, which share none."""
        steps = range(spec.steps, spec.steps + count)
        apart = [spec.model_copy(update={"steps": number}) for number in steps]
        return [self.submit(one, [self.entry(picture(1))]) for one in apart]

    def run(self, job_id: str) -> JobView:
        """Run a job to its end, in this process, and whatever else waits."""
        self.runner().run()
        return self.job(job_id)

    def give_up_for_dead(self) -> None:
        """What is running goes on elsewhere."""
        sweep(self.db, Silence(lease_s=0, look_s=0), now=0)

    def take(self) -> Claim:
        """Claim what is next as another worker, which then says no more."""
        (taken,) = claim_next(self.db, worker="other", lease_s=60)
        return taken

    def job(self, job_id: str) -> JobView:
        return get_job(self.db, job_id)

    def states(self, job_ids: list[str]) -> list[str]:
        return [self.job(job_id).state for job_id in job_ids]

    def items(self, job_id: str) -> list[ItemView]:
        return list(items(self.db, job_id))

    def chunk(self, job_id: str) -> Chunk:
        """A job's only chunk."""
        with self.db.read() as session:
            return session.scalars(select(Chunk).where(Chunk.job_id == job_id)).one()

    @staticmethod
    def until(condition: Callable[[], object]) -> None:
        """Wait for `condition`, which another thread is to bring about."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, "did not happen"
            time.sleep(0.01)

    def results(self) -> list[Path]:
        root = self.store.local_path("results")
        assert root is not None
        return sorted(path for path in root.rglob("*") if path.is_file())


@pytest.fixture
def bench(tmp_path: Path, empty_database: Path) -> Bench:
    settings = Settings(home=tmp_path, lease_s=5, device="cpu")
    shutil.copy(empty_database, tmp_path / "beholder.db")
    return Bench(
        Database.open(settings.database), Store.open(settings.store), settings, threading.Event()
    )


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    """What is logged meanwhile, on any thread, as JSON has it."""
    said: list[dict[str, Any]] = []

    class Read(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(json.loads(self.format(record)))

    handler, root = Read(), logging.getLogger()
    handler.setFormatter(Json())
    before = root.level
    root.addHandler(handler)
    root.setLevel("INFO")
    yield said
    root.setLevel(before)
    root.removeHandler(handler)


@pytest.fixture
def draw() -> Callable[..., bytes]:
    return picture


@pytest.fixture
def spec(network: str) -> DreamSpec:
    """Short dreams of small pictures."""
    return DreamSpec(network=network, size=48, layers=(5,), steps=2)


@pytest.fixture
def during(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Call one function after another, each at the beginning of a dream; the dreams' sizes."""

    from worker.climbs import Climb

    real = Climb.run

    def install(*acts: Callable[[], object]) -> list[int]:
        sizes: list[int] = []
        waiting = list(acts)

        def acting(climb: Any, starts: torch.Tensor, *given: Any, **options: Any) -> Any:
            sizes.append(len(starts))
            if waiting:
                waiting.pop(0)()
            return real(climb, starts, *given, **options)

        monkeypatch.setattr(Climb, "run", acting)
        return sizes

    return install

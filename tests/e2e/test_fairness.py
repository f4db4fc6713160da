"""Jobs take turns on a real service: a small one goes among a huge one's chunks, by priority."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import func, select

from beholder.jobs.models import Chunk

pytestmark = pytest.mark.slow

# A worker has four in hand when another job comes: it decodes one, computes one, stores two. Two
# more may overtake the other job's chunk while that is stored.
IN_HAND = 6


@pytest.fixture
def busy(machine: Any, tmp_path: Path) -> str:
    """A service at work on the first chunks of a huge job, none of which share a batch."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(160):
        Image.effect_noise((64, 64), number).save(folder / f"{number}.png")
    machine.up(wait=False)
    machine.until(lambda: machine.pids("-m worker"))
    job: str = machine.json(
        "submit", "--dir", folder, "--size", "keep", "--layer", "12,20,28", "--steps", 16
    )["id"]
    machine.reaches(job, 8)
    return job


def dream(machine: Any, count: int, **told: str) -> str:
    job_id: str = machine.dreams(count, steps=10, layer=5, **told)
    return job_id


def chunks_ended(machine: Any, job: str, row: dict[str, Any]) -> int:
    """How many chunks of `job` ended between another job's submission and its end."""
    times = [datetime.fromisoformat(row[name]) for name in ("created_at", "finished_at")]
    within = Chunk.finished_at.between(*times)
    with machine.db.read() as session:
        ended = select(func.count()).where(Chunk.job_id == job, Chunk.state == "done", within)
        count: int = session.scalar(ended) or 0
    return count


def test_a_small_job_starts_after_what_is_in_hand_of_a_huge_one_by_priority(
    machine: Any, busy: str
) -> None:
    small = machine.ended(dream(machine, 1))
    assert chunks_ended(machine, busy, small) <= IN_HAND
    low = dream(machine, 8, priority="low")
    high = machine.ended(dream(machine, 128, priority="high"))
    assert chunks_ended(machine, busy, high) <= IN_HAND
    assert machine.job(busy)["state"] == "running"
    waiting = machine.job(low)
    assert (waiting["state"], waiting["started_at"]) == ("queued", None)
    machine.run("cancel", busy)
    assert machine.ended(low)["done"] == 8

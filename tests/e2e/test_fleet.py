"""Workers of real processes that are drained, and bells for one class of them."""

from collections.abc import Iterator
from typing import Any

import pytest

from beholder.jobs.database import Database
from beholder.jobs.fleet import FleetView, fleet, tell

pytestmark = pytest.mark.slow


@pytest.fixture
def db(machine: Any) -> Iterator[Database]:
    opened = Database.open(machine.database_url)
    yield opened
    opened.dispose()


def test_a_drained_worker_finishes_what_it_has_and_another_goes_on(
    machine: Any, db: Database
) -> None:
    dream = ("submit", "--noise", 500, "--steps", 20, "--size", 64, "--layer", 12)
    job = machine.json(*dream)["id"]
    gpu = machine.json("submit", "--noise", 1, "--steps", 1, "--size", 64, "--device", "gpu")["id"]
    service = machine.up()

    def at_work() -> FleetView | None:
        return next((one for one in fleet(db) if one.job == job and one.items), None)

    busy = machine.until(at_work, every_s=0.05)
    assert busy.device_class == "cpu"
    assert tell(db, busy.host, "drain") == [busy.name]
    machine.until(lambda: not machine.parents(), every_s=0.05)
    left = machine.job(job)
    assert left["running"] == 0, "something was left in hand"
    assert left["done"] >= busy.items
    assert left["queued"] > 0, "it went on claiming"
    assert fleet(db) == []
    assert service.poll() is None
    said = next(machine.home.glob("*-up.log")).read_text()
    assert "worker has ended, as it was told to" in said
    assert "starting it again" not in said
    second = machine.start("worker", "--device", "cpu")
    machine.reaches(job, left["done"] + 1)
    assert (machine.job(gpu)["state"], machine.job(gpu)["device"]) == ("queued", "gpu")
    second.terminate()
    assert second.wait(30) == 0

"""Workers of real processes that are drained, and bells for one class of them."""

from typing import Any

import pytest

from beholder.jobs.fleet import FleetView, fleet, tell

pytestmark = pytest.mark.slow


def test_a_drained_worker_finishes_what_it_has_and_another_goes_on(machine: Any) -> None:
    job = machine.dreams(500, steps=20)
    gpu = machine.dreams(1, steps=1, device="gpu")
    service = machine.up()

    def at_work() -> FleetView | None:
        return next((one for one in fleet(machine.db) if one.job == job and one.items), None)

    busy = machine.until(at_work, every_s=0.05)
    assert busy.device_class == "cpu"
    assert tell(machine.db, busy.host, "drain") == [busy.name]
    machine.until(lambda: not machine.parents(), every_s=0.05)
    left = machine.job(job)
    assert left["running"] == 0, "something was left in hand"
    assert left["done"] >= busy.items
    assert left["queued"] > 0, "it went on claiming"
    assert fleet(machine.db) == []
    assert service.poll() is None
    said = next(machine.home.glob("*-up.log"))
    machine.until(lambda: "worker has ended, as it was told to" in said.read_text())
    second = machine.start("worker", "--device", "cpu")
    machine.reaches(job, left["done"] + 1)
    assert "starting it again" not in said.read_text()
    assert (machine.job(gpu)["state"], machine.job(gpu)["device"]) == ("queued", "gpu")
    second.terminate()
    assert second.wait(30) == 0

"""`/v1/workers` and what `/metrics` says of workers and of what waits for them."""

from dataclasses import replace

import pytest

from beholder.jobs.models import utc_now
from beholder.jobs.workers import WorkerView, beat
from tests.api.test_health import values

pytestmark = pytest.mark.slow


@pytest.fixture
def worker(server):
    now = utc_now()
    view = WorkerView("rack3-1-aa", "rack3", 1, "cuda:0", now, now, None, 4, 10.5, 2**30)
    beat(server.services.db, replace(view, items=12, rate=1.5))
    return view


def test_who_runs_what(server, worker):
    (row,) = server.http.get("/v1/workers").json()["workers"]
    assert (row["name"], row["device_class"], row["state"]) == ("rack3-1-aa", "gpu", "idle")
    assert (row["items"], row["rate"], row["in_hand"]) == (12, 1.5, 0)


def test_a_worker_is_told(server, worker):
    def told():
        return beat(server.services.db, worker)

    for act, order in (("pause", "pause"), ("resume", None), ("drain", "drain")):
        answer = server.http.post(f"/v1/workers/rack3/{act}")
        assert (answer.status_code, answer.json()) == (200, {"workers": ["rack3-1-aa"]})
        assert told() == order
    assert server.http.post("/v1/workers/rack3/resume").status_code == 409
    assert server.http.post("/v1/workers/rack4/pause").status_code == 404


def test_all_paused_is_not_ready(server, worker, monkeypatch):
    monkeypatch.setattr(type(server.services.queue), "length", lambda _: 0)
    server.http.post("/v1/workers/rack3/pause")
    answer = server.http.get("/readyz")
    assert answer.status_code == 503
    assert "beholder workers resume" in answer.json()["detail"]


def test_metrics_for_autoscalers(server, worker):
    before = values(server)
    assert before["beholder_pending_items", "gpu"] == 0
    assert before["beholder_oldest_pending_seconds", "gpu"] == 0
    job = server.dream(3, device="gpu")
    assert job["device"] == "gpu"
    found = values(server)
    assert found["beholder_pending_items", "gpu"] == job["total"]
    assert found["beholder_open_items", "gpu"] == job["total"]
    assert found["beholder_pending_items", "any"] == 0
    assert 0 < found["beholder_oldest_pending_seconds", "gpu"] < 60
    assert found["beholder_fleet", "gpu", "idle"] == 1
    assert found["beholder_fleet", "cpu", "idle"] == 0
    assert found["beholder_worker_items_total", "rack3-1-aa"] == 12


def test_a_device_is_one_of_three(server):
    answer = server.http.post("/v1/dreams", json={"spec": {"noise": 1}, "device": "tpu"})
    assert answer.status_code == 422
    assert "device" in answer.json()["detail"]

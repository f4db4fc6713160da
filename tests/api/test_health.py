"""Health, readiness and metrics."""

from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from beholder.errors import ServiceUnavailable
from beholder.jobs.models import utc_now
from beholder.jobs.workers import WorkerView, beat

pytestmark = pytest.mark.slow  # with real servers or files; seconds in all


@pytest.fixture
def worker(server):
    now = utc_now()
    view = WorkerView("host-1", "host", 1, "cuda:0", now, now, None, 4, 10.5, 2**30)
    beat(server.services.db, view)
    return view


@pytest.fixture
def queue(server, monkeypatch):
    monkeypatch.setattr(type(server.services.queue), "length", lambda _: 0)


def test_healthz_asks_nothing(server):
    server.services.db.dispose()
    assert server.http.get("/healthz").json() == {"status": "ok"}


def test_ready_with_everything(server, worker, queue):
    answer = server.http.get("/readyz")
    assert answer.json() == {
        "status": "ok",
        "database": "ok",
        "queue": "ok",
        "store": "ok",
        "workers": 1,
    }


def test_readyz_says_everything_that_fails(server, monkeypatch):
    def away(self, path):
        raise ServiceUnavailable("the store can't be used.")

    monkeypatch.setattr(type(server.services.store), "exists", away)
    answer = server.http.get("/readyz")
    assert answer.status_code == 503
    detail = answer.json()["detail"]
    for words in ("Redis does not answer", "the store can't be used", "no worker was heard of"):
        assert words in detail
    assert "schema" not in detail


def test_a_silent_worker_does_not_count(server, worker, queue):
    beat(server.services.db, replace(worker, seen_at=utc_now().replace(year=2020)))
    assert server.http.get("/readyz").status_code == 503


def values(server):
    text = server.http.get("/metrics").text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics(server, worker):
    first = values(server)
    assert first["beholder_jobs", "queued"] == 0
    assert first["beholder_queue_age_seconds",] == 0
    running, waiting = server.dream(), server.dream(3)
    server.work(running["id"], failing=(0,))
    found = values(server)
    assert found["beholder_jobs", "done"] == 1
    assert (found["beholder_items", "done"], found["beholder_items", "failed"]) == (3, 1)
    assert found["beholder_items", "queued"] == waiting["total"]
    assert found["beholder_queued_chunks",] == 2
    assert found["beholder_queue_age_seconds",] > 0
    assert found["beholder_items_per_second",] > 0
    assert found["beholder_workers",] == 1
    assert found["beholder_chunks_total", "host-1"] == 4
    assert found["beholder_chunk_seconds_total", "host-1"] == 10.5
    assert found["beholder_gpu_memory_bytes", "host-1"] == 2**30

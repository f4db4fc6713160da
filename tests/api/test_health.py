"""Health, readiness and metrics."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.thumbnails import DECODED_AT_ONCE
from beholder.alive import worker_name
from beholder.errors import ServiceUnavailable
from beholder.heap import give_back
from beholder.jobs.claims import claim_next
from beholder.jobs.models import utc_now
from beholder.jobs.workers import WorkerView, beat
from beholder.store import Store
from tests.silence import silent

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
    silent(server.services.db, worker.name, 3600)
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
    assert found["beholder_workers",] == 1
    assert found["beholder_chunks_total", "host-1"] == 4
    assert found["beholder_chunk_seconds_total", "host-1"] == 10.5
    assert found["beholder_gpu_memory_bytes", "host-1"] == 2**30


def test_a_worker_whose_lock_is_free_does_not_count(server, worker, queue):
    dead = replace(worker, name=worker_name(), chunks=7)
    lock = server.services.settings.home / "workers" / dead.name
    lock.parent.mkdir(exist_ok=True)
    lock.touch()
    beat(server.services.db, dead)
    assert server.http.get("/readyz").json()["workers"] == 1
    found = values(server)
    assert found["beholder_workers",] == 1
    assert ("beholder_chunks_total", dead.name) not in found


def test_slow_thumbnails_leave_the_server_its_threads(server, draw, monkeypatch):
    sha256 = server.http.post("/v1/pictures", content=draw(1)).json()["sha256"]
    going_on, reading, read = threading.Event(), [], Store.picture

    def slowly(store, name):
        reading.append(name)
        going_on.wait(20)
        return read(store, name)

    monkeypatch.setattr(Store, "picture", slowly)
    urls = [f"/v1/pictures/{sha256}/image?size={size}" for size in range(100, 150)]
    with ThreadPoolExecutor(50) as threads:
        answers = [threads.submit(server.http.get, url) for url in urls]
        try:
            deadline = time.monotonic() + 10
            while len(reading) < DECODED_AT_ONCE and time.monotonic() < deadline:
                time.sleep(0.01)
            assert server.http.get("/healthz", timeout=5).status_code == 200
            assert server.http.get("/v1/jobs", timeout=5).status_code == 200
            assert len(reading) == DECODED_AT_ONCE  # the others wait without a file in memory
        finally:
            going_on.set()
        assert {answer.result().status_code for answer in answers} == {200}


def test_a_page_says_which_batch_keeps_a_job_waiting(server, worker):
    other, job = (server.dream(1)["id"] for _ in range(2))
    (claim,) = claim_next(server.services.db, worker=worker.name, lease_s=60)
    assert claim.job_id == other
    assert "waiting for a worker" in server.http.get(f"/jobs/{job}").text
    beat(server.services.db, replace(worker, chunk_id=claim.chunk_id))
    words = "a worker is 0% through a batch of kelpies"
    assert f"waiting: {words}<" in server.http.get(f"/jobs/{job}").text
    with server.http.stream("GET", f"/v1/jobs/{job}/events") as answer:
        told = next(line for line in answer.iter_lines() if line.startswith("data: "))
    assert json.loads(told[6:])["waits"] == words


def test_paused_workers_are_not_ready(server, worker, queue):
    job = server.dream()
    paused = "no room left in the store: free some space."
    beat(server.services.db, replace(worker, paused=paused))
    answer = server.http.get("/readyz")
    assert (answer.status_code, paused in answer.text) == (503, True)
    left = f"worker {worker.name} leaves job {job['id']} to others: it has no weights."
    beat(server.services.db, replace(worker, paused=left))
    assert server.http.get("/readyz").status_code == 200, "there may be other jobs"
    beat(server.services.db, replace(worker, paused=paused))
    assert server.http.get(f"/v1/jobs/{job['id']}").json()["paused"] == paused
    assert f"paused: {paused}" in server.http.get(f"/jobs/{job['id']}").text
    silent(server.services.db, worker.name, 60)
    assert server.http.get(f"/v1/jobs/{job['id']}").json()["paused"] is None


def test_what_was_freed_is_given_back_again_and_again(start, monkeypatch):
    given_back = []
    monkeypatch.setattr("api.app.GIVE_BACK_S", 0.01)
    monkeypatch.setattr("api.app.give_back", lambda: (give_back(), given_back.append(1)))
    server, before = start(), time.monotonic()
    while len(given_back) < 2:
        assert time.monotonic() < before + 10, "it was not"
        time.sleep(0.01)
    assert server.http.get("/healthz").status_code == 200

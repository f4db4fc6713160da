"""Server-sent events: what they say, resuming, and 200 watchers for the price of one."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from sqlalchemy import event

from api import live
from beholder.jobs import control

pytestmark = pytest.mark.slow  # with real servers or files; seconds in all


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(live, "POLL_S", 0.05)
    monkeypatch.setattr(live, "HEARTBEAT_S", 0.2)


def events(lines) -> Iterator[dict]:
    """The stream's events as {"id", "event", "data"}; comments as {"comment"}."""
    found = {}
    for line in lines:
        if not line:
            if "data" in found or "comment" in found:
                yield found
            found = {}
        elif line.startswith(":"):
            found["comment"] = line
        else:
            name, _, value = line.partition(": ")
            found[name] = json.loads(value) if name == "data" else value


def told(answer) -> Iterator[dict]:
    """A stream's events without the comments."""
    return (one for one in events(answer.iter_lines()) if "data" in one)


def follow(server, job_id, last_id=None):
    headers = {"Last-Event-ID": last_id} if last_id else {}
    return server.http.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers)


def test_a_job_is_followed_to_its_end(server):
    job = server.dream()
    with follow(server, job["id"]) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        stream = events(answer.iter_lines())
        first = next(stream)
        assert first["event"] == "progress"
        assert first["data"] == {
            "job_id": job["id"],
            "kind": "dream",
            "state": "queued",
            "stage": "dream",
            "total": 4,
            "queued": 4,
            "running": 0,
            "done": 0,
            "failed": 0,
            "cancelled": 0,
            "measured": 0,
            "error": None,
            "paused": None,
            "waits": None,
            "completed": 0.0,
            "rate": None,
            "seconds_left": None,
            "latest": [],
        }
        assert "comment" in next(stream)
        server.work(job["id"], chunks=1, failing=(1,))
        seen = list(_until(stream, "done", 1))
        half = seen[-1]["data"]
        assert (half["state"], half["failed"], half["completed"]) == ("running", 1, 2.0)
        assert half["rate"] > 0
        assert half["seconds_left"] > 0
        (latest,) = half["latest"]
        assert latest["url"] == f"/v1/jobs/{job['id']}/items/0/pictures/3"
        assert server.http.get(latest["thumbnail"]).headers["content-type"] == "image/webp"
        server.work(job["id"])
        last = list(stream)[-1]
    assert (last["event"], last["data"]["state"], last["data"]["seconds_left"]) == (
        "end",
        "done",
        None,
    )
    assert [one["position"] for one in last["data"]["latest"]] == [3, 2, 0]
    assert follow_status(server, job["id"], last["id"]) == 204


def _until(stream, name, value):
    for found in stream:
        if "data" in found:
            yield found
            if found["data"][name] == value:
                return


def follow_status(server, job_id, last_id) -> int:
    with follow(server, job_id, last_id) as answer:
        return answer.status_code


def test_who_comes_back_gets_what_followed(server):
    job = server.dream()
    with follow(server, job["id"]) as answer:
        stream = events(answer.iter_lines())
        first = next(stream)
    server.work(job["id"], chunks=1)
    with follow(server, job["id"]) as other:  # sees how it is now, and the job is watched on
        seen = list(_until(events(other.iter_lines()), "done", 2))
        server.work(job["id"])
        with follow(server, job["id"], first["id"]) as answer:
            again = [one for one in events(answer.iter_lines()) if "data" in one]
    ids = [one["id"] for one in again]
    assert first["id"] not in ids
    assert seen[-1]["id"] in ids
    assert again[-1]["event"] == "end"
    assert ids == list(dict.fromkeys(ids))


def test_a_finished_job_says_so_and_ends(server):
    job = server.dream()
    server.http.post(f"/v1/jobs/{job['id']}/cancel")
    with follow(server, job["id"]) as answer:
        (only,) = events(answer.iter_lines())
    assert (only["event"], only["data"]["state"], only["data"]["cancelled"]) == (
        "end",
        "cancelled",
        4,
    )


@pytest.mark.parametrize("resumed", [False, True])
def test_an_end_before_a_retry_ends_nothing_after_it(server, resumed, monkeypatch):
    """The retry is another process's: this one hears of it from the database alone."""
    monkeypatch.setattr(live, "POLL_S", 0.5)
    job = server.dream()
    server.http.post(f"/v1/jobs/{job['id']}/cancel")
    with follow(server, job["id"]) as answer:
        (end,) = told(answer)
    control.retry(server.services.db, job["id"])
    with follow(server, job["id"], end["id"] if resumed else None) as answer:
        assert answer.status_code == 200
        stream = told(answer)
        first = next(stream)
        assert (first["event"], first["data"]["state"]) == ("progress", "queued")
        server.work(job["id"])
        last = list(stream)[-1]
    assert (last["event"], last["data"]["state"]) == ("end", "done")
    assert follow_status(server, job["id"], end["id"]) == 200
    assert follow_status(server, job["id"], last["id"]) == 204


def test_who_missed_the_end_and_the_retry_gets_how_it_is_now(server):
    job = server.dream()
    with follow(server, job["id"]) as answer:
        first = next(told(answer))
        server.http.post(f"/v1/jobs/{job['id']}/cancel")
        with follow(server, job["id"]) as other:
            assert list(told(other))[-1]["event"] == "end"
    control.retry(server.services.db, job["id"])
    with follow(server, job["id"]) as other:
        next(told(other))
        with follow(server, job["id"], first["id"]) as answer:
            again = next(told(answer))
    assert (again["event"], again["data"]["state"]) == ("progress", "queued")


def test_no_such_job_is_a_problem(server):
    answer = server.http.get("/v1/jobs/nothere/events")
    assert answer.status_code == 404
    assert answer.json()["detail"].startswith("no job 'nothere'")


def test_watchers_are_let_go_when_the_job_is_deleted(server):
    job = server.dream()
    with follow(server, job["id"]) as answer:
        stream = events(answer.iter_lines())
        next(stream)
        control.cancel(server.services.db, job["id"])
        server.http.delete(f"/v1/jobs/{job['id']}")
        list(stream)  # ends


def queries_while(server, job_id, watchers: int) -> int:
    """How many statements the database sees in half a second of so many watchers."""
    counted = []
    ready, leave = threading.Barrier(watchers + 1, timeout=30), threading.Event()

    def watch() -> None:
        with client.stream("GET", f"{server.url}/v1/jobs/{job_id}/events") as answer:
            stream = events(answer.iter_lines())
            assert next(stream)["data"]["job_id"] == job_id
            ready.wait()
            while not leave.is_set():
                next(stream)

    limits = httpx.Limits(max_connections=None)
    with httpx.Client(limits=limits, timeout=20) as client, ThreadPoolExecutor(watchers) as threads:
        watching = [threads.submit(watch) for _ in range(watchers)]
        ready.wait()
        engine = server.services.db.engine
        event.listen(engine, "before_cursor_execute", lambda *_: counted.append(1))
        leave.wait(0.5)
        found = len(counted)
        leave.set()
        for one in watching:
            one.result()
    return found


def test_200_watchers_cost_what_one_costs(server):
    job = server.dream()
    alone = queries_while(server, job["id"], 1)
    many = queries_while(server, job["id"], 200)
    assert alone > 4
    assert many <= alone + 8  # two looks


def test_200_watchers_all_see_the_end(server):
    job = server.dream()
    started = threading.Barrier(201, timeout=30)

    def watch(_):
        with client.stream("GET", f"{server.url}/v1/jobs/{job['id']}/events") as answer:
            stream = events(answer.iter_lines())
            next(stream)
            started.wait()
            return list(stream)[-1]["data"]["state"]

    with (
        httpx.Client(limits=httpx.Limits(max_connections=None), timeout=30) as client,
        ThreadPoolExecutor(200) as threads,
    ):
        ended = threads.map(watch, range(200))
        started.wait()
        server.work(job["id"])
        assert list(ended) == 200 * ["done"]

"""What only commands that are clients ask: which server, a name, an overview, rows, the rest."""

import json

import pytest

from beholder import __version__
from beholder.jobs.fleet import tell
from beholder.jobs.models import Item, utc_now
from beholder.jobs.workers import WorkerView, beat
from beholder.protocol import API_HEADER, API_LEVEL


def test_which_server_it_is(server):
    now = utc_now()
    beat(server.services.db, WorkerView("w", "host", 1, "cuda:0", now, now, None, 0, 0.0, None))
    answer = server.http.get("/v1/server")
    assert answer.headers[API_HEADER] == str(API_LEVEL)
    about = answer.json()
    assert (about["version"], about["network"]) == (__version__, "specimens")
    assert about["caller"] == {"name": "", "scope": "admin"}
    assert about["limits"]["bytes"] == server.services.settings.upload_file_bytes
    assert about["workers"] == [{"name": "w", "device": "cuda:0", "paused": None}]


def test_a_worker_that_leaves_a_job_to_others_is_not_paused(server):
    def says(reason):
        now = utc_now()
        view = WorkerView("w", "host", 1, "cpu", now, now, None, 0, 0.0, None, reason)
        beat(server.services.db, view)
        return server.http.get("/v1/server").json()["workers"][0]["paused"]

    assert says("no room left.") == "no room left."
    left = "worker w leaves job abc to others: no weights."
    assert says(left) is None
    tell(server.services.db, "w", "pause")
    assert "told to" in says(left)


def test_a_network_that_is_a_file_is_not_told(start):
    server = start(network="/secret/place/mine.safetensors")
    assert server.http.get("/v1/server").json()["network"] is None
    assert server.dream(1)["network"] == "specimens"  # its spec says so


def test_errors_carry_the_level_too(server):
    assert server.http.get("/v1/nothing").headers[API_HEADER] == str(API_LEVEL)
    assert server.http.get("/healthz", headers={"Host": "evil"}).headers[API_HEADER]


def test_a_job_by_its_name(server):
    job = server.dream(1, name="kelpies / monday")
    for name in ("kelpies / monday", job["id"], job["id"][:6]):
        found = server.http.get("/v1/jobs/by-name", params={"name": name})
        assert found.json()["id"] == job["id"]
    assert server.http.get("/v1/jobs/by-name", params={"name": "cats"}).status_code == 404
    folded = server.http.get("/v1/jobs/by-name", params={"name": " kelpies  /\tmonday"})
    assert folded.json()["id"] == job["id"]
    server.dream(1, name="kelpies / monday")
    several = server.http.get("/v1/jobs/by-name", params={"name": "kelpies / monday"})
    assert (several.status_code, "write more of the id" in several.json()["detail"]) == (422, True)


def test_the_overview(server):
    dream, study = server.dream(1), server.study()
    for job in (dream, study):
        server.work(job["id"])
    found = server.http.get(f"/v1/jobs/{dream['id']}/overview").json()
    assert (found["silent"], found["chosen"], found["summary"]["targets"]) == (0, [], 0)
    found = server.http.get(f"/v1/jobs/{study['id']}/overview").json()
    assert found["chosen"] == [{"layer": 35, "layer_name": "relu5_4", "channels": [7, 3]}]
    assert found["summary"] == {
        "targets": 2, "targets_kept": 0, "controls": 2, "controls_kept": 2,
    }  # fmt: skip


def test_kept_jobs(server):
    first, second = server.dream(1), server.dream(1)
    where = f"/v1/jobs/{first['id']}/kept"
    assert server.http.put(where, json={"kept": True}).status_code == 200
    kept = server.http.get("/v1/jobs", params={"kept": True}).json()["jobs"]
    assert [job["id"] for job in kept] == [first["id"]]
    assert len(server.http.get("/v1/jobs").json()["jobs"]) == 2
    assert server.http.put(where, json={"kept": False}).status_code == 200
    assert server.http.get("/v1/jobs", params={"kept": True}).json()["jobs"] == []
    assert server.http.put("/v1/jobs/nosuchjob/kept", json={}).status_code == 404
    assert second["id"] != first["id"]


def test_retrying_says_how_many_run_again(server):
    job = server.dream(2)
    server.work(job["id"], failing=(1, 2))
    assert server.http.post(f"/v1/jobs/{job['id']}/retry").json()["retried"] == 2


def test_channels_page_by_page(server):
    studies = [server.study()["id"] for _ in range(2)]
    for study in studies:
        server.work(study)
    for query in ({"study": studies[0]}, {"layer": "35"}, {"layer": "35", "top": 2}):
        whole = server.http.get("/v1/channels", params=query).json()
        assert whole["next"] is None
        seen, after = [], {}
        while True:
            page = server.http.get("/v1/channels", params={**query, **after, "limit": 1}).json()
            seen += page["channels"]
            if page["next"] is None:
                break
            after = {"after": page["next"]}
        assert seen == whole["channels"]
        assert len(seen) > 2
    by_count = {"layer": "35", "sort": "count", "limit": 1}
    assert server.http.get("/v1/channels", params=by_count).json()["next"] is None
    for after, status in (("here", 422), ("nosuchjob-1-2", 404), (f"{studies[0]}-35-500", 404)):
        wrong = server.http.get("/v1/channels", params={"layer": "35", "after": after})
        assert wrong.status_code == status
    wrong = server.http.get("/v1/channels", params={**by_count, "after": f"{studies[0]}-35-7"})
    assert wrong.status_code == 422


def test_the_rest_of_a_picture(server):
    job = server.dream(1)
    server.work(job["id"])
    where = f"/v1/jobs/{job['id']}/items/0/pictures/3"
    whole = server.http.get(where)
    rest = server.http.get(where, headers={"Range": "bytes=40-"})
    size = len(whole.content)
    assert (rest.status_code, rest.content) == (206, whole.content[40:])
    assert rest.headers["content-range"] == f"bytes 40-{size - 1}/{size}"
    assert rest.headers["etag"] == whole.headers["etag"]
    for odd in ("bytes=0-", f"bytes={size}-", "bytes=-5", "bytes=1-2", "items=1-"):
        all_of_it = server.http.get(where, headers={"Range": odd})
        assert (all_of_it.status_code, all_of_it.content) == (200, whole.content)


def test_the_noise_that_a_dream_started_from(server):
    spec = {"noise": 1, "network": "specimens", "layers": [20], "steps": 3}
    job = server.http.post("/v1/dreams", json={"spec": spec}).json()
    where = f"/v1/jobs/{job['id']}/items/0/start"
    assert server.http.get(where).status_code == 404  # not dreamt yet
    server.services.store.put("results/start.png", b"the noise")
    with server.services.db.write() as session:
        for item in session.query(Item).filter(Item.job_id == job["id"]):
            item.result = {"start": "results/start.png"}
    assert server.http.get(where).content == b"the noise"
    assert server.http.get(f"/v1/jobs/{job['id']}/items/99/start").status_code == 404


def test_rows_end_with_an_empty_one(server):
    lines = server.http.get("/v1/records/rows").text.splitlines()
    assert [json.loads(line) for line in lines] == [{}]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/studies/latest", 404),
        ("/v1/contrasts?for=kelpie", 404),
        ("/v1/contrasts", 422),
        ("/v1/records?layer=36&channel=1", 422),
        ("/v1/records?layer=35&channel=1", 404),
        ("/v1/records?layer=35&channel=512", 422),
        ("/v1/records/rows?study=nosuchjob", 404),
    ],
)
def test_what_is_not_there(server, path, status):
    assert server.http.get(path).status_code == status


def test_features_are_queued_once(server):
    study = server.study()["id"]
    where = f"/v1/studies/{study}/features"
    assert server.http.post(where, json={}).status_code == 409
    server.work(study)
    made = server.http.post(where, json={"limit": 1, "steps": 2}).json()
    assert ([one["channel"] for one in made["queued"]], made["left"]) == ([7], 1)
    again = server.http.post(where, json={"limit": 2}).json()
    assert ([one["channel"] for one in again["queued"]], again["there"]) == ([3], [[35, 7]])
    assert server.http.post(where, json={"limit": 0}).status_code == 422
    assert server.http.get(f"/v1/studies/{study}/evidence").status_code == 409
